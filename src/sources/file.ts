/**
 * The file source: bindings.yaml, watched. Each state of the file is a complete snapshot; one that cannot be read or
 * understood changes nothing but that the source is no longer in sync.
 */
import { readFile, stat } from 'node:fs/promises';
import type { BindingSink, BindingSource, Telemetry } from '../core/ports.ts';
import type { PortBinding } from '../domain/port-binding.ts';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { watchFile } from '../lib/file-watch.ts';
import { MOST_BYTES, parseBindings } from './bindings-file.ts';

/** Snapshots come at least this often: what is held waits for a second one that says the same. */
const REREAD_INTERVAL_MS = 60_000;

export class FileSource implements BindingSource {
  readonly name: string;
  readonly #path: string;
  readonly #host: string;
  readonly #telemetry: Telemetry;
  readonly #clock: Clock;
  readonly #rereadIntervalMs: number;
  /** Aborted to end the pause between two reads. */
  #pause = new AbortController();
  #last: { readonly text: string; readonly bindings: readonly PortBinding[] } | undefined;
  #revisionNumber = 0;

  /** @param options `host` is the host of entries that name none */
  constructor(options: {
    path: string;
    host: string;
    telemetry: Telemetry;
    name?: string;
    clock?: Clock;
    rereadIntervalMs?: number;
  }) {
    this.name = options.name ?? 'file';
    this.#path = options.path;
    this.#host = options.host;
    this.#telemetry = options.telemetry;
    this.#clock = options.clock ?? systemClock;
    this.#rereadIntervalMs = options.rereadIntervalMs ?? REREAD_INTERVAL_MS;
  }

  async run(sink: BindingSink, signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#pause.abort();
    signal.addEventListener('abort', stop);
    const watching = watchFile({ path: this.#path, onChange: () => this.resync(), clock: this.#clock, signal });
    try {
      while (!signal.aborted) {
        this.#pause = new AbortController();
        await this.#read(sink);
        if (!signal.aborted) await sleep(this.#clock, this.#rereadIntervalMs, this.#pause.signal);
      }
    } finally {
      signal.removeEventListener('abort', stop);
      await watching;
    }
  }

  resync(): void {
    this.#pause.abort();
  }

  async #read(sink: BindingSink): Promise<void> {
    let text: string;
    try {
      const found = await stat(this.#path);
      if (!found.isFile() || found.size > MOST_BYTES)
        return this.#refuse([`${this.#path}: is no file of at most ${MOST_BYTES} bytes`], sink);
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      return sink.lost(`cannot read ${this.#path}: ${(error as NodeJS.ErrnoException).code ?? messageOf(error)}`);
    }
    if (text !== this.#last?.text && !this.#parse(text, sink)) return;
    const bindings = this.#last?.bindings ?? [];
    const present = new Set(bindings.map(({ portId }) => portId));
    for (const portId of sink.interest.portIds()) if (!present.has(portId)) sink.remove(portId, 'deleted');
    sink.replace(bindings);
  }

  /** Whether the text holds bindings; if not, says why. */
  #parse(text: string, sink: BindingSink): boolean {
    const now = this.#clock.wallTime();
    const revisionNumber = Math.max(this.#revisionNumber + 1, now.getTime());
    const updatedAt = `${now.toISOString().slice(0, 19)}Z`;
    const { bindings, problems } = parseBindings(text, { file: this.#path, host: this.#host, revisionNumber, updatedAt });
    if (problems !== undefined) {
      this.#refuse(problems, sink);
      return false;
    }
    this.#telemetry.count({ kind: 'bus-message', source: this.name, outcome: 'applied' });
    this.#revisionNumber = revisionNumber;
    this.#last = { text, bindings };
    return true;
  }

  #refuse(problems: readonly string[], sink: BindingSink): void {
    const detail = problems.join('\n');
    this.#telemetry.count({ kind: 'bus-message', source: this.name, outcome: 'malformed', detail });
    sink.lost(detail);
  }
}
