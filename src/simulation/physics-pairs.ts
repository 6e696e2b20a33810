// Friction and restitution per pair of bodies. Engines know only one value per collider and a rule to combine two;
// scenes name the value that acts. Bodies that need several values get one copy of their colliders per value.
import type { Body, PairRule, Scene } from './scene.ts';

/** Values that act where no rule matches. */
const DEFAULT: Surface = { friction: 0.5, restitution: 0 };

/** What acts between two bodies. */
export type Surface = { readonly friction: number; readonly restitution: number };

export type PairTable = {
  /** The distinct surfaces of the scene. */
  readonly surfaces: readonly Surface[];
  /** For each body index the surfaces (indices) that it needs colliders for. */
  readonly surfacesOf: readonly (readonly number[])[];
  /** Index of the surface between two body indices. */
  surfaceBetween(a: number, b: number): number;
};

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** The values between two bodies: the last rule that matches in either order. */
export function surfaceOf(pairs: readonly PairRule[], a: string, b: string): Surface {
  for (let i = pairs.length - 1; i >= 0; i--) {
    const rule = pairs[i]!;
    if ((matches(rule.a, a) && matches(rule.b, b)) || (matches(rule.a, b) && matches(rule.b, a))) {
      return { friction: rule.friction, restitution: rule.restitution };
    }
  }
  return DEFAULT;
}

/** Resolves the rules for every pair of bodies that can touch. */
export function pairTable(scene: Scene): PairTable {
  const bodies: readonly Body[] = scene.bodies;
  const surfaces: Surface[] = [];
  const index = new Int32Array(bodies.length * bodies.length).fill(-1);
  const needed = bodies.map(() => new Set<number>());
  for (let a = 0; a < bodies.length; a++) {
    for (let b = a + 1; b < bodies.length; b++) {
      if (bodies[a]!.kind !== 'dynamic' && bodies[b]!.kind !== 'dynamic') continue;
      const surface = surfaceOf(scene.pairs, bodies[a]!.name, bodies[b]!.name);
      let s = surfaces.findIndex((x) => x.friction === surface.friction && x.restitution === surface.restitution);
      if (s < 0) s = surfaces.push(surface) - 1;
      index[a * bodies.length + b] = index[b * bodies.length + a] = s;
      needed[a]!.add(s);
      needed[b]!.add(s);
    }
  }
  if (surfaces.length === 0) surfaces.push(DEFAULT);
  const surfacesOf = needed.map((set) => (set.size === 0 ? [0] : [...set]));
  return { surfaces, surfacesOf, surfaceBetween: (a, b) => index[a * bodies.length + b]! };
}
