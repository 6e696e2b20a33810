// `orrery tokenize VIDEO`: compresses a video to a latent file, restores it and tells how much was lost.
import { Command } from 'commander';
import type { TokenizeOptions } from '../../worlds/index.ts';
import { deviceOption, memoryOf, memoryOption, weightsOption, wholeOption } from '../options.ts';
import { openProgress, type Progress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type Options = Pick<TokenizeOptions, 'out' | 'model' | 'maxSide' | 'weights' | 'device' | 'threads'> & {
  readonly memory?: number;
};

export function tokenizeCommand(session: Session): Command {
  return new Command('tokenize')
    .description('compress a video or picture to latents, restore it, print PSNR, SSIM and compression')
    .argument('<video>', 'video of any length, or a picture')
    .option('-o, --out <dir>', 'folder for latents.safetensors and restored.mp4 or .png (default runs/tokenize)')
    .option('--model <name>', 'model name, or folder of a public Cosmos tokenizer (default orrery-tokenizer)')
    .addOption(wholeOption('--max-side <n>', 'longest side in pixels after scaling (default 256)', 16, 4096))
    .addOption(weightsOption())
    .addOption(memoryOption())
    .addOption(deviceOption())
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .addHelpText('after', '\nExample:\n  orrery tokenize clip.mp4 -o out')
    .action(async (video: string, options: Options, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { tokenize } = await import('../../worlds/index.ts');
      let bar: Progress | undefined;
      for await (const event of tokenize(video, { ...options, ...memoryOf(options), signal: session.signal })) {
        switch (event.type) {
          case 'started':
            if (!quiet) session.note(`${event.width}x${event.height}, ${event.fps.toFixed(2)} fps, guardrail none`);
            break;
          case 'weights':
            bar ??= openProgress('weights %', 100, { quiet });
            bar.update(Math.floor((100 * event.done) / event.total));
            if (event.done === event.total) {
              bar.clear();
              bar = undefined;
            }
            break;
          case 'progress':
            bar ??= openProgress('frames', Math.max(event.total, event.frames), { quiet });
            bar.update(event.frames);
            break;
          case 'completed': {
            bar?.clear();
            const { frames, psnr, ssim, compression } = event;
            const facts = `${frames} frames, PSNR ${psnr.toFixed(2)} dB, SSIM ${ssim.toFixed(4)}, ${compression.toFixed(1)} times smaller`;
            if (json) session.print(JSON.stringify(event));
            else for (const line of [event.latents, event.video, facts]) session.print(line);
            break;
          }
        }
      }
    });
}
