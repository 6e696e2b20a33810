// Diffusion transformers: keys of Predict1, of Predict2 and 2.5, and of diffusers, and the architecture read off the shapes.
// The keys of the network are those of Predict1 without `net.`.
import { OrreryError } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import {
  diffusersDitKey,
  type GeneralDitConfig,
  generalDit,
  listWeights,
  type SubBlock,
  type ViewsConfig,
} from '../../nets/index.ts';
import { countOf, type Expected, prefixOf, type Spelling, type Tensors } from '../types.ts';

/** Recognises a diffusion transformer by the keys of a block. */
export function recogniseDit(keys: readonly string[]): Spelling | undefined {
  const family = 'general-dit';
  const markers = [
    ['original', 'blocks\\.block\\d+\\.blocks\\.\\d+\\.(?:adaLN_modulation|block)\\.'],
    ['predict2', 'blocks\\.\\d+\\.self_attn\\.q_proj\\.weight$'],
    ['diffusers', 'transformer_blocks\\.\\d+\\.attn1\\.to_q\\.weight$'],
  ] as const;
  for (const [layout, marker] of markers) {
    const prefix = prefixOf(keys, marker);
    if (prefix !== undefined) return { family, layout, prefix };
  }
  return undefined;
}

/** Keys that files hold and no network needs: loss weighting, position buffers, states of transformer-engine, counters. */
export const isUnusedDitKey = (key: string): boolean =>
  /^logvar\.|(^|\.)pos_embedder\.(seq|dim_\w+_range)$|_extra_state$|^accum_/.test(key);

const SUB = ['self_attn', 'cross_attn', 'mlp'] as const;
type Rule = readonly [pattern: RegExp, to: (m: RegExpExecArray) => string];
const subOf = (name: string): number => SUB.indexOf(name as 'mlp');

/** Predict2 key → key of the network. */
const FROM_PREDICT2: readonly Rule[] = [
  [
    /^blocks\.(\d+)\.(self_attn|cross_attn)\.([qkv])_proj\.(.+)$/,
    (m) => `blocks.block${m[1]}.blocks.${subOf(m[2]!)}.block.attn.to_${m[3]}.0.${m[4]}`,
  ],
  [
    /^blocks\.(\d+)\.(self_attn|cross_attn)\.output_proj\.(.+)$/,
    (m) => `blocks.block${m[1]}.blocks.${subOf(m[2]!)}.block.attn.to_out.0.${m[3]}`,
  ],
  [
    /^blocks\.(\d+)\.(self_attn|cross_attn)\.([qk])_norm\.(.+)$/,
    (m) => `blocks.block${m[1]}.blocks.${subOf(m[2]!)}.block.attn.to_${m[3]}.1.${m[4]}`,
  ],
  [/^blocks\.(\d+)\.mlp\.(layer[12])\.(.+)$/, (m) => `blocks.block${m[1]}.blocks.2.block.${m[2]}.${m[3]}`],
  [
    /^blocks\.(\d+)\.adaln_modulation_(self_attn|cross_attn|mlp)\.([12])\.(.+)$/,
    (m) => `blocks.block${m[1]}.blocks.${subOf(m[2]!)}.adaLN_modulation.${m[3]}.${m[4]}`,
  ],
  [/^t_embedding_norm\.(.+)$/, (m) => `affline_norm.${m[1]}`],
  [/^final_layer\.adaln_modulation\.([12])\.(.+)$/, (m) => `final_layer.adaLN_modulation.${m[1]}.${m[2]}`],
];

