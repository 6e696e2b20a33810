// `orrery doctor`: what this machine can run. Looks only; uses no network and writes nothing.
import { Command } from 'commander';
import { VERSION } from '../../hub/index.ts';
import { folderReport, type MachineReport, machineReport } from '../machine.ts';
import { bytes, globalsOf, paint, type Session } from '../session.ts';
import { findModels } from './models.ts';

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
  const { LEAST_FACE_SIDE, SMALL_DETECTOR_PACKAGE, smallDetectorFolder } = await import('../../guardrail/index.ts');
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
    faces: {
      package: SMALL_DETECTOR_PACKAGE,
      isAvailable: smallDetectorFolder() !== undefined,
      leastSide: LEAST_FACE_SIDE,
    },
    models: await findModels(),
    runs: folderReport('runs'),
    cache: folderReport(cacheFolder()),
    publicModels: await publicModels(machine),
    network: 'none used',
  };
}

/** What each public model needs in each form of its weights, and whether that fits now. */
async function publicModels(machine: MachineReport) {
  const { knownNeeds } = await import('../../worlds/index.ts');
  return knownNeeds().map(({ model, needs }) => ({
    name: model.name,
    size: model.size,
    isWhole: model.isWhole,
    forms: needs.map(({ weights, offload, part, peakBytes, diskBytes }) => ({
      weights,
      offload,
      needsBytes: peakBytes,
      diskBytes,
      part,
      fits: peakBytes <= machine.availableBytes,
    })),
  }));
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
  const hides = `the guardrail hides faces; in generated frames under ${faces.leastSide} pixels it looks for none`;
  const missing = `faces stay visible; npm install ${faces.package}`;
  row('faces', `${mark(faces.isAvailable)} ${faces.package} · ${faces.isAvailable ? hides : missing}`);
  if (models.length === 0) row('model', 'none; train one: orrery train recipes/orrery-tokenizer.json');
  for (const { name, parameters, sizeBytes, isWhole, problem } of models) {
    const facts = `${(parameters / 1e6).toPrecision(3)}M parameters · ${bytes(sizeBytes)} · sha256 ok`;
    row('model', `${mark(isWhole)} ${name} · ${isWhole ? facts : problem}`);
  }
  for (const [name, folder] of [['runs', runs] as const, ['cache', cache] as const]) {
    row(name, `${folder.path} · ${folder.isWritable ? 'writable' : 'NOT writable'} · ${bytes(folder.freeBytes)} free`);
  }
  for (const { name, size, isWhole, forms } of publicModels) {
    const verdicts = forms.map(({ weights, offload, needsBytes, fits }) => {
      const form = offload ? '--offload' : weights === 'stored' ? 'as stored' : `--weights ${weights}`;
      return `${form} ${bytes(needsBytes)} ${fits ? 'fits' : 'does not fit'}`;
    });
    const part = isWhole ? '' : ' (its network only: a part of the pipeline is missing here)';
    row('public', `${name}${part} · ${size.frames} frames of ${size.width}x${size.height} · ${verdicts.join(' · ')}`);
  }
  row('', 'largest part of the model with its intermediate values; shorter and smaller videos need less');
  if (devices.some(({ name, isAvailable }) => name === 'cuda' && !isAvailable)) {
    row('cuda', 'on Linux x64 with an NVIDIA GPU: node node_modules/onnxruntime-node/script/install.js');
  }
  row('network', 'none used');
  return lines;
}
