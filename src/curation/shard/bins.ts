// The published bins of shards: resolution, aspect ratio, duration. First match wins; clips under five seconds have no bin.

/** Path of a clip's bin below the version folder; undefined when it has none. */
export function binOf(
  clip: { readonly width: number; readonly height: number; readonly seconds: number },
  minSeconds = 5,
): string | undefined {
  const { width, height, seconds } = clip;
  const side = Math.min(width, height);
  const resolution = side >= 1080 ? '1080' : side >= 720 ? '720' : 'lt_720';
  const ratio = width / height;
  const aspect =
    ratio <= 0.65 ? '9_16' : ratio <= 0.88 ? '3_4' : ratio <= 1.16 ? '1_1' : ratio <= 1.55 ? '4_3' : '16_9';
  const duration =
    seconds < 5
      ? seconds >= minSeconds
        ? '0_5'
        : undefined
      : seconds <= 10
        ? '5_10'
        : seconds <= 30
          ? '10_30'
          : '30_inf';
  if (duration === undefined) return undefined;
  return `resolution_${resolution}/aspect_ratio_${aspect}/duration_${duration}`;
}
