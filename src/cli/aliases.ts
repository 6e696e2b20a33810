// Flag spellings that users bring from other world-model tools. Each is accepted, and our own name is said once.

const ALIASES: Readonly<Record<string, string>> = {
  '--num_steps': '--steps',
  '--num_video_frames': '--frames',
  '--num_frames': '--frames',
  '--negative_prompt': '--negative-prompt',
  '--input_image_or_video_path': '--input',
  '--batch_input_path': '--spec',
  '--video_save_folder': '--out',
  '--guidance_scale': '--guidance',
};

/** Replaces foreign flag spellings in an argument list; `--prompt TEXT` stays unknown on purpose, the prompt is an argument. */
export function renameFlags(args: readonly string[], note: (line: string) => void): string[] {
  const end = args.indexOf('--');
  return args.map((arg, i) => {
    if (end !== -1 && i > end) return arg;
    const [flag, ...value] = arg.split('=');
    const own = Object.hasOwn(ALIASES, flag!) ? ALIASES[flag!]! : undefined;
    if (own === undefined) return arg;
    note(`${flag} is called ${own} here`);
    return [own, ...value].join('=');
  });
}
