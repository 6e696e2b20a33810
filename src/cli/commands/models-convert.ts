// `orrery models convert|export`: other layouts of a checkpoint, and ONNX files that run without this package.
import { Command, Option } from 'commander';
import { plainNumberOption, sizeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { bytes, globalsOf, type Session } from '../session.ts';

type ConvertFlags = {
  readonly layout: 'original' | 'diffusers' | 'orrery';
  readonly config?: string;
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  readonly weights?: 'average' | 'last';
  readonly licence?: string;
  readonly lenient?: boolean;
  readonly shardGb?: number;
};

export function convertCommand(session: Session): Command {
  return new Command('convert')
    .description('write a checkpoint in another layout; keys and values are checked, pieces are joined')
    .argument('<source>', 'file, folder, or owner/name of a fetched model')
    .argument('<target>', 'new folder')
    .addOption(
      new Option('--layout <name>', 'layout of the result')
        .choices(['original', 'diffusers', 'orrery'])
        .makeOptionMandatory(),
    )
    .option('--config <file>', 'JSON with the options of the architecture, under their public names')
    .addOption(new Option('--dtype <type>', 'type of the weights (default: as stored)').choices(['f32', 'f16', 'bf16']))
    .addOption(
      new Option('--weights <copy>', 'of post-trained files: running average or last step (default average)').choices([
        'average',
        'last',
      ]),
    )
    .option('--licence <name>', 'licence of the weights, for the record')
    .addOption(plainNumberOption('--shard-gb <n>', 'largest file of the diffusers layout (default 10)'))
    .option('--lenient', 'leave unknown keys out and let matrices of zeros pass')
    .addHelpText('after', '\nExample:\n  orrery models convert model.pt cosmos-7b --layout orrery')
    .action(async (source: string, target: string, flags: ConvertFlags, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { convertCheckpoint, readConfig } = await import('../../checkpoints/index.ts');
      const { locateModel } = await import('../../hub/index.ts');
      const { layout, config, dtype, weights, licence, lenient = false, shardGb } = flags;
      let bar: ReturnType<typeof openProgress> | undefined;
      const options = {
        layout,
        isLenient: lenient,
        signal: session.signal,
        ...(config === undefined ? {} : { config: readConfig(config) }),
        ...(dtype === undefined ? {} : { dtype }),
        ...(weights === undefined ? {} : { weights }),
        ...(licence === undefined ? {} : { licence }),
        ...(shardGb === undefined ? {} : { shardBytes: shardGb * 1e9 }),
      };
      for await (const event of convertCheckpoint(locateModel(source), target, options)) {
        if (event.type === 'tensor') {
          bar ??= openProgress('convert', event.total, { quiet });
          bar.update(event.index);
          continue;
        }
        bar?.clear();
        if (event.type === 'completed') session.print(json ? JSON.stringify(event) : event.dir);
        else if (!quiet) {
          session.note(
            `${event.family} · ${event.parameters.toLocaleString('en')} parameters · ${event.from} → ${event.to}${event.ignored > 0 ? ` · ${event.ignored} buffers left out` : ''}`,
          );
          if (event.dropped > 0) session.note(`${event.dropped} unknown keys left out, as --lenient says`);
          for (const note of event.notes) session.note(`note: ${note}`);
        }
      }
    });
}

type ExportFlags = {
  readonly format: 'onnx';
  readonly output?: string;
  readonly standard?: boolean;
  readonly externalData?: boolean;
  readonly frames?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly textLength?: number;
};

export function exportCommand(session: Session): Command {
  return new Command('export')
    .description('write the networks of a model as ONNX files with a manifest')
    .argument('<model>', 'model name, owner/name of a fetched model, folder or file')
    .addOption(new Option('--format <name>', 'format of the files').choices(['onnx']).default('onnx'))
    .option('-o, --output <folder>', 'new folder (default: name of the model and -onnx)')
    .option('--standard', 'only operators of the ONNX standard')
    .option('--external-data', 'weights in one file beside the graphs')
    .addOption(plainNumberOption('--frames <n>', 'frames of a clip; of a diffusion transformer latent frames'))
    .addOption(sizeOption('pixels of a frame, width x height'))
    .addOption(plainNumberOption('--text-length <n>', 'places of the text of a diffusion transformer (default 512)'))
    .addHelpText('after', '\nExample:\n  orrery models export orrery-tokenizer --standard -o tokenizer-onnx')
    .action(async (model: string, flags: ExportFlags, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { exportOnnx } = await import('../../checkpoints/index.ts');
      const { locateModel } = await import('../../hub/index.ts');
      const {
        output = `${model
          .replace(/[/\\]+$/, '')
          .split(/[/\\]/)
          .at(-1)}-onnx`,
        standard = false,
        externalData = false,
        frames,
        size,
        textLength,
      } = flags;
      const options = {
        isStandard: standard,
        hasExternalData: externalData,
        signal: session.signal,
        ...(frames === undefined ? {} : { frames }),
        ...(size === undefined ? {} : size),
        ...(textLength === undefined ? {} : { textLength }),
      };
      for await (const event of exportOnnx(locateModel(model), output, options)) {
        if (event.type === 'completed') session.print(json ? JSON.stringify(event) : event.manifest);
        else if (!quiet)
          session.note(
            `${event.file} · ${bytes(event.sizeBytes)} · ${Object.values(event.operators).reduce((a, b) => a + b, 0)} nodes`,
          );
      }
    });
}
