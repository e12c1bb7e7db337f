/** A process beside the benchmark's, so that what is measured has an event loop of its own. Both ends of the way to it. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab/lab.ts';

export type Worker = {
  /** Has it carried out. @returns when it began, on `monotonicMs` */
  order(name: string): Promise<number>;
  /** Stops it in the middle of whatever it does, until `resume`. */
  pause(): void;
  resume(): void;
};

type Answer = { readonly startedMs: number } | { readonly error: string };

/** Milliseconds on the kernel's monotonic clock, which all processes of the machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Starts `file` of this folder and waits until it serves.
 * @param settings handed over as its first argument, in JSON
 */
export async function startWorker(lab: Lab, file: string, settings: object): Promise<Worker> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(settings)], { stdio: ['ignore', 2, 2, 'ipc'] });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`${file} ended with ${code ?? signal}`)));
  });
  ended.catch(() => undefined);
  const answer = async (): Promise<number> => {
    const message = await Promise.race([new Promise<Answer>((resolve) => child.once('message', resolve)), ended]);
    if ('error' in message) throw new Error(`${file}: ${message.error}`);
    return message.startedMs;
  };
  lab.onClose(async () => {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
  });
  await answer();
  return {
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    order(name) {
      const answered = answer();
      child.send(name);
      return answered;
    },
  };
}

/** The settings that `startWorker` handed over. */
export function workerSettings(): unknown {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** Says that it is ready, and from then on carries out one order after another; each gives the time of its beginning. */
export function serve(orders: Readonly<Record<string, () => Promise<number>>>): void {
  const carryOut = async (name: string): Promise<Answer> => {
    try {
      return { startedMs: (await orders[name]?.()) ?? Number.NaN };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  };
  process.on('message', (name: string) => void carryOut(name).then((answer) => process.send?.(answer)));
  process.on('disconnect', () => process.exit());
  process.send?.({ startedMs: monotonicMs() });
}
