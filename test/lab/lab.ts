/**
 * A lab: a folder of its own, processes of its own on loopback, and a promise that nothing of either stays behind.
 * What runs inside (gobgpd, BIRD, RabbitMQ, ...) has a file of its own beside this one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type LabProcess = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Sends a signal to the process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves with how it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  hasEnded(): boolean;
  /** Ends the process and everything it started: SIGTERM, after 3 s SIGKILL. */
  stop(signal?: NodeJS.Signals): Promise<void>;
};

export class Lab {
  readonly folder: string;
  readonly #processes = new Set<LabProcess>();
  readonly #closers: (() => Promise<void> | void)[] = [];
  #isClosed = false;
  readonly #atExit = (): void => {
    for (const { pid } of this.#processes) killGroup(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };

  constructor(name = 'lab') {
    this.folder = mkdtempSync(join(tmpdir(), `neutron-bgp-agent-${name}-`));
    process.on('exit', this.#atExit);
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** Starts a program in a process group of its own; its output goes to `NAME.log` in the lab's folder. */
  start(name: string, command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): LabProcess {
    const logFile = this.path(`${name}.log`);
    const child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd ?? this.folder,
      env: { ...process.env, ...options.env },
    });
    // last words may come after the end of the process, when the folder is gone
    const keep = (chunk: Buffer): void => {
      if (!this.#isClosed) appendFileSync(logFile, chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const started = labProcess(name, child, logFile, () => this.#processes.delete(started));
    if (child.pid !== undefined) this.#processes.add(started);
    return started;
  }

  /** Runs `closer` when the lab closes; the last one registered runs first. */
  onClose(closer: () => Promise<void> | void): void {
    this.#closers.unshift(closer);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.splice(0)) await closer();
    await Promise.all([...this.#processes].map((started) => started.stop()));
    this.#isClosed = true;
    process.off('exit', this.#atExit);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function labProcess(name: string, child: ChildProcess, logFile: string, onEnd: () => void): LabProcess {
  let over = false;
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('error', (error) => {
      over = true;
      appendFileSync(logFile, `${error.message}\n`);
      resolve({ code: 127, signal: null });
    });
    child.on('exit', (code, signal) => {
      over = true;
      onEnd();
      resolve({ code, signal });
    });
  });
  const pid = child.pid ?? -1;
  return {
    name,
    pid,
    logFile,
    ended,
    hasEnded: () => over,
    kill: (signal) => void child.kill(signal),
    async stop(signal = 'SIGTERM') {
      if (!over) {
        killGroup(pid, signal);
        const timer = setTimeout(() => killGroup(pid, 'SIGKILL'), 3_000);
        await ended;
        clearTimeout(timer);
      }
      killGroup(pid, 'SIGKILL');
    },
  };
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A TCP port nobody listens on, below the range that the kernel gives to outgoing connections. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, host, () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Waits until `probe` gives something other than undefined or false; fails with what it was waiting for. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 15_000,
  everyMs = 20,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end)
      throw new Error(`waited ${timeoutMs} ms for: ${what}${last instanceof Error ? ` (last error: ${last.message})` : ''}`);
    await new Promise((resolve) => {
      setTimeout(resolve, everyMs);
    });
  }
}

/** The last lines of a process's output, for the message of a failed start. */
export function logTail(started: LabProcess, lines = 15): string {
  try {
    return readFileSync(started.logFile, 'utf8').split('\n').slice(-lines).join('\n');
  } catch {
    return '(no output)';
  }
}
