// Parity with the reference implementations: a small set of cases in the repository, and all of ../shared/parity when that folder exists.
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type SelftestResult, selftest } from '../../src/evaluation/selftest/index.ts';
import { openRuntime } from '../../src/runtime/index.ts';

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const fixtures = join(root, 'test/fixtures/parity');
const shared = resolve(root, '../shared/parity');

const casesIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors'))
    .map((name) => join(folder, name));

/** Cases that must pass in every output; the others may still be unsupported, never failing. */
const REQUIRED =
  /^(tf_|generate_|abs_pos|sampling$|checkpoint_layouts|dd_|psnr|ssim|msssim|resize|dreamsim|fvd|frechet|mmd|lpips|code_usage|sampson|ransac|tse|eightpoint|ftheta|pose_|iou|physics_iq|motion|dit_|v2w_|mv_|action_|diffusers_|pipeline_mv|rope_|edm_|sigma_|sampler_|cfg|rng|pipeline_t2w|pipeline_v2w|train_|training_scalars|haar|rearrange|causal_conv3d|attention_blocks|resnet_blocks|hybrid_resample|cv_|ci_|dv_|di_|fsq|residual_fsq|temporal_chunking|retinaface_|face_blur_|pixelate|video_safety_|llama|qwen3_)/;

async function check(files: readonly string[]): Promise<void> {
  const results: SelftestResult[] = [];
  await using runtime = openRuntime();
  for await (const result of selftest(files, { runtime })) results.push(result);
  const line = (r: SelftestResult): string => `${r.case} ${r.output}: ${r.reason}`;
  expect(results.filter((r) => r.status === 'fail').map(line)).toEqual([]);
  expect(results.filter((r) => r.status === 'unsupported' && REQUIRED.test(r.case)).map(line)).toEqual([]);
  expect(new Set(results.map((r) => r.case)).size).toBe(files.length);
}

describe('parity cases of the repository', () => {
  it.each(casesIn(fixtures))('%s', async (file) => check([file]));
});

const hasShared = existsSync(shared);
if (!hasShared) console.info(`skipped: all parity cases (no folder ${shared})`);
describe.skipIf(!hasShared)('all parity cases', () => {
  for (const family of hasShared
    ? readdirSync(shared).filter((name) => /^(autoregressive|diffusion|tokenizer|guardrail|metrics)$/.test(name))
    : []) {
    it(family, async () => check(casesIn(join(shared, family))), 300_000);
  }
});
