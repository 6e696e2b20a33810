// The report as one HTML file that needs no network: score table with intervals, charts, and best and worst clips as video.
import { COLOURS, type Dot, dotChart, escapeHtml, lineChart } from './charts.ts';
import { groupsOf, type MetricInfo, meanSeries, type Results, type Summary, summarise } from './table.ts';

/** A clip to show: a video file's bytes and what is to be said about it. */
export type ShownClip = {
  readonly heading: string;
  readonly caption: string;
  /** mp4. */
  readonly video: Uint8Array;
  readonly isBest: boolean;
};

const number = (value: number | null, metric: MetricInfo): string =>
  value === null ? '–' : value.toFixed(metric.digits);

const arrow = (m: MetricInfo): string => (m.better === 'higher' ? ' ↑' : m.better === 'lower' ? ' ↓' : '');

/** Half width of the interval; intervals of bootstrap are nearly symmetric, the exact ends stand in scores.json. */
const spread = (s: Summary, m: MetricInfo): string =>
  s.low === null || s.high === null ? '' : `<span class="ci"> ±${((s.high - s.low) / 2).toFixed(m.digits)}</span>`;

function bestOf(values: readonly Summary[], m: MetricInfo): number | null {
  const there = values.flatMap((s) => (s.mean === null ? [] : [s.mean]));
  if (m.better === 'none' || there.length < 2) return null;
  return m.better === 'higher' ? Math.max(...there) : Math.min(...there);
}

function scoreTable(results: Results): string {
  const head = results.metrics
    .map(
      (m) =>
        `<th>${escapeHtml(m.label)}${arrow(m)}${m.unit === '' ? '' : `<br><small>${escapeHtml(m.unit)}</small>`}</th>`,
    )
    .join('');
  const bySystem = results.systems.map((system) => {
    const rows = results.rows.filter((r) => r.system === system);
    return results.metrics.map((m) => summarise(rows, m.name));
  });
  const best = results.metrics.map((m, k) =>
    bestOf(
      bySystem.map((s) => s[k]!),
      m,
    ),
  );
  const body = results.systems.map((system, i) => {
    const cells = results.metrics.map((m, k) => {
      const s = bySystem[i]![k]!;
      const mark = s.mean !== null && s.mean === best[k] ? ' class="best"' : '';
      const gaps = s.undefinedCount > 0 && s.n > 0 ? ` title="${s.undefinedCount} clips without a value"` : '';
      return `<td${mark}${gaps}>${number(s.mean, m)}${spread(s, m)}${s.undefinedCount > 0 && s.n > 0 ? '<sup>*</sup>' : ''}</td>`;
    });
    return `<tr><th scope="row"><i style="background:${COLOURS[i % COLOURS.length]}"></i>${escapeHtml(system)}</th>${cells.join('')}</tr>`;
  });
  return `<div class="scroll"><table><thead><tr><th></th>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div>
<p class="small">Means over clips ± half the 95 % interval (bootstrap over scenes). <b>Bold</b>: best of the table. * some clips have no value; they are left out and counted in scores.json.</p>`;
}

function charts(results: Results): string {
  const first = Number(results.settings.firstScoredFrame ?? 0);
  const curves = results.metrics
    .filter((m) => results.rows.some((r) => r.series?.[m.name] !== undefined))
    .map((m) =>
      lineChart(
        results.systems.map((system) => ({
          label: system,
          values: meanSeries(
            results.rows.filter((r) => r.system === system),
            m.name,
          ),
        })),
        { title: `${m.label} over time${arrow(m)}`, x: 'frame', first },
      ),
    );
  const groups = groupsOf(results);
  const dots =
    groups.length < 2
      ? []
      : results.metrics
          .filter((m) => m.better !== 'none')
          .map((m) =>
            dotChart(
              groups.map((label) => ({
                label,
                dots: results.systems.map((system): Dot | undefined => {
                  const s = summarise(
                    results.rows.filter((r) => r.group === label && r.system === system),
                    m.name,
                  );
                  return s.mean === null ? undefined : { mean: s.mean, low: s.low, high: s.high };
                }),
              })),
              { title: `${m.label} by part${arrow(m)}` },
            ),
          );
  const legend = results.systems
    .map((s, i) => `<span><i style="background:${COLOURS[i % COLOURS.length]}"></i>${escapeHtml(s)}</span>`)
    .join(' ');
  const drawn = [...curves, ...dots].filter((c) => c !== '');
  return drawn.length === 0
    ? ''
    : `<h2>Over time and by part</h2><p class="legend">${legend}</p><div class="charts">${drawn.join('')}</div>`;
}

