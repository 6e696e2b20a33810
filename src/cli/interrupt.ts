// Ctrl-C: the first asks the work to stop after the current step, the second ends the process at once.

export type Interrupt = {
  readonly signal: AbortSignal;
  /** Takes the handlers away, so that the process may end. */
  readonly dispose: () => void;
};

/** Code of a process that was interrupted. */
export const INTERRUPTED = 130;

export function watchInterrupt(note: (line: string) => void): Interrupt {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    note('stopping after the current step; press Ctrl-C again to end at once');
    controller.abort(new Error(signal));
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.on(name, stop);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of signals) process.off(name, stop);
    },
  };
}
