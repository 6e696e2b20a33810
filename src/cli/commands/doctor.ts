// `orrery doctor`: what this machine can run. Looks only; uses no network and writes nothing.
import { Command } from 'commander';
import { folderReport, machineReport } from '../machine.ts';
import { VERSION } from '../package-info.ts';
import { bytes, globalsOf, paint, type Session } from '../session.ts';
import { findModels } from './models.ts';

/** Public diffusion models by number of parameters. */
const PUBLIC_SIZES = [
  { name: '2B', parameters: 2e9 },
  { name: '7B', parameters: 7e9 },
  { name: '14B', parameters: 14e9 },
] as const;

/** Bytes besides the network in float16: the T5 text encoder (4.8e9 parameters) and the activations of one step. */
const TEXT_ENCODER_BYTES = 4.8e9 * 2;
const ACTIVATION_BYTES = 4e9;

export function doctorCommand(session: Session): Command {
  return new Command('doctor')
    .description('what this machine can run: processor, memory, devices, media, models, folders')
    .addHelpText('after', '\nExample:\n  orrery doctor --json')
    .action(async (_options: object, command: Command) => {
      const report = await examine();
      if (globalsOf(command).json) session.print(JSON.stringify(report));
      else for (const line of describe(report)) session.print(line);
    });
}

type Report = Awaited<ReturnType<typeof examine>>;

async function examine() {
  const { mediaBackends, stopIdleMediaProcesses } = await import('../../media/index.ts');
  const { cacheFolder, deviceProblem } = await import('../../runtime/index.ts');
  const { SMALL_DETECTOR_PACKAGE, smallDetectorFolder } = await import('../../guardrail/index.ts');
  const devices = await Promise.all(
    (['cpu', 'webgpu', 'cuda'] as const).map(async (name) => {
      const reason = shortReason(await deviceProblem(name));
      return { name, isAvailable: reason === '', reason };
    }),
  );
  const media = await mediaBackends();
  stopIdleMediaProcesses();
  const machine = machineReport();
  return {
    version: VERSION,
    machine,
    devices,
    media,
    faces: { package: SMALL_DETECTOR_PACKAGE, isAvailable: smallDetectorFolder() !== undefined },
    models: await findModels(),
    runs: folderReport('runs'),
    cache: folderReport(cacheFolder()),
    publicModels: PUBLIC_SIZES.map(({ name, parameters }) => {
      const needsBytes = parameters * 2 + TEXT_ENCODER_BYTES + ACTIVATION_BYTES;
      return { name, needsBytes, fits: needsBytes <= machine.memoryBytes };
    }),
    network: 'none used',
  };
}

/** The part of the engine's message that a person can use: without its source positions. */
function shortReason(reason: string): string {
  return reason.replace(/\/\S*onnxruntime_src\S*.*? was false\. /, '').slice(0, 200);
}

function describe(report: Report): readonly string[] {
  const { machine, devices, media, models, runs, cache, publicModels } = report;
  const lines: string[] = [];
  const row = (name: string, text: string): void => void lines.push(`${name.padEnd(9)} ${text}`);
  const mark = (ok: boolean): string => paint(ok ? 'green' : 'yellow', ok ? 'yes' : 'no', process.stdout).padEnd(3);
  row('orrery', `${report.version} · node ${machine.node} · ${machine.system}`);
  row('processor', `${machine.cores} cores · ${machine.cpu}`);
  row('memory', `${bytes(machine.memoryBytes)}, ${bytes(machine.availableBytes)} available now`);
  for (const { name, isAvailable, reason } of devices) {
    row('device', `${mark(isAvailable)} ${name}${reason === '' ? '' : ` · ${reason}`}`);
  }
  for (const { name, isAvailable, version, encoder, reason } of media) {
    row('media', `${mark(isAvailable)} ${name} · ${isAvailable ? `${version} · ${encoder}` : reason}`);
  }
  const { faces } = report;
  row(
    'faces',
    `${mark(faces.isAvailable)} ${faces.package} · ${faces.isAvailable ? 'the guardrail hides faces' : `faces stay visible; npm install ${faces.package}`}`,
  );
  if (models.length === 0) row('model', 'none; train one: orrery train recipes/orrery-tokenizer.json');
  for (const { name, parameters, sizeBytes, isWhole, problem } of models) {
    const facts = `${(parameters / 1e6).toPrecision(3)}M parameters · ${bytes(sizeBytes)} · sha256 ok`;
    row('model', `${mark(isWhole)} ${name} · ${isWhole ? facts : problem}`);
  }
  for (const [name, folder] of [['runs', runs] as const, ['cache', cache] as const]) {
    row(name, `${folder.path} · ${folder.isWritable ? 'writable' : 'NOT writable'} · ${bytes(folder.freeBytes)} free`);
  }
  for (const { name, needsBytes, fits } of publicModels) {
    const verdict = fits ? 'it fits' : 'too small';
    row('size', `${name}: needs ${bytes(needsBytes)} in fp16; you have ${bytes(machine.memoryBytes)}: ${verdict}`);
  }
  row('', 'network, text encoder and one step; this version does not load the public checkpoints yet');
  if (devices.some(({ name, isAvailable }) => name === 'cuda' && !isAvailable)) {
    row('cuda', 'on Linux x64 with an NVIDIA GPU: node node_modules/onnxruntime-node/script/install.js');
  }
  row('network', 'none used');
  return lines;
}
