// The two passes over a frame: light at every pixel's centre, then four samples in pixels on borders. With a still
// layer (`drawMoving`) only tiles touched by moving parts are worked on.

import { PLANE } from './parts.ts';
import { shadePoint, shadeSky } from './shade.ts';
import { mayShadow } from './shadow.ts';
import { mayOcclude } from './sky-light.ts';
import { type Layer, type State, TILE } from './state.ts';
import { listLight, listPrimary, markDirty } from './tiles.ts';
import { mix32 } from './tone.ts';
import { aim, reach, resolve, trace } from './trace.ts';

/** Rotated-grid sample positions inside a pixel, relative to its centre: x, y of each sample. */
const SUBPIXEL = [-0.125, -0.375, 0.375, -0.125, -0.375, 0.125, 0.125, 0.375] as const;
/** Neighbouring pixels form a border when their normals turn further than this cosine. */
const EDGE_COSINE = 0.9;
/** … or when their sunlight differs by more than this. */
const EDGE_SUNLIGHT = 0.2;

/** Which parts to draw. */
export type Selection = 'all' | 'still';

/** Draws every tile from nothing. */
export function drawAll(s: State, selection: Selection): void {
  const every = listEvery(s, selection);
  const which = selection === 'still' ? 1 : 0;
  for (let ty = 0; ty < s.tilesY; ty++) {
    for (let tx = 0; tx < s.tilesX; tx++) {
      const listed = listPrimary(s, tx, ty, which);
      traceTile(s, tx, ty, listed, false);
      lightTile(s, tx, ty, every, undefined);
    }
  }
  for (let ty = 0; ty < s.tilesY; ty++) {
    for (let tx = 0; tx < s.tilesX; tx++) finishTile(s, tx, ty, every, which, selection === 'still');
  }
}

/** Draws the moving parts over a still layer that `s.layer` is a copy of. */
export function drawMoving(s: State, still: Layer): void {
  markDirty(s, still.bounds);
  const every = listEvery(s, 'all');
  const { dirty, tilesX, tilesY } = s;
  for (let ty = 0; ty < tilesY; ty++) {
    for (let tx = 0; tx < tilesX; tx++) {
      if (dirty[ty * tilesX + tx] === 0) continue;
      const listed = listPrimary(s, tx, ty, 2);
      traceTile(s, tx, ty, listed, true);
      lightTile(s, tx, ty, every, still);
    }
  }
  for (let ty = 0; ty < tilesY; ty++) {
    for (let tx = 0; tx < tilesX; tx++) {
      const tile = ty * tilesX + tx;
      if (dirty[tile] === 1) finishTile(s, tx, ty, every, 0, false);
      else if (
        (tx > 0 && dirty[tile - 1] === 1) ||
        (tx + 1 < tilesX && dirty[tile + 1] === 1) ||
        (ty > 0 && dirty[tile - tilesX] === 1) ||
        (ty + 1 < tilesY && dirty[tile + tilesX] === 1)
      ) {
        finishSeam(s, tx, ty, every);
      }
    }
  }
}

/** Lists the parts that cast shadows: planes do not, nothing is seen from below them. */
function listEvery(s: State, selection: Selection): number {
  let n = 0;
  for (let p = 0; p < s.parts.count; p++) {
    if (s.parts.shape[p] !== PLANE && (selection === 'all' || s.moving[p] === 0)) s.everyPart[n++] = p;
  }
  return n;
}

/** Finds the nearest surface of every pixel of a tile. `onto`: search only for parts in front of what is there. */
function traceTile(s: State, tx: number, ty: number, listed: number, onto: boolean): void {
  const { layer, camera, width, found } = s;
  if (onto && listed === 0) return;
  const x1 = Math.min(width, tx * TILE + TILE);
  const y1 = Math.min(s.height, ty * TILE + TILE);
  for (let y = ty * TILE; y < y1; y++) {
    for (let x = tx * TILE; x < x1; x++) {
      const i = y * width + x;
      aim(s, (x + 0.5 - camera.cx) / camera.fx, (y + 0.5 - camera.cy) / camera.fy);
      found[0] = onto ? layer.depth[i]! : Number.POSITIVE_INFINITY;
      layer.part[i] = trace(s, listed, onto ? layer.part[i]! : -1);
      layer.depth[i] = found[0]!;
    }
  }
}

/**
 * Shades the centres of a tile whose surfaces are known. With a still layer, pixels that show a still part which no
 * moving part shadows or dims keep their colour.
 */
