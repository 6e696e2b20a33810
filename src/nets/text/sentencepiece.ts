// The published `spiece.model` of T5, read into the form of a `tokenizer.json`: pieces, scores and the places where they join.
// Only the Unigram kind; the file is a protocol buffer, of which the few fields needed are read here.
import { OrreryError } from '../../base/index.ts';

/** A tokenizer in the form of a published `tokenizer.json`. */
export type TokenizerJson = Readonly<Record<string, unknown>>;

type Piece = { readonly text: string; readonly score: number; readonly type: number };

const TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
/** More pieces than any published vocabulary has. */
const MAX_PIECES = 2_000_000;

/**
 * Reads a SentencePiece model.
 * @param options `extraIds`: T5's fill-in tokens after the pieces, `<extra_id_0>` last. Default 100
 */
export function sentencePieceTokenizer(bytes: Uint8Array, options: { readonly extraIds?: number } = {}): TokenizerJson {
  const { extraIds = 100 } = options;
  const pieces: Piece[] = [];
  let kind = 1;
  let unknown = 0;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1 && field.bytes !== undefined) {
      if (pieces.length >= MAX_PIECES) throw damaged(`more than ${MAX_PIECES} pieces`);
      pieces.push(pieceOf(field.bytes));
    }
    if (field.number === 2 && field.bytes !== undefined) {
      for (const inner of fieldsOf(field.bytes)) {
        if (inner.number === 3) kind = inner.value ?? kind;
        if (inner.number === 40) unknown = inner.value ?? unknown;
      }
    }
  }
  if (pieces.length === 0) throw damaged('it holds no pieces');
  if (kind !== 1) {
    throw new OrreryError(
      'unsupported',
      `spiece.model: model type ${kind}; only type 1, Unigram, can be read: use tokenizer.json`,
    );
  }
  const marked = pieces.findIndex((p) => p.type === TYPES.unknown);
  const vocabulary: (readonly [string, number])[] = pieces.map((p) => [p.text, p.score]);
  for (let i = extraIds - 1; i >= 0; i--) vocabulary.push([`<extra_id_${i}>`, 0]);
  const special = (id: number): object => ({
    id,
    content: vocabulary[id]![0],
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  });
  const specials = pieces.flatMap((p, id) =>
    p.type === TYPES.control || p.type === TYPES.unknown || p.type === TYPES.userDefined ? [special(id)] : [],
  );
  for (let i = 0; i < extraIds; i++) specials.push(special(pieces.length + i));
  const end = pieces.findIndex((p) => p.text === '</s>');
  if (end < 0) throw damaged('it has no piece </s>');
  return {
    version: '1.0',
    added_tokens: specials,
    normalizer: { type: 'Precompiled' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'WhitespaceSplit' },
        { type: 'Metaspace', replacement: '▁', add_prefix_space: true, prepend_scheme: 'always' },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }],
      pair: [
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '</s>', type_id: 0 } },
        { Sequence: { id: 'B', type_id: 0 } },
        { SpecialToken: { id: '</s>', type_id: 0 } },
      ],
      special_tokens: { '</s>': { id: '</s>', ids: [end], tokens: ['</s>'] } },
    },
    decoder: { type: 'Metaspace', replacement: '▁', add_prefix_space: true, prepend_scheme: 'always' },
    model: { type: 'Unigram', unk_id: marked >= 0 ? marked : unknown, vocab: vocabulary },
  };
}

function pieceOf(bytes: Uint8Array): Piece {
  let text = '';
  let score = 0;
  let type: number = TYPES.normal;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1 && field.bytes !== undefined) text = new TextDecoder().decode(field.bytes);
    if (field.number === 2 && field.float !== undefined) score = field.float;
    if (field.number === 3 && field.value !== undefined) type = field.value;
  }
  return { text, score, type };
}

type Field = {
  readonly number: number;
  readonly value?: number;
  readonly float?: number;
  readonly bytes?: Uint8Array;
};

/** Fields of a protocol buffer message; every length is checked against what is there. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let result = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw damaged('it ends inside a number');
      result += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return result;
    }
    throw damaged('a number is too long');
  };
  const take = (count: number): Uint8Array => {
    if (count > bytes.length - at) throw damaged(`a field of ${count} bytes, but ${bytes.length - at} are left`);
    at += count;
    return bytes.subarray(at - count, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        take(8);
        break;
      case 2:
        yield { number, bytes: take(varint()) };
        break;
      case 5: {
        const raw = take(4);
        yield { number, float: new DataView(raw.buffer, raw.byteOffset, 4).getFloat32(0, true) };
        break;
      }
      default:
        throw damaged(`wire type ${key % 8}`);
    }
  }
}

const damaged = (why: string): OrreryError =>
  new OrreryError('model', `spiece.model cannot be read: ${why}; get the file again, or use tokenizer.json`);
