// Metadata of a clip in the published field names (`metas/v0`). Fields whose stage did not run are absent.
import type { ClipResult } from '../clip-work.ts';

/** One record of `metas/v0`, `metas_jsonl/v0` and the clips table. */
export function metaOf(clip: ClipResult): Record<string, unknown> {
  const { caption, motion, quality, rejected } = clip;
  const window = {
    start_frame: 0,
    end_frame: clip.frames - 1,
    ...(caption === undefined
      ? {}
      : {
          [`${caption.model}_caption`]: caption.text,
          ...(caption.promptTokens === undefined ? {} : { [`${caption.model}_prompt_tokens`]: caption.promptTokens }),
          ...(caption.outputTokens === undefined ? {} : { [`${caption.model}_output_tokens`]: caption.outputTokens }),
        }),
  };
  return {
    span_uuid: clip.id,
    source_video: clip.source,
    duration_span: [round(clip.span[0]), round(clip.span[1])],
    width_source: clip.sourceFacts.width,
    height_source: clip.sourceFacts.height,
    framerate_source: clip.sourceFacts.fps,
    clip_location: clip.file,
    ...(clip.camera === undefined ? {} : { camera: clip.camera }),
    width: clip.width,
    height: clip.height,
    framerate: clip.fps,
    num_frames: clip.frames,
    video_codec: clip.codec,
    ...(clip.audioCodec === undefined ? {} : { audio_codec: clip.audioCodec }),
    num_bytes: clip.bytes,
    sha256: clip.sha256,
    ...(motion === undefined
      ? {}
      : {
          motion_score: { global_mean: motion.globalMean, per_patch_min_256: motion.perPatchMin256 },
          camera_motion: motion.camera,
          moving_share: round(motion.movingShare),
          moving_regions: motion.movingRegions,
        }),
    quality: {
      sharpness: round(quality.sharpness),
      brightness: round(quality.brightness),
      contrast: round(quality.contrast),
      dark_share: round(quality.darkShare),
      bright_share: round(quality.brightShare),
      letterbox: round(quality.letterbox),
      pillarbox: round(quality.pillarbox),
      freeze_share: round(quality.freezeShare),
      flashes_per_second: round(quality.flashes),
      overlay_share: round(quality.overlayShare),
      corner_overlay_share: round(quality.cornerOverlayShare),
      colours: quality.colours.map((c) => ({ name: c.name, share: round(c.share) })),
    },
    perceptual_hashes: quality.hashes,
    ...(clip.type === undefined ? {} : { qwen_type_classification: [clip.type] }),
    ...(clip.aesthetic === undefined ? {} : { aesthetic_score: round(clip.aesthetic) }),
    ...(rejected === undefined ? {} : { filtered_by: rejected.by, filter_reason: rejected.reason }),
    errors: Object.keys(clip.errors ?? {}),
    windows: [window],
    filtered_windows: [],
    valid: rejected === undefined,
    has_caption: caption !== undefined,
    total_prompt_tokens: caption?.promptTokens ?? 0,
    total_output_tokens: caption?.outputTokens ?? 0,
    ...(clip.tags === undefined ? {} : { tags: clip.tags }),
  };
}

const round = (value: number): number => Number(value.toFixed(6));
