// Writes a finished benchmark: scores.json, clips.parquet, report.html, summary.png. Each file appears whole or not at all.
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { writeFileAtomic } from '../../formats/index.ts';
import { contactSheet, type Frames } from '../../media/index.ts';
import { reportHtml, type ShownClip } from './html.ts';
import { mp4Bytes, sideBySide } from './panels.ts';
import { type Results, scoresOf, summarise } from './table.ts';

/** A clip for the report: its panels from left to right. */
export type PanelClip = {
  readonly heading: string;
  readonly caption: string;
  readonly isBest: boolean;
  readonly fps: number;
  /** All of one size; the label of each is said in the caption. */
  readonly panels: readonly { readonly label: string; readonly frames: Frames }[];
};

/** Names of the files in the folder. */
export type ReportFiles = Readonly<Record<'scores' | 'table' | 'report' | 'summary', string>>;

/** Writes the four files into `dir`. */
export async function writeReport(
  dir: string,
  results: Results,
  clips: readonly PanelClip[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<ReportFiles> {
  const files = {
    scores: join(dir, 'scores.json'),
    table: join(dir, 'clips.parquet'),
    report: join(dir, 'report.html'),
    summary: join(dir, 'summary.png'),
  };
  writeFileAtomic(files.table, parquetOf(results));
  const shown: ShownClip[] = [];
  for (const clip of clips) {
    const width = clip.panels[0]!.frames.shape[2];
    const zoom = Math.max(1, Math.min(2, Math.floor(256 / width)));
    const video = await mp4Bytes(
      sideBySide(
        clip.panels.map((p) => p.frames),
        zoom,
      ),
      clip.fps,
      options.signal,
    );
    const order = clip.panels.map((p) => p.label).join(' | ');
    shown.push({ heading: clip.heading, caption: `${order}. ${clip.caption}`, video, isBest: clip.isBest });
  }
  writeFileAtomic(files.report, reportHtml(results, shown));
  const sheet = await summaryPng(results, clips);
  if (sheet !== undefined) writeFileAtomic(files.summary, sheet);
  // Last: a folder with scores is complete.
  writeFileAtomic(files.scores, `${JSON.stringify(scoresOf(results), null, 2)}\n`);
  return files;
}

/** One row per clip and system; undefined values are nulls, per-frame values JSON text. */
function parquetOf(results: Results): Uint8Array {
  const { rows, metrics } = results;
  const text = (name: string, data: (string | null)[]) => ({ name, data, type: 'STRING' as const, nullable: true });
  const columnData = [
    text(
      'clip',
      rows.map((r) => r.clip),
    ),
    text(
      'group',
      rows.map((r) => r.group),
    ),
    text(
      'system',
      rows.map((r) => r.system),
    ),
    ...metrics.map((m) => ({
      name: m.name,
      data: rows.map((r) => r.values[m.name] ?? null),
      type: 'DOUBLE' as const,
      nullable: true,
    })),
    text(
      'notes',
      rows.map((r) => (r.notes === undefined || r.notes.length === 0 ? null : r.notes.join('; '))),
    ),
    text(
      'series',
      rows.map((r) => (r.series === undefined ? null : JSON.stringify(r.series))),
    ),
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}

const ascii = (s: string): string =>
  s
    .replace(/[–—]/g, '-')
    .replaceAll('×', 'x')
    .replace(/[^\x20-\x7e]/g, '');

/** The scores in words above frames of the best and worst clips. */
async function summaryPng(results: Results, clips: readonly PanelClip[]): Promise<Uint8Array | undefined> {
  if (clips.length === 0) return undefined;
  const [first, ...others] = results.systems;
  const words = results.metrics.slice(0, 4).map((m) => {
    const of = (system: string): string => {
      const { mean } = summarise(
        results.rows.filter((r) => r.system === system),
        m.name,
      );
      return mean === null ? '-' : mean.toFixed(m.digits);
    };
    const beside = others.map((o) => `${o} ${of(o)}`).join(', ');
    return `${m.label} ${of(first!)}${beside === '' ? '' : ` (${beside})`}`;
  });
  const black: Frames = { dtype: 'u8', shape: [1, 2, 64, 3], data: new Uint8Array(2 * 64 * 3).fill(24) };
  const rows = [results.title, ...words].map((label) => ({ label: ascii(label), frames: black }));
  for (const clip of clips.slice(0, 6)) {
    for (const [i, p] of clip.panels.slice(0, 3).entries()) {
      rows.push({ label: ascii(i === 0 ? `${clip.heading}: ${p.label}` : p.label), frames: p.frames });
    }
  }
  return contactSheet(rows, { columns: 11, cellWidth: 112 });
}
