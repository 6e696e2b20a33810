// Do two clips show the same pictures, whatever was done to them? Small luma pictures of both are laid over each other with
// the crops that happen (a border cut off on either side), and compared by correlation with the worst cells left out (a logo,
// a caption). Light and contrast do not count. This decides pairs that embeddings only propose.

/** Side of a signature's pictures. */
const SIGNATURE_SIDE = 24;
/** Where in a clip they are taken. */
export const SIGNATURE_MOMENTS = [0.1, 0.5, 0.9] as const;

const CELLS = SIGNATURE_SIDE * SIGNATURE_SIDE;

/** Mean luma of SIDE x SIDE cells of each picture. */
export function signatureOf(pictures: readonly Uint8Array[], width: number, height: number): Uint8Array {
  const side = SIGNATURE_SIDE;
  const out = new Uint8Array(pictures.length * CELLS);
  pictures.forEach((luma, k) => {
    for (let r = 0; r < side; r++) {
      const y0 = Math.floor((r * height) / side);
      const y1 = Math.max(y0 + 1, Math.floor(((r + 1) * height) / side));
      for (let c = 0; c < side; c++) {
        const x0 = Math.floor((c * width) / side);
        const x1 = Math.max(x0 + 1, Math.floor(((c + 1) * width) / side));
        let sum = 0;
        for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) sum += luma[y * width + x]!;
        out[k * CELLS + r * side + c] = Math.round(sum / ((y1 - y0) * (x1 - x0)));
      }
    }
  });
  return out;
}

/** Where cell u of one picture lies in the other: u·scale + (x, y), all in shares of the picture. */
type Placement = { readonly scale: number; readonly x: number; readonly y: number };

/** The whole, and windows of 97 to 80 % at nine places: a centred crop, or one that keeps a corner or a side. */
const PLACEMENTS: readonly Placement[] = [
  { scale: 1, x: 0, y: 0 },
  ...[0.97, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8].flatMap((scale) =>
    [0, 0.5, 1].flatMap((x) => [0, 0.5, 1].map((y) => ({ scale, x: x * (1 - scale), y: y * (1 - scale) }))),
  ),
];

/** Variance of a picture whose deviations, below two grey levels, are noise of coding. */
const FLAT = 4;

/** Share of cells that may differ: logos, captions, timestamps. */
const TRIMMED = 0.06;

/** What `pictureAgreement` found. */
export type Agreement = {
  /** Correlation of the pictures, −1…1: the worst moment under the best placement. 0 where a picture is flat. */
  readonly look: number;
  /** Correlation of what changes between the moments, −1…1; 1 when nothing changes in either. */
  readonly change: number;
};

/** Root mean square change, in grey levels, below which nothing has happened between two moments. */
const STILL = 1;

/**
 * How well two signatures agree. Changes count by themselves: before a fixed camera every episode of a robot has the same
 * look, and only what moves tells them apart.
 */
export function pictureAgreement(a: Uint8Array, b: Uint8Array): Agreement {
  const moments = Math.min(a.length, b.length) / CELLS;
  if (moments < 1) return { look: 0, change: 0 };
  // Coarse: the middle moment at a quarter of the cells; fine: all of it at the best few placements.
  const middle = moments >> 1;
  const tries = PLACEMENTS.flatMap((placement) =>
    (placement.scale === 1 ? [false] : [false, true]).map((isInverse) => {
      const [outer, inner] = isInverse ? [b, a] : [a, b];
      return { placement, outer, inner, rough: agree(cells(outer, inner, middle, placement, 2)) };
    }),
  );
  tries.sort((s, t) => t.rough - s.rough);
  let best: Agreement = { look: -1, change: 0 };
  for (const { placement, outer, inner } of tries.slice(0, 3)) {
    const placed = Array.from({ length: moments }, (_, k) => cells(outer, inner, k, placement, 1));
    const look = Math.min(...placed.map(agree));
    if (look > best.look) best = { look, change: changeOf(placed) };
  }
  return best;
}