function lightTile(s: State, tx: number, ty: number, every: number, still: Layer | undefined): void {
  const { layer, camera, width, hit, points, found } = s;
  const { bounds } = layer;
  const box = (ty * s.tilesX + tx) * 6;
  const x0 = tx * TILE;
  const y0 = ty * TILE;
  const x1 = Math.min(width, x0 + TILE);
  const y1 = Math.min(s.height, y0 + TILE);
  const fogEnd = s.shading.light[20]!;
  emptyBox(bounds, box);
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const i = y * width + x;
      if (layer.part[i]! < 0) continue;
      found[0] = layer.depth[i]!;
      aim(s, (x + 0.5 - camera.cx) / camera.fx, (y + 0.5 - camera.cy) / camera.fy);
      reach(s);
      const at = ((y - y0) * TILE + x - x0) * 3;
      points[at] = hit[0]!;
      points[at + 1] = hit[1]!;
      points[at + 2] = hit[2]!;
      if (hit[12]! < fogEnd) growBox(bounds, box, hit);
    }
  }
  listLight(s, bounds, box, every);
  const movers = still === undefined ? 0 : listMovers(s);
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const i = y * width + x;
      const part = layer.part[i]!;
      if (still !== undefined && part === still.part[i] && (part < 0 || s.moving[part] === 0)) {
        if (part < 0 || movers === 0) continue;
        if (!touchedByMoving(s, ((y - y0) * TILE + x - x0) * 3)) continue;
      }
      found[0] = layer.depth[i]!;
      aim(s, (x + 0.5 - camera.cx) / camera.fx, (y + 0.5 - camera.cy) / camera.fy);
      shadeHit(s, part, 1 / camera.fx, mix32(i * 5), true, 0);
      const k = i * 3;
      const out = s.shading.out;
      layer.color[k] = out[0]!;
      layer.color[k + 1] = out[1]!;
      layer.color[k + 2] = out[2]!;
      layer.sun[i] = out[3]!;
      layer.normal[k] = part < 0 ? 0 : hit[3]!;
      layer.normal[k + 1] = part < 0 ? 0 : hit[4]!;
      layer.normal[k + 2] = part < 0 ? 0 : hit[5]!;
    }
  }
}

/** Keeps the moving parts of the tile's light lists in `s.movers`, shadowers first; returns their number. */
function listMovers(s: State): number {
  const { moving, shadowers, occluders, counts, movers } = s;
  let n = 0;
  for (let k = 0; k < counts[0]!; k++) if (moving[shadowers[k]!] === 1) movers[n++] = shadowers[k]!;
  counts[2] = n;
  for (let k = 0; k < counts[1]!; k++) if (moving[occluders[k]!] === 1) movers[n++] = occluders[k]!;
  counts[3] = n;
  return n;
}

/** Whether a moving part may change the light at a point of the tile. */
function touchedByMoving(s: State, at: number): boolean {
  const { points, movers, counts, shading } = s;
  const x = points[at]!;
  const y = points[at + 1]!;
  const z = points[at + 2]!;
  const shadowers = counts[2]!;
  for (let k = 0; k < shadowers; k++) if (mayShadow(shading, movers[k]!, x, y, z, 0)) return true;
  for (let k = shadowers; k < counts[3]!; k++) if (mayOcclude(shading, movers[k]!, x, y, z, 0)) return true;
  return false;
}

/**
 * Shades `part` where the aimed ray meets it at depth `s.found[0]`, with the tile's lists, or with `every` part when
 * the point lies outside the tile's box.
 * @param pixel width of the sampled area at depth 1
 */
function shadeHit(s: State, part: number, pixel: number, noise: number, centre: boolean, every: number): void {
  reach(s);
  if (part < 0) {
    shadeSky(s.shading);
    return;
  }
  resolve(s, part);
  const listed = centre || inBox(s.box, s.hit);
  shadePoint(
    s.shading,
    part,
    s.found[0]! * pixel,
    noise,
    listed ? s.shadowers : s.everyPart,
    listed ? s.counts[0]! : every,
    listed ? s.occluders : s.everyPart,
    listed ? s.counts[1]! : every,
  );
}

function inBox(box: Float64Array, point: Float64Array): boolean {
  return (
    point[0]! >= box[0]! &&
    point[1]! >= box[1]! &&
    point[2]! >= box[2]! &&
    point[0]! <= box[3]! &&
    point[1]! <= box[4]! &&
    point[2]! <= box[5]!
  );
}

/** Whether a border of bodies, edges or shadows runs between a pixel and one of its four neighbours. */
function isBorder(s: State, x: number, y: number): boolean {
  const i = y * s.width + x;
  return (
    (x > 0 && differs(s.layer, i, i - 1)) ||
    (x + 1 < s.width && differs(s.layer, i, i + 1)) ||
    (y > 0 && differs(s.layer, i, i - s.width)) ||
    (y + 1 < s.height && differs(s.layer, i, i + s.width))
  );
}

function differs(layer: Layer, i: number, j: number): boolean {
  if (layer.part[i] !== layer.part[j]) return true;
  if (layer.part[i]! < 0) return false;
  const change = layer.sun[i]! - layer.sun[j]!;
  if (change > EDGE_SUNLIGHT || change < -EDGE_SUNLIGHT) return true;
  const { normal } = layer;
  const a = i * 3;
  const b = j * 3;
  return normal[a]! * normal[b]! + normal[a + 1]! * normal[b + 1]! + normal[a + 2]! * normal[b + 2]! < EDGE_COSINE;
}

