// What one renderer owns: buffers and tables, allocated once. Types and constructors only.

import type { Camera } from '../scene.ts';
import type { PartTable } from './parts.ts';
import type { Shading } from './shade.ts';

/** Side of a tile in pixels. */
export const TILE = 8;

/** What is known per pixel. */
export type Layer = {
  /** z-depth, Infinity = sky. */
  readonly depth: Float64Array;
  /** Part index, −1 = sky. */
  readonly part: Int32Array;
  /** World normal towards the camera, 3 values. */
  readonly normal: Float32Array;
  /** Display colour at the pixel's centre, 0…255, 3 values. */
  readonly color: Float32Array;
  /** Sunlight at the centre, 0…1. */
  readonly sun: Float32Array;
  /** 1 = the pixel was anti-aliased. */
  readonly border: Uint8Array;
  /** Finished 8-bit colour. */
  readonly rgb: Uint8Array;
  /** Box around the surface points sampled in each tile: min 3, max 3; min > max = only sky. */
  readonly bounds: Float64Array;
};

/** Allocates a layer. */
export function newLayer(pixels: number, tiles: number): Layer {
  return {
    depth: new Float64Array(pixels),
    part: new Int32Array(pixels),
    normal: new Float32Array(pixels * 3),
    color: new Float32Array(pixels * 3),
    sun: new Float32Array(pixels),
    border: new Uint8Array(pixels),
    rgb: new Uint8Array(pixels * 3),
    bounds: new Float64Array(tiles * 6),
  };
}

/** Copies all of a layer. */
export function copyLayer(from: Layer, to: Layer): void {
  to.depth.set(from.depth);
  to.part.set(from.part);
  to.normal.set(from.normal);
  to.color.set(from.color);
  to.sun.set(from.sun);
  to.border.set(from.border);
  to.rgb.set(from.rgb);
  to.bounds.set(from.bounds);
}

/** Everything one renderer owns. */
export type State = {
  readonly shading: Shading;
  readonly parts: PartTable;
  readonly camera: Camera;
  readonly width: number;
  readonly height: number;
  readonly tilesX: number;
  readonly tilesY: number;
  readonly antialias: boolean;
  /** Camera axes x, y, z in the world (rows of the rotation), then its position: 12 values. */
  readonly eye: Float64Array;
  /** Per part: first and last tile column, first and last tile row; first > last = nowhere. */
  readonly tileRange: Int32Array;
  readonly layer: Layer;
  readonly dither: Float32Array;
  /** Per part, 1 = moves during the clip. */
  readonly moving: Uint8Array;
  /** Parts that may cover the current tile. */
  readonly primary: Int32Array;
  /** Parts that may shadow, and that may dim, points of the current tile; their numbers are the first two `counts`. */
  readonly shadowers: Int32Array;
  readonly occluders: Int32Array;
  readonly counts: Int32Array;
  /** The moving ones of both lists. */
  readonly movers: Int32Array;
  /** All parts that take part in light (no planes), or the still ones of them. */
  readonly everyPart: Int32Array;
  /** Per tile, 1 = must be drawn again. */
  readonly dirty: Uint8Array;
  /** Centre and radius of the ball around the current tile's points. */
  readonly ball: Float64Array;
  /** Direction of the aimed primary ray. */
  readonly direction: Float64Array;
  /** A ray in a part's frame and its hit: see `RAY_SIZE`. */
  readonly ray: Float64Array;
  /** Surface points of the current tile's pixels, [64, 3]. */
  readonly points: Float64Array;
  /** Depth found by the last trace. */
  readonly found: Float64Array;
  /** Surface under the last ray: point 3, normal 3, point in part 3, view direction 3, distance. */
  readonly hit: Float64Array;
  /** Box of the tile whose light lists are current. */
  readonly box: Float64Array;
};