function clips(shown: readonly ShownClip[]): string {
  if (shown.length === 0) return '';
  const figure = (c: ShownClip): string =>
    `<figure class="clip"><figcaption><b>${escapeHtml(c.heading)}</b></figcaption><video autoplay loop muted playsinline controls src="data:video/mp4;base64,${Buffer.from(c.video).toString('base64')}"></video><p class="small">${escapeHtml(c.caption)}</p></figure>`;
  const part = (title: string, isBest: boolean): string => {
    const own = shown.filter((c) => c.isBest === isBest);
    return own.length === 0 ? '' : `<h2>${title}</h2><div class="clips">${own.map(figure).join('')}</div>`;
  };
  return part('Best clips', true) + part('Worst clips', false);
}

function facts(results: Results): string {
  const list = results.facts ?? [];
  if (list.length === 0) return '';
  const show = (v: number | string | null): string =>
    typeof v === 'number' ? String(Number(v.toPrecision(4))) : (v ?? '–');
  const rows = list.map(
    (f) =>
      `<tr><th scope="row">${escapeHtml(f.name)}</th><td>${escapeHtml(show(f.value))} ${escapeHtml(f.unit ?? '')}</td><td class="note">${escapeHtml(f.note ?? '')}</td></tr>`,
  );
  return `<h2>About this run</h2><div class="scroll"><table><tbody>${rows.join('')}</tbody></table></div>`;
}

function published(results: Results): string {
  const p = results.published;
  if (p === undefined) return '';
  const row = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((c) => `<${tag}>${escapeHtml(c)}</${tag}>`).join('')}</tr>`;
  return `<h2>Published figures of others</h2><p>${escapeHtml(p.note)}</p><div class="scroll"><table><thead>${row(p.head, 'th')}</thead><tbody>${p.rows.map((r) => row(r, 'td')).join('')}</tbody></table></div>`;
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1d2327;--soft:#646970;--line:#dcdcde;--card:#f6f7f7;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#a0a5aa;--line:#3a3f44;--card:#1f2428;--page:#14181b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;max-width:1180px;padding:24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 10px}p{max-width:78ch}
.small,.ci,.note,small{color:var(--soft);font-size:12.5px;font-weight:400}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:6px 12px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600}tbody th{text-align:left}td.note{text-align:left;white-space:normal}.best{font-weight:700}.scroll{overflow-x:auto}
i{display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:7px}.legend span{margin-right:16px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(360px,1fr));gap:18px}figure{margin:0;background:var(--card);border-radius:8px;padding:12px}
figcaption{font-size:13.5px;margin-bottom:6px}svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line)}
.clips{display:grid;gap:16px}video{width:100%;image-rendering:auto;border-radius:4px;background:#000}
pre{background:var(--card);padding:12px;border-radius:8px;overflow-x:auto;font-size:12.5px}details{margin-top:30px}`;

/** The whole page. */
export function reportHtml(results: Results, shown: readonly ShownClip[]): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(results.title)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(results.title)}</h1><p>${escapeHtml(results.summary)}</p>
<h2>Scores</h2>${scoreTable(results)}<p>${escapeHtml(results.comparison)}</p>
${charts(results)}${clips(shown)}${facts(results)}${published(results)}
<details><summary>Settings that repeat this run</summary><pre>${escapeHtml(JSON.stringify(results.settings, null, 2))}</pre></details>
</body></html>
`;
}
