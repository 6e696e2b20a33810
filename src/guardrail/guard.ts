// The guardrail of a policy: text checkers, frame checkers, face blur. Opening never fails for a missing part: the part answers
// `error` or `not-configured` at every check, so that nothing passes unchecked and the process lives.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuardCheck, GuardDecision, GuardFrameOptions, GuardFrames, Guardrail, GuardText } from '../base/index.ts';
import { type ModelFolder, openModelFolder } from '../hub/index.ts';
import { logDecision } from './decision-log.ts';
import { decoderChecker } from './decoders/decoder-checker.ts';
import { blurFaces } from './faces/blur.ts';
import { detectFaces } from './faces/detector.ts';
import { type DetectorChoice, openFaceDetector } from './faces/open-detector.ts';
import { smoothFaces } from './faces/track.ts';
import { contentChecker, frameChecker, type TimedFrames } from './frames/frame-checkers.ts';
import { KNOWLEDGE_FILES, loadKnowledge } from './knowledge.ts';
import { DEFAULT_POLICY, type GuardPolicy, parsePolicy } from './policy.ts';
import { type Answer, type Checker, joinDecisions, runCheckers } from './runner.ts';
import { parseBlocklist } from './text/blocklist.ts';
import { openPromptClassifier } from './text/prompt-classifier.ts';
import type { ReadingKnowledge } from './text/read.ts';
import { blocklistChecker, classifierChecker, type ReadText, readOnce } from './text/text-checkers.ts';

