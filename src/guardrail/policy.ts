// The policy file: which checkers run, what they may miss, thresholds, lists, categories. One schema; unknown keys are errors.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { InputError, needOf, OrreryError, type SchemaIssue } from '../base/index.ts';
import { CATEGORY_CODES } from './categories.ts';

const share = z.number().min(0).max(1);
const seconds = z.number().positive().max(600);

/** Text checkers in the order in which they run. */
const textChecker = z.enum(['blocklist', 'classifier', 'aegis', 'llama-guard', 'qwen-guard']);
const frameChecker = z.enum(['frames', 'content']);

export const policySchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'need small letters, digits and dashes'),
  /** Text checkers, in order. The first that says unsafe decides. */
  text: z.array(textChecker).min(1, 'need at least one text checker').default(['blocklist', 'classifier']),
  /** Frame checkers, in order. */
  video: z.array(frameChecker).min(1, 'need at least one frame checker').default(['frames', 'content']),
  /** Checkers that may be `not-configured`, each with the reason why that is acceptable. */
  optional: z.record(z.string(), z.string().min(10, 'need a reason of at least ten characters')).default({}),
  /** Categories that are not enforced. */
  allow: z.array(z.enum(CATEGORY_CODES as unknown as [string, ...string[]])).default([]),
  /** Folder of the prompt classifier, its lexicon and lists. Default: the shipped one. */
  model: z.string().min(1).default('orrery-guard'),
  /** Block from this probability on. Default: what the model's record says. */
  threshold: share.optional(),
  /** Thresholds of single categories, by code. */
  thresholds: z.record(z.enum(CATEGORY_CODES as unknown as [string, ...string[]]), share).optional(),
  /** More list files, in the format of the shipped `blocklist.txt`. */
  lists: z.array(z.string().min(1)).default([]),
  /** Use the shipped lists too. */
  useShippedLists: z.boolean().default(true),
  /** Folder of a guard decoder: weights, config.json, tokenizer.json. */
  decoder: z
    .strictObject({
      folder: z.string().min(1),
      /** Folder of a PEFT adapter (Aegis). */
      adapter: z.string().min(1).optional(),
      /** File with the prompt template; `{prompt}` stands for the text. */
      template: z.string().min(1).optional(),
      maxTokens: z.int().min(1).max(1024).default(100),
      /** What Qwen3Guard's "Controversial" means. */
      controversial: z.enum(['block', 'allow']).default('block'),
    })
    .optional(),
  /** Frame classifier: folder of the SigLIP tower and file of the head. */
  content: z
    .strictObject({
      tower: z.string().min(1),
      head: z.string().min(1),
      /** Looks at no more frames per second than this. */
      maxFps: z.number().positive().default(16),
      /** Unsafe frames among `of` neighbours that block; 1 of 1 = any frame. */
      count: z.int().min(1).default(1),
      of: z.int().min(1).default(1),
    })
    .optional(),
  /** Checks without weights. */
  frames: z
    .strictObject({
      /** Flashes per second from which a video is refused; the limit of broadcasting and web rules is 3. */
      maxFlashesPerSecond: z.number().min(0).default(3),
      /** What a flashing video means. */
      onFlash: z.enum(['block', 'warn']).default('warn'),
      /** Refuse videos that are black from start to end. */
      blockBlack: z.boolean().default(true),
    })
    .prefault({}),
  /** Face blur. */
  faces: z
    .strictObject({
      mode: z.enum(['pixelate', 'fill', 'off']).default('pixelate'),
      /** `auto`: RetinaFace when weights are given, else the small detector when its package is installed. */
      detector: z.enum(['auto', 'retinaface', 'small']).default('auto'),
      weights: z.string().min(1).optional(),
      minScore: share.optional(),
      /** Added on each side, in parts of the box. */
      margin: z.number().min(0).max(1).default(0.1),
      /** Smaller boxes stay, in pixels. */
      minSize: z.int().min(1).default(12),
      blocks: z.int().min(1).max(5).default(5),
      /** Frames that a face stays hidden after it was last seen, and the longest gap that is filled. */
      hold: z.int().min(0).max(120).default(8),
      /** Look for faces in every n-th frame; boxes between are interpolated. */
      every: z.int().min(1).max(30).default(1),
    })
    .prefault({}),
  timeoutSeconds: z.strictObject({ text: seconds.default(20), video: seconds.default(600) }).prefault({}),
  /** Keep texts out of logs and reports. */
  private: z.boolean().default(false),
  /** File that gets one JSON line per decision. */
  log: z.string().min(1).optional(),
});

