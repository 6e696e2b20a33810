// Readers of flag values: text in, checked value out, with the same messages as everywhere else.
import { Option } from 'commander';
import { InputError } from '../base/index.ts';

/** A flag whose value is a whole number in [low, high]. */
export function wholeOption(flags: string, text: string, low: number, high: number): Option {
  const option = new Option(flags, text);
  return option.argParser((value: string) => {
    const number = Number(value);
    if (value.trim() === '' || !Number.isInteger(number) || number < low || number > high) {
      throw new InputError(
        option.long ?? flags,
        { got: value, need: `a whole number from ${low} to ${high}` },
        'usage',
      );
    }
    return number;
  });
}

/** A flag whose value is a number in [low, high]. */
export function numberOption(flags: string, text: string, low: number, high: number): Option {
  const option = new Option(flags, text);
  return option.argParser((value: string) => {
    const number = Number(value);
    if (value.trim() === '' || !Number.isFinite(number) || number < low || number > high) {
      throw new InputError(option.long ?? flags, { got: value, need: `a number from ${low} to ${high}` }, 'usage');
    }
    return number;
  });
}

/** `--size 128` or `--size 256x144` (width × height). */
export function sizeOption(text: string): Option {
  return new Option('--size <WxH>', text).argParser((value: string) => {
    const match = /^(\d+)(?:x(\d+))?$/i.exec(value);
    const width = Number(match?.[1]);
    const height = Number(match?.[2] ?? match?.[1]);
    if (match === null || width < 16 || height < 16 || width > 4096 || height > 4096) {
      throw new InputError('--size', { got: value, need: 'width x height from 16 to 4096, such as 128x128' }, 'usage');
    }
    return { width, height };
  });
}

/** `--seed N`: the number that every random choice follows from. */
export function seedOption(): Option {
  return wholeOption('--seed <n>', 'seed of every random choice (default 0)', 0, 2 ** 32 - 1);
}

/** A flag whose value is a number; the task's own schema checks its range. */
export function plainNumberOption(flags: string, text: string): Option {
  const option = new Option(flags, text);
  return option.argParser((value: string) => {
    const number = Number(value);
    if (value.trim() === '' || !Number.isFinite(number)) {
      throw new InputError(option.long ?? flags, { got: value, need: 'a number' }, 'usage');
    }
    return number;
  });
}

/** A flag whose value is one of a few names. @param why where to find out which */
function nameOption(flags: string, text: string, names: readonly string[], why: string): Option {
  const option = new Option(flags, text);
  return option.argParser((value: string) => {
    if (names.includes(value)) return value;
    const need = `${names.slice(0, -1).join(', ')} or ${names[names.length - 1]}`;
    throw new InputError(option.long ?? flags, { got: value, need, why }, 'usage');
  });
}

/** `--weights stored|8bit|4bit`. */
export const weightsOption = (): Option =>
  nameOption(
    '--weights <form>',
    'public models: stored, 8bit or 4bit weights',
    ['stored', '8bit', '4bit'],
    'orrery doctor says what fits here',
  );

/** `--device cpu|webgpu|cuda`. */
export const deviceOption = (): Option =>
  nameOption(
    '--device <name>',
    'where networks run: cpu, webgpu or cuda (default cpu)',
    ['cpu', 'webgpu', 'cuda'],
    'orrery doctor tries them',
  );

/** `--memory GB`: what a run may count on, for those who know better than the estimate or have less than the machine. */
export function memoryOption(): Option {
  return numberOption('--memory <gb>', 'GB that a public model may count on (default: what is free now)', 0.1, 1e6);
}

/** The same in bytes, for the library. */
export const memoryOf = ({ memory }: { readonly memory?: number | undefined }): { readonly memoryBytes?: number } =>
  memory === undefined ? {} : { memoryBytes: memory * 1e9 };
