// Charts as SVG text: curves over time and dots with intervals. No script, no font file, readable in light and dark.

/** Eight colours that stay apart for most eyes (Okabe and Ito). The first is the model's. */
export const COLOURS = [
  '#0072b2',
  '#999999',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#f0e442',
] as const;

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A line of a chart; gaps where values are null. */
export type Line = { readonly label: string; readonly values: readonly (number | null)[] };

const WIDTH = 460;
const HEIGHT = 230;
const LEFT = 52;
const BOTTOM = 34;
const TOP = 12;
const RIGHT = 12;

/** Round numbers that span a range. */
export function ticks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const out: number[] = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) out.push(Number(v.toPrecision(12)));
  return out;
}

/** Curves over frames. @param first number of the first frame on the axis */
export function lineChart(
  lines: readonly Line[],
  options: { readonly title: string; readonly x: string; readonly first: number },
): string {
  const all = lines.flatMap((l) => l.values.filter((v) => v !== null));
  const length = Math.max(0, ...lines.map((l) => l.values.length));
  if (all.length === 0 || length < 2) return '';
  const spread = Math.max(...all) - Math.min(...all) || Math.abs(all[0]!) || 1;
  const low = Math.min(...all) - 0.06 * spread;
  const high = Math.max(...all) + 0.06 * spread;
  const x = (t: number): number => LEFT + (t / (length - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (v: number): number => TOP + (1 - (v - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const grid = ticks(low, high).map(
    (v) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(v).toFixed(1)}" y2="${y(v).toFixed(1)}"/>` +
      `<text x="${LEFT - 6}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${v}</text>`,
  );
  const marks = ticks(options.first, options.first + length - 1, 6).map(
    (v) => `<text x="${x(v - options.first).toFixed(1)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${v}</text>`,
  );
  const curves = lines.map((line, i) => {
    let pen = 'M';
    const d = line.values
      .map((v, t) => {
        if (v === null) {
          pen = 'M';
          return '';
        }
        const part = `${pen}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = 'L';
        return part;
      })
      .join('');
    const dash = i === 0 ? '' : ' stroke-dasharray="5 3"';
    return `<path d="${d}" fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="${i === 0 ? 2.5 : 1.6}"${dash}/>`;
  });
  return `<figure><figcaption>${escapeHtml(options.title)}</figcaption><svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(options.title)}">${grid.join('')}${marks.join('')}<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${escapeHtml(options.x)}</text>${curves.join('')}</svg></figure>`;
}

/** A mean with its interval. */
export type Dot = { readonly mean: number; readonly low: number | null; readonly high: number | null };

/** One row per group, one dot with its interval per system. */
export function dotChart(
  groups: readonly { readonly label: string; readonly dots: readonly (Dot | undefined)[] }[],
  options: { readonly title: string },
): string {
  const all = groups.flatMap((g) =>
    g.dots.flatMap((d) => (d === undefined ? [] : [d.low ?? d.mean, d.high ?? d.mean])),
  );
  if (all.length === 0) return '';
  const spread = Math.max(...all) - Math.min(...all) || Math.abs(all[0]!) || 1;
  const low = Math.min(...all) - 0.05 * spread;
  const high = Math.max(...all) + 0.05 * spread;
  const left = 120;
  const band = 15 + 7 * Math.max(1, groups[0]?.dots.length ?? 1);
  const height = TOP + groups.length * band + BOTTOM;
  const x = (v: number): number => left + ((v - low) / (high - low)) * (WIDTH - left - RIGHT);
  const grid = ticks(low, high).map(
    (v) =>
      `<line class="grid" x1="${x(v).toFixed(1)}" x2="${x(v).toFixed(1)}" y1="${TOP}" y2="${height - BOTTOM}"/>` +
      `<text x="${x(v).toFixed(1)}" y="${height - BOTTOM + 16}" text-anchor="middle">${v}</text>`,
  );
  const marks = groups.map((g, row) => {
    const top = TOP + row * band;
    const dots = g.dots.map((d, i) => {
      if (d === undefined) return '';
      const y = top + 9 + i * 7;
      const colour = COLOURS[i % COLOURS.length];
      const bar =
        d.low === null || d.high === null
          ? ''
          : `<line x1="${x(d.low).toFixed(1)}" x2="${x(d.high).toFixed(1)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="2"/>`;
      return `${bar}<circle cx="${x(d.mean).toFixed(1)}" cy="${y}" r="${i === 0 ? 4 : 3}" fill="${colour}"/>`;
    });
    return `<text x="${left - 8}" y="${top + band / 2 + 2}" text-anchor="end">${escapeHtml(g.label)}</text>${dots.join('')}`;
  });
  return `<figure><figcaption>${escapeHtml(options.title)}</figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(options.title)}">${grid.join('')}${marks.join('')}</svg></figure>`;
}
