// An autoregressive transformer as graphs that need nothing else: the prompt at once, then token after token, with the cache of keys and
// values as plain inputs and outputs.
import { InputError } from '../base/index.ts';
import {
  cast,
  constantF32,
  constantInts,
  gather,
  input,
  lessOrEqual,
  reshape,
  sub,
  type Tensor,
  where,
} from '../graph/index.ts';
import {
  type AutoregressiveConfig,
  absoluteRows,
  autoregressiveStep,
  clipTokens,
  crossCache,
  hasCross,
  type KeyValue,
  namedWeights,
  type PositionTensors,
  range,
  rotaryRows,
} from '../nets/index.ts';
import type { ExportPlan, ExportSize } from './onnx-networks.ts';

/** Numbers of given video frames that the models know, and the latent frames that they fill. */
const GIVEN: Readonly<Record<number, number>> = { 1: 1, 9: 2 };

/** Graphs `prefill` and `decode`, and `text` for models with cross-attention. `frames`: given frames of the prompt, 1 or 9. */
export function autoregressivePlan(
  c: AutoregressiveConfig,
  { frames = 9, height, width, textLength = 512 }: ExportSize,
): ExportPlan {
  const grid = c.latent!;
  const latents = GIVEN[frames];
  if (latents === undefined || latents >= grid.t) {
    throw new InputError('--frames', { got: frames, need: '1 or 9, the given frames of a prompt' });
  }
  if (height !== undefined || width !== undefined) {
    throw new InputError('--size', {
      got: `${width}x${height}`,
      need: 'none',
      why: `the model makes clips of ${grid.t}x${grid.h}x${grid.w} tokens`,
    });
  }
  const begin = c.hasBeginToken ? 1 : 0;
  const length = begin + latents * grid.h * grid.w;
  const capacity = c.maxTokens;
  const layers = range(0, c.layers);
  const cache = (name: string, n: number): KeyValue => {
    const shape = [1, c.keyValueHeads, n, c.headWidth];
    return { keys: input(`${name}.keys`, shape), values: input(`${name}.values`, shape) };
  };
  const cross =
    c.cross === undefined
      ? {}
      : { cross: layers.map((i) => (hasCross(c, i) ? cache(`text.${i}`, textLength) : undefined)) };
  const named = (prefix: string, list: readonly (KeyValue | undefined)[]): Record<string, Tensor> =>
    Object.fromEntries(
      list.flatMap((kv, i) =>
        kv === undefined
          ? []
          : [[`${prefix}.${i}.keys`, kv.keys] as const, [`${prefix}.${i}.values`, kv.values] as const],
      ),
    );

  const prompt = autoregressiveStep(
    {
      tokens: input('tokens', [1, length], 'i64'),
      positions: positionRows(c, length),
      row: constantInts([1], [length - 1]),
      ...cross,
    },
    c,
    namedWeights,
  );

  const position = input('position', [1], 'i64');
  const table = positionRows(c, capacity);
  const places = constantF32([capacity], range(0, capacity));
  const isFilled = lessOrEqual(places, sub(cast(position, 'f32'), 1));
  const pastMask = reshape(where(isFilled, constantF32([1], [0]), constantF32([1], [-1e30])), [1, 1, 1, capacity]);
  const step = autoregressiveStep(
    {
      tokens: input('tokens', [1, 1], 'i64'),
      positions: {
        cos: gather(table.cos, position),
        sin: gather(table.sin, position),
        ...(table.absolute === undefined ? {} : { absolute: gather(table.absolute, position) }),
      },
      past: layers.map((i) => cache(`past.${i}`, capacity)),
      pastMask,
      ...cross,
    },
    c,
    namedWeights,
  );

  const meaning: Record<string, string> = {
    tokens: `code numbers of the discrete tokenizer in the order frame, row, column${begin === 1 ? `; the first token of a sequence is ${c.outputVocabulary}, begin of video` : ''}`,
    position: 'place of the token in the sequence, from 0',
    context: 'text of the encoder; places past the prompt are zero vectors [batch, place, channel]',
    logits: `of the token that follows [batch, 1, ${c.outputVocabulary}]`,
  };
  for (const i of layers) {
    for (const what of ['keys', 'values']) {
      meaning[`past.${i}.${what}`] =
        `cache of layer ${i} [batch, head, place, channel]; places from \`position\` on may hold anything finite`;
      meaning[`new.${i}.${what}`] = `what layer ${i} adds to its cache: write it at the places of its tokens`;
      meaning[`text.${i}.${what}`] = `of the text in layer ${i}: outputs of \`text\`, inputs of the others`;
    }
  }
  return {
    networks: [
      ...(c.cross === undefined
        ? []
        : [
            {
              name: 'text',
              outputs: named('text', crossCache(input('context', [1, textLength, c.cross.width]), c, namedWeights)),
              meaning,
            },
          ]),
      { name: 'prefill', outputs: { logits: prompt.logits, ...named('new', prompt.appended) }, meaning },
      { name: 'decode', outputs: { logits: step.logits, ...named('new', step.appended) }, meaning },
    ],
    processing: {
      order: `${c.cross === undefined ? '' : 'text once per prompt; '}prefill with the tokens of the given frames; then choose a token from the logits and run decode with it, until the clip is full`,
      clip: { ...grid, tokens: clipTokens(c), promptTokens: length, cachePlaces: capacity },
      sampling:
        'top-p: softmax(logits / temperature), sorted; entries whose sum before them is above p are dropped; public scripts: temperature 1, p 0.8 (0.7 with text)',
      decoding:
        'code numbers [1, frame, row, column] without the begin token go into the decoder of the discrete tokenizer',
    },
  };
}

/** Values of the first `count` positions. */
function positionRows(c: AutoregressiveConfig, count: number): PositionTensors {
  const all = range(0, count);
  const { cos, sin } = rotaryRows(c, all);
  const fixed = (a: { readonly shape: readonly number[]; readonly data: Float32Array }): Tensor =>
    constantF32(a.shape, a.data);
  return {
    cos: fixed(cos),
    sin: fixed(sin),
    ...(c.hasAbsolutePositions ? { absolute: fixed(absoluteRows(c, all)) } : {}),
  };
}
