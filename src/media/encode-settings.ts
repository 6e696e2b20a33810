// Encoder settings that both backends share, so that both write the same kind of file.

/** RGB to limited-range BT.709 4:2:0, exactly rounded, the same bytes on every CPU. */
export const TO_YUV_LINE =
  'scale=flags=bicubic+accurate_rnd+full_chroma_int+bitexact:out_color_matrix=bt709:out_range=tv,format=pix_fmts=yuv420p';

/**
 * One thread, a key frame at least every 48 frames (quick seeking), no macroblock tree: its float sums differ between
 * instruction sets, and with AVX-512 from run to run. Without it the same frames gave the same bytes
 * with no assembly, SSE, AVX2 and AVX-512, and in all of 600 runs.
 */
export const X264_PARAMS = 'threads=1:lookahead-threads=1:no-mbtree=1:keyint=48:min-keyint=1';
