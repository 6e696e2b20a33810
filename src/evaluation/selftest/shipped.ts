// The reference cases that come with the package, by the family of network that they check.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OrreryError } from '../../base/index.ts';

const CASES = {
  'cosmos-tokenizer': [
    'haar2d_patch2',
    'rearrange3d_patch2',
    'causal_conv3d',
    'hybrid_resample',
    'attention_blocks',
    'fsq_888555',
    'jit_cv_8x8x8',
    'cv_4x8x8_patch4_two_level',
  ],
  'general-dit': ['edm_scalings', 'sigma_schedules', 'cfg', 'dit_blockorder', 'dd_net_small', 'pipeline_v2w_aug'],
  autoregressive: ['checkpoint_layouts', 'sampling', 'tf_v2w_cross_abspos'],
} as const;

/** Families with reference cases. */
export type CaseFamily = keyof typeof CASES;

/** Paths of the cases of a family; none for other kinds of model. */
export function shippedCases(family: string): string[] {
  const names: readonly string[] = family in CASES ? CASES[family as CaseFamily] : [];
  if (names.length === 0) return [];
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'package.json')) && dirname(root) !== root) root = dirname(root);
  return names.map((name) => {
    const path = join(root, 'test', 'fixtures', 'parity', `${name}.safetensors`);
    if (!existsSync(path)) throw new OrreryError('data', `${path} is missing; install the package again`);
    return path;
  });
}