export type GuardPolicy = z.output<typeof policySchema>;

/** The policy of the shipped models. */
export const DEFAULT_POLICY: z.input<typeof policySchema> = {
  name: 'default',
  optional: {
    content:
      'the shipped world models were trained on renderings of simulated objects only; no honest frame classifier exists without weights',
    faces:
      'the shipped world models never saw a face; install @vladmandic/face-api or give RetinaFace weights to blur faces',
  },
};

/** Keys of the part of the schema at a path. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let part: unknown = policySchema;
  for (const key of [...path, undefined]) {
    while (part instanceof z.ZodOptional || part instanceof z.ZodPrefault) part = part.unwrap();
    if (!(part instanceof z.ZodObject)) return [];
    if (key === undefined) return Object.keys(part.shape);
    part = (part.shape as Record<PropertyKey, unknown>)[key];
  }
  return [];
}

/** Checks a policy. Paths in it are taken relative to `base`. */
export function parsePolicy(value: unknown, source = 'policy', base = process.cwd()): GuardPolicy {
  const parsed = policySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const where = [...issue.path, ...(unknown === undefined ? [] : [unknown])].join('.') || 'policy';
    const got = issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value);
    throw new InputError(`${source}: ${where}`, {
      got: unknown ?? got,
      need: unknown === undefined ? needOf(issue as SchemaIssue) : `one of ${keysAt(issue.path).join(', ')}`,
    });
  }
  const policy = parsed.data;
  for (const name of Object.keys(policy.optional)) {
    if (!['content', 'faces', 'aegis', 'llama-guard', 'qwen-guard'].includes(name)) {
      throw new InputError(`${source}: optional.${name}`, {
        got: name,
        need: 'content, faces, aegis, llama-guard or qwen-guard',
        why: 'the other checkers need nothing that could be missing',
      });
    }
  }
  const at = (path: string): string => (isAbsolute(path) ? path : join(base, path));
  const model = existsSync(at(policy.model)) ? at(policy.model) : policy.model;
  return {
    ...policy,
    model,
    lists: policy.lists.map(at),
    ...(policy.log === undefined ? {} : { log: at(policy.log) }),
    ...(policy.decoder === undefined
      ? {}
      : {
          decoder: {
            ...policy.decoder,
            folder: at(policy.decoder.folder),
            ...(policy.decoder.adapter === undefined ? {} : { adapter: at(policy.decoder.adapter) }),
            ...(policy.decoder.template === undefined ? {} : { template: at(policy.decoder.template) }),
          },
        }),
    ...(policy.content === undefined
      ? {}
      : { content: { ...policy.content, tower: at(policy.content.tower), head: at(policy.content.head) } }),
    faces: { ...policy.faces, ...(policy.faces.weights === undefined ? {} : { weights: at(policy.faces.weights) }) },
  };
}

/** Reads a policy file. */
export function readPolicy(path: string): GuardPolicy {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new OrreryError('data', `${path}: ${isMissing ? 'no such policy file' : (cause as Error).message}`, {
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OrreryError('data', `${path}: no valid JSON (${(cause as Error).message})`, { cause });
  }
  return parsePolicy(value, path, dirname(path));
}
