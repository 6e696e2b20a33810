// Faces over time: boxes of neighbouring frames are tied into tracks, gaps are filled, ends are held, so that no face shows
// for a frame because a detector blinked.
import { type FaceBox, overlap } from '../../nets/index.ts';

export type TrackOptions = {
  /** Longest gap that is filled, and frames that a face stays hidden before it was first and after it was last seen. */
  readonly hold: number;
  /** Frames from one look to the next; gaps up to this are no gaps, and a face stays hidden for as long at least. */
  readonly every: number;
};

type Track = { readonly seen: { readonly frame: number; readonly box: FaceBox }[] };

/** Least IoU that ties two boxes; faces move little between frames. */
const TIE = 0.15;

/** Boxes to hide in each frame, from the boxes found in the frames that were looked at. */
export function smoothFaces(found: readonly (readonly FaceBox[])[], { hold, every }: TrackOptions): FaceBox[][] {
  const tracks: Track[] = [];
  let open: Track[] = [];
  for (const [frame, boxes] of found.entries()) {
    open = open.filter((t) => frame - last(t).frame <= hold + every);
    const free = new Set(open);
    for (const box of boxes) {
      let best: Track | undefined;
      let bestOverlap = TIE;
      for (const track of free) {
        const o = overlap(last(track).box, box);
        if (o > bestOverlap) [best, bestOverlap] = [track, o];
      }
      if (best === undefined) {
        best = { seen: [] };
        tracks.push(best);
        open.push(best);
      } else free.delete(best);
      best.seen.push({ frame, box });
    }
  }
  const out: FaceBox[][] = found.map(() => []);
  // A face may have come or gone anywhere between two looks.
  const reach = Math.max(hold, every - 1);
  for (const track of tracks) hide(track, reach, out);
  return out;
}

const last = (t: Track): Track['seen'][number] => t.seen[t.seen.length - 1]!;

function hide({ seen }: Track, hold: number, out: FaceBox[][]): void {
  const first = seen[0]!;
  for (let f = Math.max(0, first.frame - hold); f < first.frame; f++) out[f]!.push(first.box);
  for (const [i, { frame, box }] of seen.entries()) {
    out[frame]!.push(box);
    const next = seen[i + 1];
    if (next === undefined) {
      for (let f = frame + 1; f <= Math.min(out.length - 1, frame + hold); f++) out[f]!.push(box);
      continue;
    }
    for (let f = frame + 1; f < next.frame; f++)
      out[f]!.push(between(box, next.box, (f - frame) / (next.frame - frame)));
  }
}

/** The box between two, and around both a little: interpolation may be wrong, hiding more is not. */
function between(a: FaceBox, b: FaceBox, u: number): FaceBox {
  const mix = (p: number, q: number): number => p + (q - p) * u;
  return {
    x1: mix(a.x1, b.x1),
    y1: mix(a.y1, b.y1),
    x2: mix(a.x2, b.x2),
    y2: mix(a.y2, b.y2),
    score: Math.min(a.score, b.score),
  };
}
