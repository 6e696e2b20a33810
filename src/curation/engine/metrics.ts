// Progress of a pipeline in the Prometheus text format.
import type { StageProgress } from './pipeline.ts';

const METRICS: readonly (readonly [string, 'gauge' | 'counter', string, (s: StageProgress) => number])[] = [
  ['orrery_curate_units_done_total', 'counter', 'Units finished by a stage.', (s) => s.done],
  ['orrery_curate_units_dead_total', 'counter', 'Units given up by a stage.', (s) => s.dead],
  ['orrery_curate_units_retried_total', 'counter', 'Attempts repeated by a stage.', (s) => s.retried],
  ['orrery_curate_units_waiting', 'gauge', 'Units waiting before a stage.', (s) => s.waiting],
  ['orrery_curate_units_running', 'gauge', 'Units in work.', (s) => s.running],
  ['orrery_curate_workers', 'gauge', 'Workers of a stage.', (s) => s.workers],
  ['orrery_curate_units_per_second', 'gauge', 'Units per second over the run.', (s) => s.rate],
];

/** The exposition text, with the memory of this process. */
export function metricsText(stages: readonly StageProgress[]): string {
  const lines: string[] = [];
  for (const [name, type, help, pick] of METRICS) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const stage of stages) lines.push(`${name}{stage="${stage.name}"} ${pick(stage)}`);
  }
  lines.push(
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
  );
  return `${lines.join('\n')}\n`;
}
