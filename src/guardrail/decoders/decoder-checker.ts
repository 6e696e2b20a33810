// A guard decoder as a text checker.
import { readFileSync } from 'node:fs';
import { OrreryError } from '../../base/index.ts';
import type { GuardPolicy } from '../policy.ts';
import type { Answer, Checker } from '../runner.ts';
import type { ReadText } from '../text/text-checkers.ts';
import { parseAegis, parseLlamaGuard, parseQwenGuard } from './answers.ts';
import { type GuardDecoder, openGuardDecoder } from './guard-decoder.ts';
import { type DecoderKind, guardPrompt } from './templates.ts';

/** The checker, and how to free its decoder. Without a decoder in the policy it answers `not-configured`. */
export function decoderChecker(
  kind: DecoderKind,
  settings: GuardPolicy['decoder'],
): { readonly checker: Checker<ReadText>; dispose(): Promise<void> } {
  let opened: Promise<GuardDecoder> | undefined;
  let template: string | undefined;
  const parse = (answer: string): Answer => {
    if (kind === 'aegis') return parseAegis(answer);
    return kind === 'llama-guard' ? parseLlamaGuard(answer) : parseQwenGuard(answer, settings?.controversial);
  };
  return {
    checker: {
      name: kind,
      version: '1',
      async check({ text }, signal) {
        if (settings === undefined) {
          return { verdict: 'not-configured', reason: `${kind} has no model; set decoder.folder in the policy` };
        }
        opened ??= openGuardDecoder(settings);
        if (settings.template !== undefined) template ??= readTemplate(settings.template);
        return parse(await (await opened).answer(guardPrompt(kind, text, template), signal));
      },
    },
    dispose: async () => void (await opened?.then((d) => d.dispose()).catch(() => undefined)),
  };
}

function readTemplate(path: string): string {
  const text = readFileSync(path, 'utf8');
  if (!text.includes('{prompt}')) throw new OrreryError('data', `${path}: need {prompt} where the user's text goes`);
  return text;
}
