// Layer 4: from a folder of raw video to a training set: a streaming pipeline with exact resume, on one machine or many.
export type { ClipResult, JobResult } from './clip-work.ts';
export { type CurateEvent, curate } from './curate.ts';
export { allocate, type StageLoad } from './engine/allocator.ts';
export { queueLimit } from './engine/back-pressure.ts';
export type { Backend, DeadLetter, Delivery, Result, StageCounts } from './engine/backend.ts';
export { type EmbeddedBackend, type EmbeddedOptions, openEmbedded } from './engine/embedded.ts';
export { type IsolatedOptions, type Limits, openIsolated } from './engine/isolated.ts';
export { type JournalEntry, openJournal, readJournal } from './engine/journal.ts';
export { metricsText } from './engine/metrics.ts';
export { type PipelineEvent, type PipelineOptions, runPipeline, type StageProgress } from './engine/pipeline.ts';
export type { Stage, StageIo, StageWorker, StoredError, Unit } from './engine/stage.ts';
export { type JobFacts, type JobSummary, readJob } from './layout/finish.ts';
export { writeReport } from './layout/report.ts';
export { type CurateOptions, curateSchema, fromSnakeCase, parseCurateOptions } from './options.ts';
export { loadShotModel, type ShotModel, scoreStream, type Transition, transitionStream } from './shots/detector.ts';
export { type FindShotsOptions, findShots, type Shots } from './shots/find-shots.ts';
