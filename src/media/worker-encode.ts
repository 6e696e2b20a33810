// Runs in the media process: encodes RGB pictures to H.264 in MP4 with node-av.
// Uses the asynchronous calls only: the synchronous encoder path crashes at exit with threaded encoders.
import type { CodecContext, FilterContext, FilterGraph, FormatContext, Stream } from 'node-av/lib';
import type { EncodePlan } from './backend-types.ts';
import { TO_YUV_LINE, X264_PARAMS } from './encode-settings.ts';
import { WorkFailure } from './work-failure.ts';
import type { Av } from './worker-open.ts';

/**
 * Encodes all pictures of `pictures` (uint8 RGB `[H, W, 3]`) into `plan.path`.
 * @param alive called after each packet
 */
export async function encodeFile(
  av: Av,
  plan: EncodePlan,
  pictures: AsyncIterable<Uint8Array>,
  alive: () => void,
): Promise<string> {
  const c = av.constants;
  const fail = (what: string, code: number): WorkFailure => {
    const text = av.FFmpegError.strerror(code);
    const isDisk = /space|permission|read-only|input\/output|no such file/i.test(text);
    return new WorkFailure(isDisk ? 'disk' : 'internal', `${what}: ${text}`);
  };
  const check = (what: string, code: number): void => {
    if (code < 0) throw fail(what, code);
  };
  const [rateNum, rateDen] = plan.rate;
  const format = new av.FormatContext();
  const encoder = new av.CodecContext();
  const packet = new av.Packet();
  const scaled = new av.Frame();
  let graph: FilterGraph | undefined;
  try {
    check('cannot start MP4', format.allocOutputContext2(null, 'mp4', `file:${plan.path}`));
    const codec = av.Codec.findEncoderByName('libx264' as Parameters<Av['Codec']['findEncoderByName']>[0]);
    if (codec === null) throw new WorkFailure('internal', 'this node-av was built without libx264');
    encoder.allocContext3(codec);
    encoder.width = plan.width;
    encoder.height = plan.height;
    encoder.pixelFormat = c.AV_PIX_FMT_YUV420P;
    encoder.timeBase = new av.Rational(rateDen, rateNum);
    encoder.framerate = new av.Rational(rateNum, rateDen);
    encoder.sampleAspectRatio = new av.Rational(1, 1);
    encoder.colorSpace = c.AVCOL_SPC_BT709;
    encoder.colorPrimaries = c.AVCOL_PRI_BT709;
    encoder.colorTrc = c.AVCOL_TRC_BT709;
    encoder.colorRange = c.AVCOL_RANGE_MPEG;
    // One thread: the same frames give the same bytes on every machine.
    encoder.threadCount = 1;
    encoder.setFlags(c.AV_CODEC_FLAG_GLOBAL_HEADER, c.AV_CODEC_FLAG_BITEXACT);
    // Options go in one by one: a dictionary handed to open2 is freed twice at the next garbage collection (node-av 6.1).
    const settings = { crf: `${plan.crf}`, preset: plan.preset, 'x264-params': X264_PARAMS };
    for (const [name, value] of Object.entries(settings))
      check(`encoder option ${name}`, encoder.setOption(name, value));
    check('the encoder refuses the settings', await encoder.open2(codec, null));

    const stream = format.newStream(null);
    stream.timeBase = encoder.timeBase;
    stream.avgFrameRate = encoder.framerate;
    check('cannot set up the stream', stream.codecpar.fromContext(encoder));
    stream.codecpar.codecTag = 'avc1';
    format.setFlags(c.AVFMT_FLAG_BITEXACT);
    format.metadata = av.Dictionary.fromObject({ ...plan.tags });
    check('cannot write the file', await format.openOutput());
    check('cannot write the file', await format.writeHeader(av.Dictionary.fromObject({ movflags: '+faststart' })));

    const converter = makeConverter(av, plan);
    graph = converter.graph;
    packet.alloc();
    scaled.alloc();
    let index = 0n;
    for await (const pixels of pictures) {
      const frame = av.Frame.fromVideoBuffer(Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength), {
        width: plan.width,
        height: plan.height,
        format: c.AV_PIX_FMT_RGB24,
        timeBase: { num: rateDen, den: rateNum },
        sampleAspectRatio: { num: 1, den: 1 },
        pts: index,
      });
      frame.colorRange = c.AVCOL_RANGE_JPEG;
      frame.colorSpace = c.AVCOL_SPC_RGB;
      check('colour conversion', await converter.source.buffersrcAddFrame(frame));
      frame.free();
      check('colour conversion', await converter.sink.buffersinkGetFrame(scaled));
      scaled.pts = index;
      // The encoder chooses the picture types.
      scaled.pictType = c.AV_PICTURE_TYPE_NONE;
      check('encoding', await encoder.sendFrame(scaled));
      scaled.unref();
      index++;
      check('writing', await writePackets(av, encoder, format, stream, packet, alive));
    }
    check('encoding', await encoder.sendFrame(null));
    check('writing', await writePackets(av, encoder, format, stream, packet, alive));
    check('finishing the file', await format.writeTrailer());
    await format.closeOutput();
    return 'libx264';
  } finally {
    packet.free();
    scaled.free();
    graph?.free();
    encoder.freeContext();
    format.freeContext();
  }
}

async function writePackets(
  av: Av,
  encoder: CodecContext,
  format: FormatContext,
  stream: Stream,
  packet: InstanceType<Av['Packet']>,
  alive: () => void,
): Promise<number> {
  for (;;) {
    const got = await encoder.receivePacket(packet);
    if (got === av.constants.AVERROR_EOF || got === av.constants.AVERROR_EAGAIN) return 0;
    if (got < 0) return got;
    alive();
    packet.streamIndex = stream.index;
    packet.duration = 1n;
    packet.rescaleTs(encoder.timeBase, stream.timeBase);
    const written = await format.interleavedWriteFrame(packet);
    packet.unref();
    if (written < 0) return written;
  }
}

function makeConverter(av: Av, plan: EncodePlan): { graph: FilterGraph; source: FilterContext; sink: FilterContext } {
  const graph = new av.FilterGraph();
  graph.alloc();
  graph.nbThreads = 1;
  const c = av.constants;
  const [num, den] = plan.rate;
  const args = `video_size=${plan.width}x${plan.height}:pix_fmt=${c.AV_PIX_FMT_RGB24}:time_base=${den}/${num}:pixel_aspect=1/1`;
  const source = graph.createFilter(
    av.Filter.getByName('buffer')!,
    'in',
    `${args}:colorspace=${c.AVCOL_SPC_RGB}:range=${c.AVCOL_RANGE_JPEG}`,
  )!;
  const sink = graph.createFilter(av.Filter.getByName('buffersink')!, 'out')!;
  const outputs = av.FilterInOut.createList([{ name: 'in', filterCtx: source, padIdx: 0 }]);
  const inputs = av.FilterInOut.createList([{ name: 'out', filterCtx: sink, padIdx: 0 }]);
  const parsed = graph.parsePtr(TO_YUV_LINE, inputs, outputs);
  const configured = parsed < 0 ? parsed : graph.configSync();
  if (configured < 0) throw new WorkFailure('internal', `colour conversion: ${av.FFmpegError.strerror(configured)}`);
  return { graph, source, sink };
}
