// Looks at a file before any decoder does: it must be a readable regular file whose first bytes are a known picture or
// video format. The name and its ending play no part.
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { OrreryError, show } from '../base/index.ts';

/** A file that may be handed to a decoder. */
export type SourceFile = {
  /** As the caller wrote it, for messages. */
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly kind: 'video' | 'image';
  /** By content: `mp4`, `webm`, `avi`, `jpeg`, … */
  readonly container: string;
  /** FFmpeg's name of the one demuxer that may open the file; empty for images. */
  readonly demuxer: string;
};

/** What can be read, for messages. */
export const READABLE =
  'a video (MP4, MOV, WebM, MKV, AVI, MPEG-TS, MPEG-PS, FLV, GIF, Y4M, IVF, ASF) or an image (JPEG, PNG, WebP, AVIF, TIFF)';

/** A `data` error about one file: what was found, what is allowed, what to do next. */
export function fileError(name: string, found: string, need: string, next: string, cause?: unknown): OrreryError {
  return new OrreryError('data', `${show(name)}: ${found}; need ${need}; ${next}`, {
    cause,
    details: { path: name, found, need, next },
  });
}

/** Opens nothing but the first bytes. Throws a `data` error for anything that is not a video or an image. */
export async function checkFile(name: string): Promise<SourceFile> {
  const path = resolve(name);
  const { head, sizeBytes } = await readHead(name, path);
  const format = formatOf(head);
  if (format === undefined)
    throw fileError(name, describeUnknown(head), READABLE, 'give another file or convert it with ffmpeg');
  if (format.kind === 'audio')
    throw fileError(name, `a sound file (${format.container})`, READABLE, 'give a file with pictures');
  return { name, path, sizeBytes, kind: format.kind, container: format.container, demuxer: format.demuxer };
}

async function readHead(name: string, path: string): Promise<{ head: Uint8Array; sizeBytes: number }> {
  try {
    const facts = await stat(path);
    if (facts.isDirectory()) throw fileError(name, 'a directory', 'one file', 'name a file inside it');
    if (!facts.isFile())
      throw fileError(name, 'not a regular file', 'a regular file', 'copy its content to a file first');
    if (facts.size === 0) throw fileError(name, 'the file is empty (0 bytes)', READABLE, 'copy or record it again');
    const handle = await open(path, 'r');
    try {
      const head = new Uint8Array(Math.min(facts.size, 4096));
      const { bytesRead } = await handle.read(head, 0, head.byteLength, 0);
      return { head: head.subarray(0, bytesRead), sizeBytes: facts.size };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof OrreryError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw fileError(name, 'no such file', 'an existing file', `check the spelling; looked at ${path}`, error);
    if (code === 'EACCES' || code === 'EPERM')
      throw fileError(
        name,
        'not readable (permission denied)',
        'read permission',
        'change its permissions or run as its owner',
        error,
      );
    throw fileError(
      name,
      `cannot be opened (${code ?? String(error)})`,
      'a readable file',
      'check the path and the disk',
      error,
    );
  }
}

type Format = { readonly kind: 'video' | 'image' | 'audio'; readonly container: string; readonly demuxer: string };

const video = (container: string, demuxer: string): Format => ({ kind: 'video', container, demuxer });
const image = (container: string): Format => ({ kind: 'image', container, demuxer: '' });
const audio = (container: string): Format => ({ kind: 'audio', container, demuxer: '' });

/** The format by its first bytes; undefined when unknown. */
function formatOf(head: Uint8Array): Format | undefined {
  const text = (start: number, end: number): string => String.fromCharCode(...head.subarray(start, end));
  const starts = (...bytes: number[]): boolean => bytes.every((byte, i) => head[i] === byte);
  const box = text(4, 8);
  if (box === 'ftyp') return brandOf(text(8, 12), text(16, 64));
  // QuickTime files may begin with another top-level box.
  if (['moov', 'mdat', 'wide', 'free', 'skip', 'pnot'].includes(box)) return video('mov', 'mov');
  if (starts(0x1a, 0x45, 0xdf, 0xa3)) return video(text(0, 64).includes('webm') ? 'webm' : 'mkv', 'matroska');
  if (starts(0xff, 0xd8, 0xff)) return image('jpeg');
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return image('png');
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'WEBP') return image('webp');
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'AVI ') return video('avi', 'avi');
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'WAVE') return audio('wav');
  if (starts(0x49, 0x49, 0x2a, 0) || starts(0x4d, 0x4d, 0, 0x2a)) return image('tiff');
  if (text(0, 4) === 'GIF8') return video('gif', 'gif');
  if (text(0, 10) === 'YUV4MPEG2 ') return video('y4m', 'yuv4mpegpipe');
  if (text(0, 4) === 'DKIF') return video('ivf', 'ivf');
  if (text(0, 3) === 'FLV') return video('flv', 'flv');
  if (starts(0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11)) return video('asf', 'asf');
  if (starts(0, 0, 1, 0xba)) return video('mpeg', 'mpeg');
  if (isTransportStream(head)) return video('mpegts', 'mpegts');
  if (text(0, 4) === 'fLaC') return audio('flac');
  if (text(0, 3) === 'ID3' || (head[0] === 0xff && (head[1]! & 0xe0) === 0xe0 && head[1] !== 0xff)) return audio('mp3');
  if (text(0, 4) === 'OggS') return text(0, 200).includes('theora') ? video('ogg', 'ogg') : audio('ogg');
  return undefined;
}

function brandOf(major: string, others: string): Format | undefined {
  const all = `${major} ${others}`;
  if (major === 'avif' || major === 'avis') return image('avif');
  if (/^(heic|heix|hevc|mif1|msf1)/.test(major)) return all.includes('avif') ? image('avif') : undefined;
  if (major === 'M4A ' || major === 'M4B ') return audio('m4a');
  return video(major === 'qt  ' ? 'mov' : 'mp4', 'mov');
}

/** MPEG-TS: packets of 188 bytes (or 192 with a time code in front) that each begin with 0x47. */
function isTransportStream(head: Uint8Array): boolean {
  for (const [offset, step] of [
    [0, 188],
    [4, 192],
  ] as const) {
    if (head.byteLength > offset + 2 * step && [0, 1, 2].every((k) => head[offset + k * step] === 0x47)) return true;
  }
  return false;
}

function describeUnknown(head: Uint8Array): string {
  const text = String.fromCharCode(...head.subarray(0, 64));
  if (/ftyp(heic|heix|hevc|mif1|msf1)/.test(text)) return 'a HEIC image, which this version cannot read';
  if (/^\s*(<\?xml[^>]*>\s*)?<svg/i.test(text)) return 'an SVG drawing, which is a program-like text and is not read';
  if (text.startsWith('#EXTM3U')) return 'a playlist that names other files';
  if (head.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte !== 127)))
    return `text, beginning with ${show(text.slice(0, 24))}`;
  const hex = [...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `unknown content, beginning with bytes ${hex}`;
}
