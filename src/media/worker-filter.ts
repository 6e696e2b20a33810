// Runs in a worker process: one FFmpeg filter line over decoded frames, rebuilt when the stream changes its size or format.
import type { FilterContext, FilterGraph, Frame } from 'node-av/lib';
import { MAX_SIDE } from './geometry.ts';
import { WorkFailure } from './work-failure.ts';
import type { Av } from './worker-open.ts';

/** Facts of a frame that a filter line may depend on. */
export type FrameFacts = {
  readonly codedWidth: number;
  readonly codedHeight: number;
  readonly pixelFormat: string;
  readonly isMatrixKnown: boolean;
};

/** A filter in use. */
export type FrameFilter = {
  /** Filtered pixels, packed: a copy. */
  toBytes(frame: Frame): Uint8Array;
  /** Filtered frame, valid until the next call. */
  toFrame(frame: Frame): Frame;
  free(): void;
};

/** Opens a filter; `lineOf` gives the line for frames of one kind. */
export function openFilter(av: Av, lineOf: (facts: FrameFacts) => string): FrameFilter {
  let graph: FilterGraph | undefined;
  let source: FilterContext | undefined;
  let sink: FilterContext | undefined;
  let key = '';
  const output = new av.Frame();
  output.alloc();

  const build = (frame: Frame): void => {
    if (frame.width > MAX_SIDE || frame.height > MAX_SIDE)
      throw new WorkFailure('file', `a frame of ${frame.width}x${frame.height} pixels`);
    graph?.free();
    const pixelFormat = av.avGetPixFmtName(frame.format as Parameters<Av['avGetPixFmtName']>[0]) ?? 'unknown';
    const line = lineOf({
      codedWidth: frame.width,
      codedHeight: frame.height,
      pixelFormat,
      isMatrixKnown: frame.colorSpace !== av.constants.AVCOL_SPC_UNSPECIFIED,
    });
    graph = new av.FilterGraph();
    graph.alloc();
    graph.nbThreads = 1;
    const args = `video_size=${frame.width}x${frame.height}:pix_fmt=${frame.format}:time_base=1/1000:pixel_aspect=1/1`;
    const colour = `colorspace=${frame.colorSpace}:range=${frame.colorRange}`;
    source = graph.createFilter(av.Filter.getByName('buffer')!, 'in', `${args}:${colour}`) ?? undefined;
    sink = graph.createFilter(av.Filter.getByName('buffersink')!, 'out') ?? undefined;
    const outputs = av.FilterInOut.createList([{ name: 'in', filterCtx: source!, padIdx: 0 }]);
    const inputs = av.FilterInOut.createList([{ name: 'out', filterCtx: sink!, padIdx: 0 }]);
    const parsed = graph.parsePtr(line, inputs, outputs);
    const configured = parsed < 0 ? parsed : graph.configSync();
    if (configured < 0)
      throw new WorkFailure(
        'file',
        `its ${pixelFormat} pictures cannot be converted (${av.FFmpegError.strerror(configured)})`,
      );
  };
  const run = (frame: Frame): void => {
    const now = `${frame.width} ${frame.height} ${frame.format} ${frame.colorSpace} ${frame.colorRange}`;
    if (now !== key) build(frame);
    key = now;
    const sent = source!.buffersrcAddFrameSync(frame, av.constants.AV_BUFFERSRC_FLAG_KEEP_REF);
    const got = sent < 0 ? sent : sink!.buffersinkGetFrameSync(output);
    if (got < 0) throw new WorkFailure('internal', `a filter failed (${av.FFmpegError.strerror(got)})`);
  };
  return {
    toBytes: (frame) => {
      output.unref();
      run(frame);
      const bytes = output.toBuffer();
      output.unref();
      return bytes;
    },
    toFrame: (frame) => {
      output.unref();
      run(frame);
      return output;
    },
    free: () => {
      graph?.free();
      output.free();
    },
  };
}
