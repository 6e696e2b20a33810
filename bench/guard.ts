// The guardrail, run compiled (paths are those of dist/bench): time per prompt, long prompts, opening, and face blur. Texts come from its own generator and from the corpus.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GuardFrames, Guardrail } from '../src/base/index.ts';
import { randomStream } from '../src/base/index.ts';
import {
  compose,
  generatedRows,
  openGuardrail,
  openSmallDetector,
  readBlocks,
  smallDetectorFolder,
} from '../src/guardrail/index.ts';
import { readImage, resizeFrames } from '../src/media/index.ts';
import { type Figure, figure } from './measure.ts';

const CORPUS = fileURLToPath(new URL('../../recipes/guard-corpus', import.meta.url));
const GUARD = new URL('../src/guardrail/index.js', import.meta.url).href;

/** Figures of the parts whose name contains `only`. */
export async function benchGuard(only: string): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const wants = (name: string): boolean => name.includes(only);
  if (wants('opening')) figures.push(opening());
  await using guard = await openGuardrail();
  if (wants('prompt')) figures.push(...(await prompts(guard)));
  if (wants('long')) figures.push(...(await longTexts(guard)));
  if (wants('faces') && smallDetectorFolder() !== undefined) figures.push(await faces(guard), ...(await recall()));
  return figures;
}

/** Processor time of opening and the first check in a fresh process that holds the pipelines already. */
function opening(): Figure {
  const script = `await import(${JSON.stringify(GUARD.replace('guardrail', 'worlds'))});
    const before = process.cpuUsage();
    const { openGuardrail } = await import(${JSON.stringify(GUARD)});
    const guard = await openGuardrail();
    await guard.checkTexts([{ subject: 'prompt', text: 'a red ball rolls down a ramp' }]);
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 1e6);
    await guard.dispose();`;
  const times = [0, 1, 2].map(() =>
    Number(
      execFileSync(process.execPath, [...process.execArgv, '--input-type=module', '-e', script], { encoding: 'utf8' }),
    ),
  );
  const value = times.sort((a, b) => a - b)[1]!;
  return figure({
    name: 'opening and first prompt',
    value,
    unit: 's of processor',
    of: 'middle of 3 processes',
    floor: 0.4,
    isCeiling: true,
  });
}

async function timeOf(guard: Guardrail, text: string): Promise<number> {
  const from = performance.now();
  await guard.checkTexts([{ subject: 'prompt', text }]);
  return performance.now() - from;
}

async function prompts(guard: Guardrail): Promise<Figure[]> {
  const rows = [...generatedRows(readBlocks(CORPUS), 4000, 7)];
  for (const { text } of rows.slice(0, 1000)) await timeOf(guard, text);
  const times: number[] = [];
  for (const { text } of rows.slice(1000)) times.push(await timeOf(guard, text));
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))]!;
  const of = '3000 generated prompts, all disguises and languages, after 1000';
  return [
    figure({ name: 'prompt, middle', value: at(0.5), unit: 'ms', of, floor: null }),
    figure({ name: 'prompt, 99th of 100', value: at(0.99), unit: 'ms', of, floor: 5, isCeiling: true }),
    figure({ name: 'prompt, slowest', value: at(1), unit: 'ms', of, floor: null }),
  ];
}

const LONG = 100_000;

/** Texts of 100 kB: sentences of the corpus, random letters, and signs for letters. */
async function longTexts(guard: Guardrail): Promise<Figure[]> {
  const random = randomStream(1, 'long texts');
  const safe = readBlocks(CORPUS).filter((b) => b.category === 0 && b.language === 'en');
  let sentences = '';
  while (sentences.length < LONG) sentences += `${compose(random.pick(safe), random).text}. `;
  let letters = '';
  while (letters.length < LONG) {
    for (let i = random.integer(3, 10); i > 0; i--) letters += String.fromCharCode(97 + random.integer(0, 25));
    letters += ' ';
  }
  const signs = sentences.replace(/e/g, '3').replace(/a/g, '@');
  const figures: Figure[] = [];
  for (const [name, text] of Object.entries({ sentences, letters, signs })) {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) times.push(await timeOf(guard, text.slice(0, LONG)));
    const value = times.slice(4).sort((a, b) => a - b)[2]!;
    figures.push(
      figure({
        name: `long text, ${name}`,
        value,
        unit: 'ms',
        of: '100 kB, middle of 5 after 4',
        floor: 100,
        isCeiling: true,
      }),
    );
  }
  return figures;
}