/** The same cells of two pictures. */
type Cells = { readonly p: Float64Array; readonly q: Float64Array };

function changeOf(placed: readonly Cells[]): number {
  let worst = 1;
  for (let k = 1; k < placed.length; k++)
    for (let j = 0; j < k; j++) {
      const dp = placed[k]!.p.map((v, i) => v - placed[j]!.p[i]!);
      const dq = placed[k]!.q.map((v, i) => v - placed[j]!.q[i]!);
      if (Math.max(rms(dp), rms(dq)) < STILL) continue;
      worst = Math.min(worst, correlation(dp, dq)?.r ?? 0);
    }
  return worst;
}

const rms = (values: Float64Array): number =>
  Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / Math.max(1, values.length));

/** Cells of one moment: `inner` is `outer` seen through a window. */
function cells(outer: Uint8Array, inner: Uint8Array, moment: number, { scale, x, y }: Placement, step: number): Cells {
  const side = SIGNATURE_SIDE;
  const at = moment * CELLS;
  const n = Math.ceil(side / step) ** 2;
  const p = new Float64Array(n);
  const q = new Float64Array(n);
  let i = 0;
  for (let r = 0; r < side; r += step)
    for (let c = 0; c < side; c += step, i++) {
      // Middles of cells, in cells of the outer picture.
      const v = Math.min(side - 1, Math.max(0, (r + 0.5) * scale + y * side - 0.5));
      const u = Math.min(side - 1, Math.max(0, (c + 0.5) * scale + x * side - 0.5));
      const [v0, u0] = [Math.floor(v), Math.floor(u)];
      const [v1, u1] = [Math.min(side - 1, v0 + 1), Math.min(side - 1, u0 + 1)];
      const [fv, fu] = [v - v0, u - u0];
      p[i] =
        (outer[at + v0 * side + u0]! * (1 - fu) + outer[at + v0 * side + u1]! * fu) * (1 - fv) +
        (outer[at + v1 * side + u0]! * (1 - fu) + outer[at + v1 * side + u1]! * fu) * fv;
      q[i] = inner[at + r * side + c]!;
    }
  return { p, q };
}

/** Trimmed correlation. */
function agree({ p, q }: Cells): number {
  const first = correlation(p, q);
  if (first === undefined || first.isFlat) return 0;
  // What does not fit the line between the two is left out, up to a share, and the rest is asked again.
  const { slope, offset } = first;
  const misfits = Array.from(p, (value, k) => Math.abs(q[k]! - offset - slope * value));
  const limit = [...misfits].sort((s, t) => s - t)[Math.floor(p.length * (1 - TRIMMED)) - 1]!;
  return correlation(p, q, (k) => misfits[k]! <= limit)?.r ?? 0;
}

function correlation(
  p: Float64Array,
  q: Float64Array,
  isIn?: (k: number) => boolean,
): { r: number; slope: number; offset: number; isFlat: boolean } | undefined {
  let [n, sp, sq, pp, qq, pq] = [0, 0, 0, 0, 0, 0];
  for (let k = 0; k < p.length; k++) {
    if (isIn !== undefined && !isIn(k)) continue;
    n++;
    sp += p[k]!;
    sq += q[k]!;
    pp += p[k]! ** 2;
    qq += q[k]! ** 2;
    pq += p[k]! * q[k]!;
  }
  const vp = pp / n - (sp / n) ** 2;
  const vq = qq / n - (sq / n) ** 2;
  if (vp <= 0 || vq <= 0) return undefined;
  const cov = pq / n - (sp / n) * (sq / n);
  const slope = cov / vp;
  return { r: cov / Math.sqrt(vp * vq), slope, offset: sq / n - (slope * sp) / n, isFlat: vp < FLAT || vq < FLAT };
}
