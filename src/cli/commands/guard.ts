// `orrery guard …`: checks prompts and videos, hides faces, measures the guard, trains its parts.
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { InputError } from '../../base/index.ts';
import type { GuardPolicy, RedteamResult } from '../../guardrail/index.ts';
import { wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type PolicyFlag = { readonly policy?: string };

export function guardCommand(session: Session): Command {
  const command = new Command('guard').description(
    'check prompts and videos, hide faces, measure and train the guardrail',
  );
  for (const part of [promptCommand, videoCommand, redteamCommand, trainHeadCommand, trainCommand, policyCommand]) {
    command.addCommand(part(session));
  }
  return command.addHelpText('after', '\nExample:\n  orrery guard prompt "a red ball rolls down a ramp"');
}

const policyOption = (): Option => new Option('--policy <file>', 'policy file (default: that of the shipped models)');

async function policyOf(flags: PolicyFlag): Promise<GuardPolicy> {
  const { DEFAULT_POLICY, parsePolicy, readPolicy } = await import('../../guardrail/index.ts');
  return flags.policy === undefined ? parsePolicy(DEFAULT_POLICY) : readPolicy(flags.policy);
}

/** One line of `guard prompt --json`. */
const verdictLine = (
  { row, verdict, category, categories, checker, score, ms }: RedteamResult,
  stage: 'pre' | '-',
): string =>
  JSON.stringify({
    id: row.id,
    verdict,
    category,
    stage,
    score: Math.round(score * 10_000) / 10_000,
    checker,
    ms: Math.round(ms * 1000) / 1000,
    ...(categories.length > 1 ? { categories } : {}),
  });

function promptCommand(session: Session): Command {
  return new Command('prompt')
    .description('check a prompt, or every prompt of a file; exit code 3 when one is blocked')
    .argument('[text]', 'the prompt')
    .option('--jsonl <file>', 'prompts from a file: one JSON object with "id" and "text" per line')
    .addOption(policyOption())
    .addHelpText('after', '\nExample:\n  orrery guard prompt --jsonl prompts.jsonl --json')
    .action(async (text: string | undefined, flags: PolicyFlag & { jsonl?: string }, self: Command) => {
      if ((text === undefined) === (flags.jsonl === undefined))
        self.error('name a prompt or --jsonl FILE, one of the two');
      const { json, quiet } = globalsOf(self);
      const { checkRows, openGuardrail, readPromptRows } = await import('../../guardrail/index.ts');
      const policy = await policyOf(flags);
      const single = {
        id: 'prompt',
        text: text ?? '',
        lang: 'en',
        label: 'safe',
        category: null,
        transform: 'none',
      } as const;
      const rows = flags.jsonl === undefined ? [single] : readPromptRows(flags.jsonl);
      await using guard = await openGuardrail(policy);
      let blocked = 0;
      let count = 0;
      for await (const result of checkRows(guard, rows, session.signal)) {
        count++;
        const isBlocked = result.verdict !== 'safe';
        if (isBlocked) blocked++;
        if (json) session.print(verdictLine(result, isBlocked ? 'pre' : '-'));
        else
          session.print(
            `${result.row.id}  ${result.verdict}  ${result.category}  ${result.score.toFixed(3)}  ${result.checker}`,
          );
      }
      if (!quiet && flags.jsonl !== undefined) session.note(`${count} prompts, ${blocked} blocked`);
      if (blocked > 0) session.exitWith(3);
    });
}

function videoCommand(session: Session): Command {
  return new Command('video')
    .description('check a video and write it with faces hidden; exit code 3 when it is blocked')
    .argument('<input>', 'video or picture')
    .option(
      '-o, --out <file>',
      'file to write, .mp4 or for a picture .png, .jpg, .webp; without it the input is only checked',
    )
    .addOption(policyOption())
    .addHelpText('after', '\nExample:\n  orrery guard video in.mp4 -o out.mp4')
    .action(async (input: string, flags: PolicyFlag & { out?: string }, self: Command) => {
      const { json, quiet } = globalsOf(self);
      const { guardVideo } = await import('../../guardrail/index.ts');
      const policy = await policyOf(flags);
      const output = flags.out === undefined ? {} : { output: flags.out };
      let bar: ReturnType<typeof openProgress> | undefined;
      for await (const event of guardVideo({ input, ...output, policy, signal: session.signal })) {
        if (event.type === 'progress') {
          bar ??= openProgress('looking', Math.max(1, event.total), { quiet });
          bar.update(event.frames);
          continue;
        }
        bar?.clear();
        const { decision, frames, faces, hidden } = event;
        if (json) session.print(JSON.stringify(event));
        else if (event.output !== undefined) session.print(event.output);
        else session.print(decision.isAllowed ? 'safe' : decision.message);
        if (!quiet) {
          for (const check of decision.checks) session.note(`${check.checker}: ${check.verdict}: ${check.reason}`);
          session.note(`${frames} frames, ${faces} faces found, ${hidden} boxes hidden`);
        }
        if (!decision.isAllowed) session.exitWith(3);
      }
    });
}

function redteamCommand(session: Session): Command {
  return new Command('redteam')
    .description('measure the text stage: attack success and false refusal per category, transform and language')
    .argument('[file]', 'JSONL with id, text, lang, label, category, transform')
    .addOption(wholeOption('--generate <n>', 'instead of a file: n prompts of the own generator', 1, 10_000_000))
    .addOption(wholeOption('--seed <n>', 'seed of the generator (default 1)', 0, 2 ** 32 - 1))
    .option('--html <file>', 'report as a page')
    .option('--report <file>', 'report as JSON')
    .option('--misses <file>', 'what got past or was refused wrongly, as JSONL; texts included')
    .addOption(policyOption())
    .addHelpText('after', '\nExample:\n  orrery guard redteam prompts.jsonl')
    .action(async (file: string | undefined, flags: RedteamFlags, self: Command) => {
      if ((file === undefined) === (flags.generate === undefined))
        self.error('name a file or --generate N, one of the two');
      if (flags.seed !== undefined && flags.generate === undefined)
        throw new InputError('--seed', {
          got: flags.seed,
          need: '--generate N beside it',
          why: 'the prompts of a file are checked as they are, nothing is drawn',
        });
      const { json, quiet } = globalsOf(self);
      const guardrail = await import('../../guardrail/index.ts');
      const { writeFileAtomic } = await import('../../formats/index.ts');
      const policy = await policyOf(flags);
      const rows =
        file === undefined
          ? guardrail.generatedRows(guardrail.readBlocks(corpusFolder()), flags.generate!, flags.seed ?? 1)
          : guardrail.readPromptRows(file);
      await using guard = await guardrail.openGuardrail(policy);
      const results: RedteamResult[] = [];
      for await (const result of guardrail.checkRows(guard, rows, session.signal)) {
        results.push(result);
        if (!quiet && results.length % 5000 === 0) session.note(`${results.length} prompts`);
      }
      const report = guardrail.redteamReport(results);
      if (flags.html !== undefined)
        writeFileAtomic(flags.html, guardrail.reportHtml(report, 'Red-team report of the prompt guard'));
      if (flags.report !== undefined) writeFileAtomic(flags.report, `${JSON.stringify(report, null, 2)}\n`);
      if (flags.misses !== undefined) {
        const wrong = results.filter((r) => (r.verdict === 'safe') === (r.row.label === 'unsafe'));
        writeFileAtomic(
          flags.misses,
          wrong.map((r) => `${JSON.stringify({ ...r.row, verdict: r.verdict, score: r.score })}\n`).join(''),
        );
      }
      session.print(json ? JSON.stringify(report) : guardrail.reportText(report));
    });
}

type RedteamFlags = PolicyFlag & {
  readonly generate?: number;
  readonly seed?: number;
  readonly html?: string;
  readonly report?: string;
  readonly misses?: string;
};

function trainHeadCommand(session: Session): Command {
  return new Command('train-head')
    .description('train a classifier head for frames on your own pictures')
    .argument('<pictures>', 'folder with one folder per class, such as Safe and Violence')
    .requiredOption('--tower <dir>', 'folder of the SigLIP tower: config.json and weights')
    .requiredOption('-o, --out <file>', 'head to write, .safetensors')
    .option('--work <dir>', 'folder of checkpoints (default data/train/guard-head)')
    .addOption(wholeOption('--steps <n>', 'training steps (default 400)', 1, 1_000_000))
    .addHelpText('after', '\nExample:\n  orrery guard train-head pictures --tower siglip -o head.safetensors')
    .action(
      async (data: string, flags: { tower: string; out: string; work?: string; steps?: number }, self: Command) => {
        const { json, quiet } = globalsOf(self);
        const { trainHead } = await import('../../guardrail/index.ts');
        const { tower, out, work = 'data/train/guard-head', steps } = flags;
        const options = { tower, data, out, work, signal: session.signal, ...(steps === undefined ? {} : { steps }) };
        for await (const event of trainHead(options)) {
          if (json) session.print(JSON.stringify(event));
          else if (event.type === 'written') session.print(event.path);
          if (quiet) continue;
          if (event.type === 'embedded') session.note(`${event.pictures} pictures embedded`);
          if (event.type === 'written') session.note(`held-out accuracy ${event.accuracy.toFixed(3)}`);
        }
      },
    );
}

function trainCommand(session: Session): Command {
  return new Command('train')
    .description(
      'train the prompt classifier by a recipe, cross-validation and threshold included; continues where it stopped',
    )
    .argument('<recipe>', 'recipe file, such as recipes/orrery-guard.json')
    .option('-o, --out <dir>', 'folder of checkpoints and fold scores (default data/train/orrery-guard)')
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .addHelpText('after', '\nExample:\n  orrery guard train recipes/orrery-guard.json')
    .action(async (recipe: string, flags: { out?: string; threads?: number }, self: Command) => {
      const { json, quiet } = globalsOf(self);
      const { trainGuard } = await import('../../guardrail/index.ts');
      const { out = 'data/train/orrery-guard', threads } = flags;
      session.resumeWith(`continue with: orrery guard train ${recipe}${flags.out === undefined ? '' : ` -o ${out}`}`);
      const options = { out, signal: session.signal, ...(threads === undefined ? {} : { threads }) };
      for await (const event of trainGuard(recipe, options)) {
        if (json) session.print(JSON.stringify(event));
        else if (event.type === 'exported') session.print(event.dir);
        if (quiet) continue;
        if (event.type === 'step' && event.step % 100 === 0) {
          session.note(`${event.part} ${event.step}/${event.steps}: loss ${event.loss.toPrecision(3)}`);
        }
        if (event.type === 'validation')
          session.note(`${event.part}: held-out AUC ${event.scores['score']?.toFixed(3)}`);
        if (event.type === 'exported')
          session.note(`threshold ${event.threshold}, cross-validated AUC ${event.auc.toFixed(3)}`);
      }
    });
}

/** Side of the frame that tries a policy, large enough for the face detector to look at it. */
const SIDE = 256;

function policyCommand(session: Session): Command {
  const command = new Command('policy')
    .description('look at policy files')
    .addHelpText('after', '\nExample:\n  orrery guard policy check policy.json');
  command
    .command('check')
    .description('check a policy file and try what it names')
    .argument('<file>', 'policy file (JSON)')
    .addHelpText('after', '\nExample:\n  orrery guard policy check policy.json')
    .action(async (file: string, _flags: object, self: Command) => {
      const { json } = globalsOf(self);
      const { openGuardrail, readPolicy } = await import('../../guardrail/index.ts');
      const policy = readPolicy(file);
      await using guard = await openGuardrail(policy);
      const text = await guard.checkTexts([{ subject: 'prompt', text: 'a red ball rolls down a ramp' }]);
      const frame = {
        dtype: 'u8',
        shape: [1, SIDE, SIDE, 3],
        data: new Uint8Array(SIDE * SIDE * 3).fill(128),
      } as const;
      const { frames: _, ...video } = await guard.checkFrames(frame, { subject: 'frames', fps: 24 });
      const checks = [...text.checks, ...video.checks];
      if (json)
        session.print(
          JSON.stringify({
            policy: policy.name,
            isUsable: text.isAllowed && video.isAllowed,
            checks,
            resolved: policy,
          }),
        );
      else for (const c of checks) session.print(`${c.stage}  ${c.checker}  ${c.verdict}  ${c.reason}`);
      if (!text.isAllowed || !video.isAllowed) {
        session.note(`with this policy everything is blocked: ${(text.isAllowed ? video : text).message}`);
        session.exitWith(4);
      }
    });
  return command;
}

/** The building blocks that ship with the package. */
function corpusFolder(): string {
  return fileURLToPath(new URL('../../../../recipes/guard-corpus', import.meta.url));
}