/** Opens the guardrail of a policy. Default: the policy of the shipped models. */
export async function openGuardrail(policy: GuardPolicy = parsePolicy(DEFAULT_POLICY)): Promise<Guardrail> {
  const text = await openTextStage(policy);
  const video = openVideoStage(policy);
  const optional = new Set(Object.keys(policy.optional));
  const allow = new Set<string>(policy.allow);
  const log = (decision: GuardDecision, texts: readonly string[]): void => {
    if (policy.log === undefined) return;
    logDecision(decision, texts, { path: policy.log, policy: policy.name, isPrivate: policy.private });
  };
  const dispose = async (): Promise<void> => {
    await Promise.all([text.dispose(), video.dispose()]);
  };

  return {
    policy: policy.name,
    async checkTexts(texts, { signal } = {}) {
      const decisions: GuardDecision[] = [];
      for (const { subject, text: body } of texts) {
        // An empty text asks for nothing; a job without any text is for its owner to refuse.
        if (body.trim() === '') continue;
        const options = { stage: 'pre', subject, timeoutSeconds: policy.timeoutSeconds.text, optional, allow } as const;
        const read = text.read(body);
        decisions.push(await runCheckers(text.checkers, read, signal === undefined ? options : { ...options, signal }));
        if (!decisions[decisions.length - 1]!.isAllowed) break;
      }
      const decision = decisions.length === 0 ? nothingToCheck(texts) : joinDecisions(decisions);
      log(
        decision,
        texts.map((t) => t.text),
      );
      return decision;
    },
    async checkFrames(frames, options) {
      const { subject, fps, signal } = options;
      const runner = { stage: 'post', subject, timeoutSeconds: policy.timeoutSeconds.video, optional, allow } as const;
      const run = signal === undefined ? runner : { ...runner, signal };
      const checked = await runCheckers(video.checkers, { frames, fps }, run);
      const result = checked.isAllowed
        ? await editFaces(frames, options, checked, video, policy, run)
        : { ...checked, frames: undefined };
      const { frames: _, ...decision } = result;
      log(decision, []);
      return result;
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

const nothingToCheck = (texts: readonly GuardText[]): GuardDecision => ({
  isAllowed: true,
  verdict: 'safe',
  category: '-',
  checker: 'none',
  score: 0,
  message: 'safe',
  checks: texts.map(({ subject }) => ({
    checker: 'none',
    version: '-',
    stage: 'pre',
    subject,
    verdict: 'safe',
    category: '-',
    reason: 'no text',
    ms: 0,
  })),
});

type TextStage = {
  readonly checkers: readonly Checker<ReadText>[];
  read(text: string): ReadText;
  dispose(): Promise<void>;
};

/** A checker that could not be opened: it answers with the reason. */
const broken = (name: string, error: unknown): Checker<never> => ({
  name,
  version: '-',
  check: (): Answer => ({ verdict: 'error', reason: error instanceof Error ? error.message : String(error) }),
});

async function openTextStage(policy: GuardPolicy): Promise<TextStage> {
  const disposers: (() => Promise<void>)[] = [];
  const unread = (text: string): ReadText => ({ text, words: () => [], concepts: () => [] });
  const dispose = async (): Promise<void> => void (await Promise.all(disposers.map((d) => d())));
  let model: { readonly folder: ModelFolder; readonly knowledge: ReadingKnowledge } | undefined;
  const openModel = (): NonNullable<typeof model> => {
    if (model !== undefined) return model;
    const folder = openModelFolder(policy.model);
    model = { folder, knowledge: loadKnowledge(folder.dir) };
    return model;
  };
  const open = async (name: GuardPolicy['text'][number]): Promise<Checker<ReadText>> => {
    if (name !== 'blocklist' && name !== 'classifier') return openDecoder(name, policy, disposers);
    const { folder, knowledge } = openModel();
    if (name === 'blocklist') {
      const shipped = policy.useShippedLists ? [join(folder.dir, KNOWLEDGE_FILES.blocklist)] : [];
      const files = [...shipped, ...policy.lists].map((source) => ({ text: readFileSync(source, 'utf8'), source }));
      return blocklistChecker(parseBlocklist(files), knowledge, folder.record.name);
    }
    const classifier = await openPromptClassifier(folder, knowledge);
    disposers.push(() => classifier.dispose());
    const { threshold, thresholds } = policy;
    return classifierChecker(classifier, {
      ...(threshold === undefined ? {} : { threshold }),
      ...(thresholds === undefined ? {} : { thresholds: thresholds as Record<string, number> }),
    });
  };
  const checkers: Checker<ReadText>[] = [];
  for (const name of policy.text) checkers.push(await open(name).catch((error) => broken(name, error)));
  const knowledge = model?.knowledge;
  return { checkers, read: (text) => (knowledge === undefined ? unread(text) : readOnce(text, knowledge)), dispose };
}

function openDecoder(
  name: 'aegis' | 'llama-guard' | 'qwen-guard',
  policy: GuardPolicy,
  disposers: (() => Promise<void>)[],
): Checker<ReadText> {
  const { checker, dispose } = decoderChecker(name, policy.decoder);
  disposers.push(dispose);
  return checker;
}

type VideoStage = {
  readonly checkers: readonly Checker<TimedFrames>[];
  readonly faces: DetectorChoice | { readonly kind: 'broken'; readonly reason: string };
  dispose(): Promise<void>;
};

function openVideoStage(policy: GuardPolicy): VideoStage {
  const content = contentChecker(policy.content);
  const checkers = policy.video.map((name) => (name === 'frames' ? frameChecker(policy.frames) : content.checker));
  let faces: VideoStage['faces'];
  try {
    faces = openFaceDetector(policy.faces);
  } catch (error) {
    faces = { kind: 'broken', reason: error instanceof Error ? error.message : String(error) };
  }
  return {
    checkers,
    faces,
    async dispose() {
      await content.dispose();
      if (faces.kind === 'ready') await faces.detector.dispose();
    },
  };
}

/** Shortest side of generated frames in which faces are looked for, in pixels; in smaller ones they stay visible. */
export const LEAST_FACE_SIDE = 160;

/** Finds faces, follows them over time and hides them in a copy of the frames. */
async function editFaces(
  frames: GuardFrames,
  { subject, blurFaces: wants = true }: GuardFrameOptions,
  checked: GuardDecision,
  { faces }: VideoStage,
  policy: GuardPolicy,
  run: Parameters<typeof runCheckers>[2],
): Promise<GuardDecision & { readonly frames: GuardFrames | undefined }> {
  if (faces.kind === 'off' || !wants) {
    const check: GuardCheck = {
      checker: 'faces',
      version: '-',
      stage: 'post',
      subject,
      verdict: 'safe',
      category: '-',
      reason: 'face blur is switched off',
      ms: 0,
    };
    return { ...checked, checks: [...checked.checks, check], frames };
  }
  let edited: GuardFrames | undefined;
  const checker: Checker<GuardFrames> = {
    name: 'faces',
    version: faces.kind === 'ready' ? faces.detector.name : '-',
    async check(given) {
      if (faces.kind === 'broken') return { verdict: 'error', reason: faces.reason };
      if (faces.kind !== 'ready') return { verdict: 'not-configured', reason: faces.reason };
      const [t, height, width] = given.shape;
      // In frames this small the detector sees faces in balls, so nothing is looked at; a face that fills one stays visible.
      if (Math.min(width, height) < LEAST_FACE_SIDE)
        return {
          verdict: 'safe',
          reason: `faces stay visible: frames under ${LEAST_FACE_SIDE} pixels are not looked at`,
        };
      const each = height * width * 3;
      const looked = Array.from({ length: t }, (_, i) => {
        const isLooked = i % policy.faces.every === 0 || i === t - 1;
        return isLooked ? given.data.subarray(i * each, (i + 1) * each) : undefined;
      });
      const found = await detectFaces(faces.detector, looked, { width, height });
      const boxes = smoothFaces(found, policy.faces);
      const data = given.data.slice();
      let hidden = 0;
      for (const [i, list] of boxes.entries()) {
        const frame = { data: data.subarray(i * each, (i + 1) * each), width, height };
        hidden += blurFaces(frame, list, { ...policy.faces, mode: policy.faces.mode === 'fill' ? 'fill' : 'pixelate' });
      }
      edited = { dtype: 'u8', shape: given.shape, data };
      return { verdict: 'safe', reason: `${hidden} boxes hidden in ${t} frames` };
    },
  };
  const blurred = await runCheckers([checker], frames, run);
  const decision = joinDecisions([checked, blurred]);
  return { ...decision, frames: decision.isAllowed ? (edited ?? frames) : undefined };
}