/** Blur over frames of moving noise: the network's work does not depend on what it sees. */
async function faces(guard: Guardrail): Promise<Figure> {
  const [count, height, width] = [48, 360, 640] as const;
  const random = randomStream(2, 'frames');
  const data = new Uint8Array(count * height * width * 3);
  const block = Uint8Array.from({ length: 65_521 }, () => random.integer(0, 255));
  for (let at = 0; at < data.length; at += block.length) data.set(block.subarray(0, data.length - at), at);
  const frames: GuardFrames = { dtype: 'u8', shape: [count, height, width, 3], data };
  const options = { subject: 'video', fps: 24 } as const;
  await guard.checkFrames(
    { ...frames, shape: [2, height, width, 3], data: data.subarray(0, 2 * height * width * 3) },
    options,
  );
  const from = performance.now();
  await guard.checkFrames(frames, options);
  const value = (count * 1000) / (performance.now() - from);
  return figure({ name: 'faces, 640x360', value, unit: 'frames/s', of: 'frame checks and blur', floor: 15 });
}

/**
 * Middles of the 22 faces in the sample photographs of the detector's package, in parts of width and height; marked by hand.
 * They are friendly pictures, chosen by the makers of the detector: read the figure as an upper bound.
 */
const MARKED: Readonly<Record<string, readonly (readonly [x: number, y: number])[]>> = {
  'sample1.jpg': [
    [0.254, 0.374],
    [0.501, 0.449],
    [0.811, 0.268],
  ],
  'sample2.jpg': [
    [0.211, 0.21],
    [0.517, 0.277],
    [0.818, 0.202],
  ],
  'sample3.jpg': [
    [0.35, 0.342],
    [0.625, 0.293],
    [0.832, 0.353],
  ],
  'sample4.jpg': [
    [0.18, 0.242],
    [0.388, 0.14],
    [0.553, 0.232],
    [0.696, 0.179],
  ],
  'sample5.jpg': [
    [0.37, 0.397],
    [0.441, 0.143],
    [0.621, 0.248],
    [0.79, 0.374],
    [0.244, 0.71],
  ],
  'sample6.jpg': [
    [0.184, 0.421],
    [0.395, 0.314],
    [0.654, 0.276],
    [0.844, 0.263],
  ],
};

/** Faces found at two sizes: upright, and with the picture darkened to a quarter. */
async function recall(): Promise<Figure[]> {
  const folder = join(smallDetectorFolder()!, '..', 'demo');
  if (!Object.keys(MARKED).every((name) => existsSync(join(folder, name)))) return [];
  const detector = openSmallDetector();
  const figures: Figure[] = [];
  for (const [label, side, light] of [
    ['640 wide', 640, 1],
    ['320 wide', 320, 1],
    ['640 wide, dark', 640, 0.25],
  ] as const) {
    let found = 0;
    let all = 0;
    let strays = 0;
    for (const [name, faces] of Object.entries(MARKED)) {
      const image = await readImage(join(folder, name));
      const [, h, w] = image.shape as [number, number, number, number];
      const height = Math.round((side * h) / w);
      const small = await resizeFrames(image, { width: side, height, fit: 'stretch' });
      const [boxes] = await detector.detect(
        small.data.map((v) => v * light),
        { width: side, height },
      );
      const holds = (
        b: { x1: number; y1: number; x2: number; y2: number },
        [x, y]: readonly [number, number],
      ): boolean =>
        b.x1 <= x * side && x * side <= b.x2 && b.y1 <= y * height && y * height <= b.y2 && b.x2 - b.x1 < 0.4 * side;
      all += faces.length;
      found += faces.filter((face) => boxes!.some((box) => holds(box, face))).length;
      strays += boxes!.filter((box) => !faces.some((face) => holds(box, face))).length;
    }
    const of = `${found} of ${all} faces on 6 sample photographs of the detector, ${strays} other boxes`;
    figures.push(figure({ name: `face recall, ${label}`, value: found / all, unit: 'share', of, floor: null }));
  }
  await detector.dispose();
  return figures;
}
