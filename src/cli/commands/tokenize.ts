// `orrery tokenize VIDEO`: compress, restore, compare.
import { Command } from 'commander';
import { wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type Options = { readonly out?: string; readonly model?: string; readonly maxSide?: number };

export function tokenizeCommand(session: Session): Command {
  return new Command('tokenize')
    .description('compress a video to latents, restore it, and print how much was lost')
    .argument('<video>', 'any video that FFmpeg reads')
    .option('-o, --out <dir>', 'folder for latents.safetensors and restored.mp4 (default runs/tokenize)')
    .option('--model <name>', 'model name or folder (default orrery-tokenizer)')
    .addOption(wholeOption('--max-side <n>', 'longest side after scaling (default 256)', 32, 2048))
    .addHelpText('after', '\nExample:\n  orrery tokenize holiday.mp4 -o out')
    .action(async (video: string, options: Options, command: Command) => {
      const { tokenize } = await import('../../worlds/index.ts');
      const { json, quiet } = globalsOf(command);
      let bar: ReturnType<typeof openProgress> | undefined;
      for await (const event of tokenize(video, { ...options, signal: session.signal })) {
        if (json) session.print(JSON.stringify(event));
        if (event.type === 'started' && !quiet) {
          session.note(`${video}: ${event.frames} frames, tokenized at ${event.width}x${event.height}`);
        }
        if (event.type === 'progress') {
          bar ??= openProgress('tokenizing', Math.max(1, event.total), { quiet });
          bar.update(event.frames);
        }
        if (event.type === 'completed') {
          bar?.clear();
          if (!json) {
            session.print(
              `PSNR ${event.psnr.toFixed(2)} dB · SSIM ${event.ssim.toFixed(4)} · ${event.compression.toFixed(1)}x smaller than raw · ${event.frames} frames`,
            );
            session.print(event.latents);
            session.print(event.video);
          }
        }
      }
    });
}
