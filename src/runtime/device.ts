// Is a device there? Asked once per process and device, in a child process.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { OrreryError } from '../base/index.ts';
import type { Device } from './protocol.ts';

const PROBE = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/src/runtime/probe.js' : './probe.js', import.meta.url),
);
const TIMEOUT_MS = 60_000;

const NEXT_STEP: Readonly<Record<Device, string>> = {
  cpu: 'reinstall onnxruntime-node',
  webgpu: 'use --device cpu, or install a Vulkan driver (Linux), then run orrery doctor',
  cuda: 'use --device cpu, or add the CUDA libraries of onnxruntime-node, then run orrery doctor',
};

const known = new Map<Device, Promise<string>>();

/** Why `device` cannot be used here, or an empty string when it works. */
export function deviceProblem(device: Device): Promise<string> {
  let answer = known.get(device);
  if (answer === undefined) {
    answer = device === 'cpu' ? Promise.resolve('') : probe(device);
    known.set(device, answer);
  }
  return answer;
}

/** Throws a `device` error with the next step when `device` cannot be used here. */
export async function requireDevice(device: Device): Promise<void> {
  const reason = await deviceProblem(device);
  if (reason === '') return;
  throw new OrreryError('device', `device ${device} is not usable here: ${reason}; ${NEXT_STEP[device]}`);
}

function probe(device: Device): Promise<string> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROBE, device], { timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      const line = stdout.trim().split('\n').at(-1) ?? '';
      try {
        resolve((JSON.parse(line) as { reason: string }).reason.replaceAll('\n', ' '));
      } catch {
        // No answer: the driver ended the process, or hung.
        const last = stderr.trim().split('\n').at(-1) ?? '';
        const how = error?.killed ? `no answer in ${TIMEOUT_MS / 1000} s` : `its driver ended the process`;
        resolve(last === '' ? how : `${how} (${last.slice(0, 200)})`);
      }
    });
  });
}