/** Second pass over a tile. `grow`: add the sampled points to the tile's bounds (for the still layer). */
function finishTile(s: State, tx: number, ty: number, every: number, which: number, grow: boolean): void {
  const { layer, width } = s;
  const x1 = Math.min(width, tx * TILE + TILE);
  const y1 = Math.min(s.height, ty * TILE + TILE);
  let listed = -1;
  for (let y = ty * TILE; y < y1; y++) {
    for (let x = tx * TILE; x < x1; x++) {
      const i = y * width + x;
      if (s.antialias && isBorder(s, x, y)) {
        if (listed < 0) listed = openTile(s, tx, ty, every, which);
        layer.border[i] = 1;
        samplePixel(s, x, y, listed, every, grow ? (ty * s.tilesX + tx) * 6 : -1);
      } else {
        layer.border[i] = 0;
        writePixel(s, i, layer.color[i * 3]!, layer.color[i * 3 + 1]!, layer.color[i * 3 + 2]!);
      }
    }
  }
}

/** Second pass over a clean tile beside a dirty one: only pixels whose border state changed. */
function finishSeam(s: State, tx: number, ty: number, every: number): void {
  const { layer, width } = s;
  const x0 = tx * TILE;
  const y0 = ty * TILE;
  const x1 = Math.min(width, x0 + TILE);
  const y1 = Math.min(s.height, y0 + TILE);
  let listed = -1;
  for (let y = y0; y < y1; y++) {
    const inner = y > y0 && y + 1 < y1;
    for (let x = x0; x < x1; x += inner && x === x0 ? Math.max(1, x1 - 1 - x0) : 1) {
      const i = y * width + x;
      const border = s.antialias && isBorder(s, x, y) ? 1 : 0;
      if (border === layer.border[i]) continue;
      layer.border[i] = border;
      if (border === 1) {
        if (listed < 0) listed = openTile(s, tx, ty, every, 0);
        samplePixel(s, x, y, listed, every, -1);
      } else writePixel(s, i, layer.color[i * 3]!, layer.color[i * 3 + 1]!, layer.color[i * 3 + 2]!);
    }
  }
}

/** Makes a tile's lists current; returns the number of parts that may cover it. */
function openTile(s: State, tx: number, ty: number, every: number, which: number): number {
  const at = (ty * s.tilesX + tx) * 6;
  for (let k = 0; k < 6; k++) s.box[k] = s.layer.bounds[at + k]!;
  listLight(s, s.box, 0, every);
  return listPrimary(s, tx, ty, which);
}

/** Mean of four samples inside a pixel, in display values: what the eye would average on a finer screen. */
function samplePixel(s: State, x: number, y: number, listed: number, every: number, growAt: number): void {
  const { camera, hit, shading, found } = s;
  const out = shading.out;
  const i = y * s.width + x;
  let r = 0;
  let g = 0;
  let b = 0;
  for (let n = 0; n < 4; n++) {
    aim(
      s,
      (x + 0.5 + SUBPIXEL[n * 2]! - camera.cx) / camera.fx,
      (y + 0.5 + SUBPIXEL[n * 2 + 1]! - camera.cy) / camera.fy,
    );
    found[0] = Number.POSITIVE_INFINITY;
    const part = trace(s, listed, -1);
    shadeHit(s, part, 0.5 / camera.fx, mix32(i * 5 + n + 1), false, every);
    if (growAt >= 0 && part >= 0 && hit[12]! < shading.light[20]!) growBox(s.layer.bounds, growAt, hit);
    r += out[0]!;
    g += out[1]!;
    b += out[2]!;
  }
  writePixel(s, i, 0.25 * r, 0.25 * g, 0.25 * b);
}

function writePixel(s: State, i: number, r: number, g: number, b: number): void {
  const k = i * 3;
  const { rgb } = s.layer;
  const { dither } = s;
  rgb[k] = quantise(r + dither[k]!);
  rgb[k + 1] = quantise(g + dither[k + 1]!);
  rgb[k + 2] = quantise(b + dither[k + 2]!);
}

function quantise(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}

function emptyBox(bounds: Float64Array, at: number): void {
  for (let k = 0; k < 3; k++) {
    bounds[at + k] = Number.POSITIVE_INFINITY;
    bounds[at + 3 + k] = Number.NEGATIVE_INFINITY;
  }
}

function growBox(bounds: Float64Array, at: number, point: Float64Array): void {
  for (let k = 0; k < 3; k++) {
    const c = point[k]!;
    if (c < bounds[at + k]!) bounds[at + k] = c;
    if (c > bounds[at + 3 + k]!) bounds[at + 3 + k] = c;
  }
}