/** Key of the network → Predict2 key. */
const TO_PREDICT2: readonly Rule[] = [
  [
    /^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_([qkv])\.0\.(.+)$/,
    (m) => `blocks.${m[1]}.${SUB[Number(m[2])]}.${m[3]}_proj.${m[4]}`,
  ],
  [
    /^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_out\.0\.(.+)$/,
    (m) => `blocks.${m[1]}.${SUB[Number(m[2])]}.output_proj.${m[3]}`,
  ],
  [
    /^blocks\.block(\d+)\.blocks\.([01])\.block\.attn\.to_([qk])\.1\.(.+)$/,
    (m) => `blocks.${m[1]}.${SUB[Number(m[2])]}.${m[3]}_norm.${m[4]}`,
  ],
  [/^blocks\.block(\d+)\.blocks\.2\.block\.(layer[12])\.(.+)$/, (m) => `blocks.${m[1]}.mlp.${m[2]}.${m[3]}`],
  [
    /^blocks\.block(\d+)\.blocks\.([012])\.adaLN_modulation\.([12])\.(.+)$/,
    (m) => `blocks.${m[1]}.adaln_modulation_${SUB[Number(m[2])]}.${m[3]}.${m[4]}`,
  ],
  [/^affline_norm\.(.+)$/, (m) => `t_embedding_norm.${m[1]}`],
  [/^final_layer\.adaLN_modulation\.([12])\.(.+)$/, (m) => `final_layer.adaln_modulation.${m[1]}.${m[2]}`],
];

function translate(key: string, rules: readonly Rule[]): string {
  for (const [pattern, to] of rules) {
    const match = pattern.exec(key);
    if (match !== null) return to(match);
  }
  return key;
}

/** Predict2 key, without `net.` → key of the network. */
export const fromPredict2 = (key: string): string => translate(key, FROM_PREDICT2);

/** Key of one layout, without a prefix, for the key of the network. */
export function ditName(key: string, layout: Spelling['layout']): string {
  return layout === 'diffusers' ? diffusersDitKey(key) : layout === 'predict2' ? translate(key, TO_PREDICT2) : key;
}

/** Every weight of the network. */
export function ditWeights(c: GeneralDitConfig): Expected[] {
  const views = c.views?.count ?? 1;
  const [T, H] = [views * c.patchTemporal, 2 * c.patchSpatial];
  const masked = c.inChannels - c.outChannels;
  const conditions =
    masked <= 0
      ? {}
      : masked === 7
        ? { conditionMask: input('m', [1, 1, T, H, H]), cameraRays: input('r', [1, 6, T, H, H]) }
        : masked === 1
          ? { conditionMask: input('m', [1, 1, T, H, H]) }
          : undefined;
  if (conditions === undefined) {
    throw new OrreryError(
      'unsupported',
      `a network with ${c.inChannels} input and ${c.outChannels} output channels: need the latent, 1 mask channel, 6 camera channels`,
    );
  }
  return listWeights((w) =>
    generalDit(
      {
        x: input('x', [1, c.outChannels, T, H, H]),
        timesteps: input('t', c.flow === undefined ? [1] : [1, T]),
        // Each view has a text of its own.
        context: input('c', [1, views, c.contextProjection ?? c.contextWidth]),
        fps: input('fps', [1]),
        ...(c.hasPaddingMask ? { paddingMask: input('p', [1, 1, H, H]) } : {}),
        ...conditions,
        ...(c.hasAugmentSigma ? { augmentNoise: input('s', [1]) } : {}),
        ...(c.views !== undefined && c.views.trajectoryWidth > 0 ? { trajectory: input('j', [1, 192]) } : {}),
        ...(c.tokenCondition === undefined
          ? {}
          : { codes: input('k', [1, 1, T, c.patchSpatial, c.patchSpatial], 'i32') }),
        ...(c.hasAction === true ? { action: input('a', [1, 1, 7]) } : {}),
      },
      c,
      w,
    ),
  );
}

/**
 * Reads the architecture off the shapes, under the keys of the network. What shapes do not tell is taken from the public
 * models of that width; `notes` says what.
 * @param notes gets a line for each assumption
 */
