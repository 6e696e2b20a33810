// The shot detector that a job names: ours, or the public TransNetV2 weights. One interface for both.
import { loadShotModel, scoreStream, type Transition, transitionStream } from './detector.ts';
import { openTransnet, transnetFile } from './transnet.ts';

/** Small pictures (uint8 RGB [27, 48, 3]) in, transitions out, in order. */
export type ShotStream = {
  /** Frames from this one on may still belong to a transition that is not told yet. */
  readonly undecidedFrom: number;
  push(rgb: Uint8Array): Transition[] | Promise<Transition[]>;
  end(): Transition[] | Promise<Transition[]>;
};

/** An open detector. */
export type ShotDetector = {
  /** Most frames that the answer for a frame is behind the newest one. */
  readonly delay: number;
  /** @param threshold smallest score. Default: the detector's own */
  stream(threshold?: number): ShotStream;
  dispose(): Promise<void>;
};

/** Opens a detector. @param model folder of ours, or a file or folder of TransNetV2 weights. Default: the shipped one */
export async function openDetector(model?: string): Promise<ShotDetector> {
  const file = model === undefined ? undefined : transnetFile(model);
  if (file !== undefined) {
    const net = await openTransnet(file);
    return { delay: 125, stream: (threshold) => net.stream(threshold), dispose: () => net.dispose() };
  }
  const own = loadShotModel(model);
  return {
    delay: scoreStream(own).delay,
    stream(threshold = own.threshold) {
      const scores = scoreStream(own);
      const events = transitionStream(threshold);
      return {
        get undecidedFrom() {
          return events.undecidedFrom;
        },
        push(rgb) {
          const score = scores.push(rgb);
          return score === undefined ? [] : events.push(score);
        },
        end: () => [...scores.end().flatMap((score) => events.push(score)), ...events.end()],
      };
    },
    dispose: async () => {},
  };
}
