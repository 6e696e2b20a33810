// Progress on stderr: one redrawn line on a terminal, one line per ten percent elsewhere. Never on stdout.
import { duration } from './session.ts';

export type Progress = {
  /** @param done units finished, 0…total @param text what to say behind the bar, such as `0.9 s/step` */
  readonly update: (done: number, options?: { readonly text?: string; readonly etaSeconds?: number }) => void;
  /** Takes the bar off the screen; on a pipe it does nothing. */
  readonly clear: () => void;
};

const WIDTH = 20;

/**
 * @param label word before the bar
 * @param total units of the whole work, at least 1
 */
export function openProgress(
  label: string,
  total: number,
  options: { readonly quiet?: boolean; readonly stream?: NodeJS.WriteStream } = {},
): Progress {
  const { quiet = false, stream = process.stderr } = options;
  if (quiet) return { update: () => {}, clear: () => {} };
  let tenths = 0;
  let drawn = false;
  return {
    update(done, { text = '', etaSeconds } = {}) {
      const share = Math.min(1, Math.max(0, done / Math.max(1, total)));
      const left = etaSeconds === undefined || share >= 1 ? '' : `${duration(etaSeconds)} left`;
      const tail = [`${done}/${total}`, text, left].filter((part) => part !== '').join(' · ');
      if (stream.isTTY === true) {
        const full = Math.round(share * WIDTH);
        const line = `${label} ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${tail}`;
        stream.write(`\r\x1b[2K${line.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`);
        drawn = true;
        return;
      }
      const now = Math.floor(share * 10 + 1e-9);
      if (now <= tenths) return;
      tenths = now;
      stream.write(`${label} ${now * 10} % · ${tail}\n`);
    },
    clear() {
      if (drawn) stream.write('\r\x1b[2K');
      drawn = false;
    },
  };
}