export function ditConfigOf(tensors: Tensors, spelling: Spelling, path: string, notes: string[]): GeneralDitConfig {
  const keys = [...tensors.keys()];
  const find = (key: string): readonly number[] | undefined => tensors.get(key)?.shape;
  const shape = (key: string): readonly number[] => {
    const found = find(key);
    if (found === undefined)
      throw new OrreryError(
        'model',
        `${path}: no tensor ${key}, without which the size of the network is unknown; fetch the file again or pass --config`,
      );
    return found;
  };
  const [width, patched] = shape('x_embedder.proj.1.weight') as [number, number];
  const blocks = countOf(keys, /^blocks\.block(\d+)\./, 200);
  const subBlocks = Array.from({ length: countOf(keys, /^blocks\.block0\.blocks\.(\d+)\./, 8) }, (_, j): SubBlock => {
    if (find(`blocks.block0.blocks.${j}.block.layer1.weight`) !== undefined) return 'mlp';
    return isCross(j, width, find) ? 'ca' : 'fa';
  });
  const [self, cross, mlp] = (['fa', 'ca', 'mlp'] as const).map((kind) => subBlocks.indexOf(kind)) as [
    number,
    number,
    number,
  ];
  const low = find('blocks.block0.blocks.0.adaLN_modulation.2.weight') !== undefined;
  const headWidth = shape(`blocks.block0.blocks.${Math.max(self, 0)}.block.attn.to_q.1.weight`)[0]!;
  const table = find('extra_pos_embedder.pos_emb_t');
  const isSmall = !PUBLIC_WIDTHS.has(width);
  const views = viewsOf(find);
  const viewChannels = (views?.width ?? 0) + (views?.trajectoryWidth ?? 0);
  const outChannels = shape('final_layer.linear.weight')[0]! / 4;
  const codes = find('token_embedder.weight');
  const channels = patched / 4 - viewChannels - (codes?.[1] ?? 0);
  // Latent, condition mask (1), camera rays (6), padding mask (1): without a padding mask the sum is 0 or 7 more.
  const hasPaddingMask = ![0, 7].includes(channels - outChannels);
  const isPredict2 = spelling.layout === 'predict2' || find('crossattn_proj.0.weight') !== undefined;
  const ratios =
    codes !== undefined
      ? { t: 1, h: 1.5, w: 1.5 }
      : isPredict2
        ? predict2Ratios(
            width,
            channels - (hasPaddingMask ? 1 : 0) === outChannels,
            find('crossattn_proj.0.weight') !== undefined,
          )
        : width >= 5120
          ? { t: 2, h: 2, w: 2 }
          : { t: 2, h: 1, w: 1 };
  notes.push(
    `RoPE ratios ${ratios.t}, ${ratios.h}, ${ratios.w} (t, h, w) are those of ${codes !== undefined ? 'the diffusion decoder' : isPredict2 ? 'that Predict2 model' : isSmall ? 'the 7B model; the file does not tell' : 'the public model'}; --config overrides`,
  );
  if (views !== undefined) notes.push('the fixed sine-cosine positions of the public multi-view models are assumed');
  const rows = (axis: 't' | 'h' | 'w', patch: number, standard: number): number =>
    (find(`extra_pos_embedder.pos_emb_${axis}`)?.[0] ?? standard / patch) * patch;
  return {
    kind: 'general-dit',
    maxLatent: { t: rows('t', 1, 128), h: rows('h', 2, 240), w: rows('w', 2, 240) },
    inChannels: channels - (hasPaddingMask ? 1 : 0),
    outChannels,
    patchSpatial: 2,
    patchTemporal: 1,
    hasPaddingMask,
    subBlocks,
    width,
    blocks,
    heads: width / headWidth,
    mlpRatio: mlp < 0 ? 4 : shape(`blocks.block0.blocks.${mlp}.block.layer1.weight`)[0]! / width,
    contextWidth: cross < 0 ? 1024 : shape(`blocks.block0.blocks.${cross}.block.attn.to_k.0.weight`)[1]!,
    ...(find('crossattn_proj.0.weight') === undefined
      ? {}
      : { contextProjection: shape('crossattn_proj.0.weight')[1]! }),
    hasEmbeddingNorm: find('affline_norm.weight') !== undefined,
    ...(low ? { adalnRank: shape('blocks.block0.blocks.0.adaLN_modulation.1.weight')[0]! } : {}),
    ropeRatios: ratios,
    extraPositions: table !== undefined ? 'learned' : views !== undefined ? 'sincos' : 'none',
    extraRatios: { t: 1, h: 1, w: 1 },
    hasAugmentSigma: find('augment_sigma_embedder.1.linear_1.weight') !== undefined,
    ...(views === undefined ? {} : { views }),
    ...(codes === undefined ? {} : { tokenCondition: { vocabulary: codes[0]!, width: codes[1]! } }),
    ...(find('action_embedder_B_3D.fc1.weight') === undefined ? {} : { hasAction: true }),
    ...(isPredict2
      ? { flow: find('crossattn_proj.0.weight') === undefined ? ('predict2' as const) : ('predict2.5' as const) }
      : {}),
    queryKeyEps: spelling.layout === 'diffusers' ? 1e-5 : 1e-6,
  };
}

