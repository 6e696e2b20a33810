// The HTML report of a job: one page, no scripts from elsewhere, pictures by relative path.
import { join } from 'node:path';
import { writeFileAtomic } from '../../formats/index.ts';
import type { ClipResult } from '../clip-work.ts';
import type { StageProgress } from '../engine/pipeline.ts';
import type { JobFacts } from './finish.ts';

const MAX_PICTURES = 400;

const html = (text: unknown): string => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** Writes `report.html`; returns its path. */
export function writeReport(
  out: string,
  facts: JobFacts,
  options: { readonly seconds?: number; readonly stages?: readonly StageProgress[] } = {},
): string {
  const clips = facts.results.flatMap((r) => r.clips);
  const kept = clips.filter((c) => c.rejected === undefined);
  const filtered = clips.filter((c) => c.rejected !== undefined);
  const total = (list: readonly ClipResult[]): string => (list.reduce((a, c) => a + c.seconds, 0) / 60).toFixed(1);
  const row = (cells: readonly unknown[], tag = 'td'): string =>
    `<tr>${cells.map((c) => `<${tag}>${html(c)}</${tag}>`).join('')}</tr>`;
  const reasons = new Map<string, number>();
  for (const c of filtered) reasons.set(c.rejected!.by, (reasons.get(c.rejected!.by) ?? 0) + 1);
  const stages = options.stages ?? [];
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Curation report</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:left}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:12px}
figure{margin:0;font-size:12px}img{width:100%;height:120px;object-fit:cover;background:#eee;border-radius:4px}
.bad{color:#a00}@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#333}}
</style><h1>Curation report</h1>
<table>${row(['videos', facts.videos.size])}${row(['curated', facts.results.length])}${row(['could not be curated', facts.dead.length])}
${row(['clips kept', `${kept.length} (${total(kept)} min)`])}${row(['clips filtered out', `${filtered.length} (${total(filtered)} min)`])}
${options.seconds === undefined ? '' : row(['run time', `${options.seconds.toFixed(0)} s`])}</table>
${stages.length === 0 ? '' : `<h2>Stages</h2><table>${row(['stage', 'done', 'failed', 'tried again', 'per second'], 'th')}${stages.map((s) => row([s.name, s.done, s.dead, s.retried, s.rate.toFixed(2)])).join('')}</table>`}
${histogram(
  'Length of kept clips, seconds',
  kept.map((c) => c.seconds),
)}
${histogram(
  'Motion (global mean, thousandths)',
  kept.flatMap((c) => (c.motion === undefined ? [] : [c.motion.globalMean * 1000])),
)}
${histogram(
  'Brightness',
  kept.map((c) => c.quality.brightness),
)}
${reasons.size === 0 ? '' : `<h2>Filtered out</h2><table>${row(['by', 'clips'], 'th')}${[...reasons].map(([k, n]) => row([k, n])).join('')}</table>`}
${
  facts.dead.length === 0
    ? ''
    : `<h2 class="bad">Not curated</h2><table>${row(['what', 'stage', 'attempts', 'reason'], 'th')}${facts.dead
        .slice(0, 1000)
        .map((d) => row([d.name, d.stage, d.attempts, d.error.message]))
        .join('')}</table>`
}
<h2>Videos</h2><table>${row(['video', 'size', 'fps', 'seconds', 'transitions', 'clips', 'note'], 'th')}${facts.results
    .slice(0, 1000)
    .map(({ record: r, clips: own }) =>
      row([
        r.video,
        `${r.width}x${r.height}`,
        r.framerate.toFixed(2),
        r.duration.toFixed(1),
        r.transitions,
        own.length,
        r.problem ?? (r.decode_errors > 0 ? `${r.decode_errors} decoding errors` : ''),
      ]),
    )
    .join('')}</table>
<h2>Clips kept</h2><div class="grid">${kept.slice(0, MAX_PICTURES).map(figure).join('')}</div>
${filtered.length === 0 ? '' : `<h2>Clips filtered out</h2><div class="grid">${filtered.slice(0, MAX_PICTURES).map(figure).join('')}</div>`}
${clips.length > MAX_PICTURES ? `<p>Pictures of at most ${MAX_PICTURES} clips of each kind are shown; clips.parquet has all ${clips.length}.</p>` : ''}</html>\n`;
  const path = join(out, 'report.html');
  writeFileAtomic(path, page);
  return path;
}

function figure(clip: ClipResult): string {
  const path = (p: string): string => p.split('/').map(encodeURIComponent).join('/');
  const note =
    clip.rejected === undefined ? (clip.caption?.text ?? '') : `${clip.rejected.by}: ${clip.rejected.reason}`;
  return `<figure><a href="${path(clip.file)}"><img loading="lazy" src="${path(clip.thumbnail)}" alt="${html(clip.id)}"></a><figcaption>${html(clip.video)} ${clip.span[0].toFixed(1)}–${clip.span[1].toFixed(1)} s<br>${html(note.slice(0, 220))}</figcaption></figure>`;
}

/** Ten bars as an inline picture. */
function histogram(title: string, values: readonly number[]): string {
  if (values.length === 0) return '';
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const counts = new Array<number>(10).fill(0);
  for (const v of values) counts[Math.min(9, Math.floor(((v - low) / (high - low || 1)) * 10))]!++;
  const most = Math.max(...counts);
  const bars = counts
    .map(
      (n, i) =>
        `<rect x="${i * 30}" y="${60 - (n / most) * 56}" width="26" height="${(n / most) * 56}" fill="#4a7ab5"><title>${n}</title></rect>`,
    )
    .join('');
  return `<h2>${html(title)}</h2><svg width="300" height="80" role="img" aria-label="${html(title)}">${bars}<text x="0" y="76" font-size="11" fill="currentColor">${low.toPrecision(3)}</text><text x="298" y="76" font-size="11" text-anchor="end" fill="currentColor">${high.toPrecision(3)}</text></svg>`;
}
