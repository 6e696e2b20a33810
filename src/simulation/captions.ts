// Captions of simulated clips, from the scene's parameters and what the trajectory shows. Never guesses from pixels.
import { type RandomStream, randomStream } from '../base/index.ts';
import { storyOf } from './captions-stories.ts';
import { cameraWords, capital, floorWord, lightWords } from './captions-words.ts';
import type { Scene, Trajectory } from './scene.ts';

export type CaptionStyle = 'short' | 'medium' | 'long';

export type CaptionOptions = {
  /** One sentence; with start and outcome; with camera, light and the order of events. Default: medium. */
  readonly style?: CaptionStyle;
  /**
   * Whether to tell how it ends. A caption for a model that must predict the end should not.
   * Default: drawn from the seed, half of the clips each.
   */
  readonly outcome?: boolean;
  /** Chooses among phrasings. Default: the scene's seed. */
  readonly seed?: number;
};

/** Describes a clip in English. The same scene, trajectory and options give the same words. */
export function captionOf(scene: Scene, trajectory: Trajectory, options: CaptionOptions = {}): string {
  const { style = 'medium', seed = scene.seed } = options;
  const random: RandomStream = randomStream(seed, 'caption');
  const tellsOutcome = options.outcome ?? random.uniform() < 0.5;
  const story = storyOf(scene, trajectory, random);
  const floor = `${floorWord(scene)} floor`;
  const summary = `${capital(story.summary.replace('{floor}', floor))}.`;
  if (style === 'short') return summary;

  const sentences = [summary];
  if (story.start !== undefined) sentences.push(`${capital(story.start)}.`);
  if (style === 'medium') {
    if (tellsOutcome && story.outcome !== undefined) sentences.push(`${capital(story.outcome)}.`);
    return sentences.join(' ');
  }
  const { light, cameras } = scene;
  if (tellsOutcome && story.moments.length > 0) {
    const times = story.moments.map(({ time, text }) => `at ${time.toFixed(1)} s ${text}`);
    sentences.push(`${capital(times.join(', '))}.`);
  }
  if (tellsOutcome && story.outcome !== undefined) sentences.push(`${capital(story.outcome)}.`);
  if (cameras[0] !== undefined) sentences.push(`The scene is filmed by ${cameraWords(cameras[0])}.`);
  sentences.push(`The light is ${lightWords(light)}.`);
  return sentences.join(' ');
}
