// The shot detector that a job names: ours, or the public TransNetV2 weights. One interface for both.
import { loadShotModel, type ShotDetector, scoreStream, transitionStream } from './detector.ts';
import { openTransnet, transnetFile } from './transnet.ts';

/** Opens a detector. @param model folder of ours, or a file or folder of TransNetV2 weights. Default: the shipped one */
export async function openDetector(model?: string): Promise<ShotDetector> {
  const file = model === undefined ? undefined : transnetFile(model);
  if (file !== undefined) return openTransnet(file);
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