/** Text2Image 1, 4, 4; Video2World of 2B 1, 3, 3 and of 14B 20/24, 2, 2; Predict2.5 1, 3, 3. */
function predict2Ratios(width: number, isImage: boolean, isLater: boolean): GeneralDitConfig['ropeRatios'] {
  if (isImage) return { t: 1, h: 4, w: 4 };
  return width >= 5120 && !isLater ? { t: 20 / 24, h: 2, w: 2 } : { t: 1, h: 3, w: 3 };
}

const PUBLIC_WIDTHS = new Set([2048, 4096, 5120]);

/** Attention to text: its keys come from another width; when the widths agree, it is the second attention. */
function isCross(j: number, width: number, find: (key: string) => readonly number[] | undefined): boolean {
  const from = (i: number): number | undefined => find(`blocks.block0.blocks.${i}.block.attn.to_k.0.weight`)?.[1];
  if (from(j) !== width) return true;
  return (
    j > 0 &&
    Array.from({ length: j }, (_, i) => from(i)).includes(width) &&
    ![0, 1, 2, 3].some((i) => from(i) !== undefined && from(i) !== width)
  );
}

function viewsOf(find: (key: string) => readonly number[] | undefined): ViewsConfig | undefined {
  const table = find('view_embeddings.weight');
  if (table === undefined) return undefined;
  return {
    count: table[0]!,
    width: table[1]!,
    hasFrameRepeat: find('repeat_frame_embedding.weight') !== undefined,
    trajectoryWidth: find('traj_embeddings.weight')?.[0] ?? 0,
  };
}

/** `transformer/config.json` of diffusers. */
export function diffusersDitOptions(c: GeneralDitConfig): Record<string, unknown> {
  const odd =
    c.views !== undefined
      ? 'several views'
      : c.tokenCondition !== undefined
        ? 'codes as a condition'
        : c.hasAction === true
          ? 'actions'
          : c.hasAugmentSigma
            ? 'a second noise level'
            : c.adalnRank === undefined
              ? 'full-rank modulation'
              : c.extraPositions === 'sincos'
                ? 'fixed positions'
                : c.subBlocks.join() !== 'fa,ca,mlp'
                  ? `blocks ${c.subBlocks.join('-')}`
                  : undefined;
  if (odd !== undefined) {
    throw new OrreryError(
      'unsupported',
      `diffusers has no class for a transformer with ${odd}; write --layout original or orrery`,
    );
  }
  return {
    _class_name: 'CosmosTransformer3DModel',
    in_channels: c.inChannels,
    out_channels: c.outChannels,
    num_attention_heads: c.heads,
    attention_head_dim: c.width / c.heads,
    num_layers: c.blocks,
    mlp_ratio: c.mlpRatio,
    text_embed_dim: c.contextWidth,
    adaln_lora_dim: c.adalnRank,
    max_size: [c.maxLatent.t, c.maxLatent.h, c.maxLatent.w],
    patch_size: [c.patchTemporal, c.patchSpatial, c.patchSpatial],
    rope_scale: [c.ropeRatios.t, c.ropeRatios.h, c.ropeRatios.w],
    concat_padding_mask: c.hasPaddingMask,
    extra_pos_embed_type: c.extraPositions === 'learned' ? 'learnable' : null,
    ...(c.contextProjection === undefined
      ? {}
      : {
          use_crossattn_projection: true,
          crossattn_proj_in_channels: c.contextProjection,
          encoder_hidden_states_channels: c.contextWidth,
        }),
  };
}
