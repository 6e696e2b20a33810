// Words for what is in a scene: objects, counts, floors, light and camera. Grammar only, no story.

import { colorName } from './scenarios/palette.ts';
import type { Body, Camera, Light, Scene, Vec3 } from './scene.ts';

/** A dynamic object as a caption names it. */
export type Thing = {
  readonly body: Body;
  readonly color: string;
  readonly shape: string;
  /** small, medium-sized or large, by the largest half extent. */
  readonly size: string;
};

const NUMBERS = [
  'no',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
];

export const numberWord = (n: number): string => NUMBERS[n] ?? String(n);
export const plural = (noun: string): string => (/(s|x|ch)$/.test(noun) ? `${noun}es` : `${noun}s`);
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const withArticle = (phrase: string): string => `${/^[aeiou]/.test(phrase) ? 'an' : 'a'} ${phrase}`;

/** "a", "a and b", "a, b and c". */
export function list(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

function shapeWord(body: Body): string {
  if (body.class === 'domino') return 'domino';
  if (body.class === 'top') return 'disc';
  if (body.class === 'ball') return 'ball';
  if (body.class === 'cylinder') return 'cylinder';
  const size = body.parts[0]?.size ?? [];
  const [least, most] = [Math.min(...size), Math.max(...size)];
  if (body.parts[0]?.shape !== 'box') return body.class;
  return most <= 1.15 * least ? 'cube' : least < 0.25 * most ? 'tile' : 'box';
}

function sizeWord(body: Body): string {
  const { shape, size } = body.parts[0]!;
  const half = shape === 'capsule' ? size[0]! + size[1]! : Math.max(...size);
  return half < 0.09 ? 'small' : half < 0.15 ? 'medium-sized' : 'large';
}

/** The objects that can move, in the order of the scene. */
export function thingsOf(scene: Scene): readonly Thing[] {
  return scene.bodies
    .filter((body) => body.kind === 'dynamic' && body.class !== 'plank')
    .map((body) => {
      const material = scene.materials[body.parts[0]!.material];
      const color = colorName(material?.color ?? [0.5, 0.5, 0.5]);
      return { body, color, shape: shapeWord(body), size: sizeWord(body) };
    });
}

/** "a red ball", "two red balls", "a red ball and a blue cube": equal ones are counted together. */
export function groupOf(things: readonly Thing[], adjective: (thing: Thing) => string = () => ''): string {
  const counts = new Map<string, { count: number; thing: Thing }>();
  for (const thing of things) {
    const words = [adjective(thing), thing.color, thing.shape].filter(Boolean).join(' ');
    counts.set(words, { count: (counts.get(words)?.count ?? 0) + 1, thing });
  }
  return list(
    [...counts].map(([words, { count, thing }]) => {
      if (count === 1) return withArticle(words);
      return `${numberWord(count)} ${words.slice(0, words.length - thing.shape.length)}${plural(thing.shape)}`;
    }),
  );
}

/** "the red ball"; where another one looks alike, "the first red ball" by the order of the scene. */
export function nameOf(thing: Thing, things: readonly Thing[]): string {
  const alike = things.filter((other) => other.color === thing.color && other.shape === thing.shape);
  const ordinals = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth', 'tenth'];
  const which = alike.length > 1 ? `${ordinals[alike.indexOf(thing)] ?? 'last'} ` : '';
  return `the ${which}${thing.color} ${thing.shape}`;
}

const FLOOR_WORDS: Readonly<Record<string, string>> = {
  wood: 'wooden',
  tiles: 'tiled',
  checker: 'checkered',
  stone: 'stone',
  fbm: 'stone',
  grey: 'plain grey',
  beige: 'plain beige',
};

/** "wooden", "tiled", …; the word before "floor". */
export function floorWord(scene: Scene): string {
  const material = scene.bodies.find((body) => body.class === 'floor')?.parts[0]?.material ?? '';
  const texture = scene.materials[material]?.texture ?? 'flat';
  return FLOOR_WORDS[material.replace(/^floor_/, '')] ?? FLOOR_WORDS[texture] ?? 'plain';
}

/** "bright daylight", "low sun with long shadows", … */
export function lightWords(light: Light): string {
  const elevation = (Math.asin(Math.min(1, light.sunDir[2])) * 180) / Math.PI;
  const base = elevation < 42 ? 'low sun with long shadows' : elevation > 58 ? 'high sun' : 'bright daylight';
  if (light.softness <= 0.09) return base;
  return base.includes('shadows') ? `${base.replace('long', 'long, soft')}` : `${base} and soft shadows`;
}

/** Right of the picture as a world direction, from the first camera at frame 0. */
export function rightOf(scene: Scene): Vec3 {
  const m = scene.cameras[0]?.worldToCamera[0] ?? [1, 0, 0];
  return [m[0]!, m[1]!, m[2]!];
}

/** "a static camera, slightly above the scene". */
export function cameraWords(camera: Camera): string {
  const m = camera.worldToCamera[0]!;
  // Row 2 is the viewing direction; its z component is minus the sine of the elevation.
  const elevation = (Math.asin(-m[10]!) * 180) / Math.PI;
  const height = elevation < 12 ? 'at eye level' : elevation < 38 ? 'slightly above the scene' : 'high above the scene';
  return `${camera.worldToCamera.length > 1 ? 'a slowly moving camera' : 'a static camera'} ${height}`;
}
