// Chooses the program that decodes and encodes: node-av inside our own child process, or the `ffmpeg`/`ffprobe` programs.
// Both are FFmpeg, and both run the same filter line.
import { OrreryError } from '../base/index.ts';
import type { MediaBackend } from './backend-types.ts';
import { ffmpegBackend } from './ffmpeg-backend.ts';
import { nodeAvBackend } from './node-av-backend.ts';
import type { BackendName } from './types.ts';

const opened = new Map<BackendName, Promise<MediaBackend | string>>();

/** Opens a backend once per process; a string says why it is not there. */
function tryOpen(name: BackendName): Promise<MediaBackend | string> {
  let pending = opened.get(name);
  if (pending === undefined) {
    pending = name === 'node-av' ? nodeAvBackend() : ffmpegBackend();
    opened.set(name, pending);
  }
  return pending;
}

/** The backend to use. `auto` takes node-av, else the `ffmpeg` program; environment `ORRERY_MEDIA` sets another default. */
export async function openBackend(wanted: BackendName | 'auto' = 'auto'): Promise<MediaBackend> {
  const preset = process.env.ORRERY_MEDIA;
  const choice = wanted === 'auto' && (preset === 'node-av' || preset === 'ffmpeg') ? preset : wanted;
  const reasons: string[] = [];
  for (const name of choice === 'auto' ? (['node-av', 'ffmpeg'] as const) : [choice]) {
    const result = await tryOpen(name);
    if (typeof result !== 'string') return result;
    reasons.push(`${name}: ${result}`);
  }
  throw new OrreryError(
    'unsupported',
    `no video backend (${reasons.join('; ')}); run "npm install node-av", or install ffmpeg and put it on the PATH`,
    { details: { reasons } },
  );
}

/** What there is, for `orrery doctor`: one line per backend. */
export async function mediaBackends(): Promise<
  readonly { name: BackendName; isAvailable: boolean; version: string; encoder: string; reason: string }[]
> {
  const names = ['node-av', 'ffmpeg'] as const;
  return Promise.all(
    names.map(async (name) => {
      const result = await tryOpen(name);
      return typeof result === 'string'
        ? { name, isAvailable: false, version: '', encoder: '', reason: result }
        : { name, isAvailable: true, version: result.version, encoder: result.encoder, reason: '' };
    }),
  );
}
