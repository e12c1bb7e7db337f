/**
 * Ports that a `deleted` push told as gone. The push proves nothing (a server that reads from a lagging replica sends
 * one too), so each is looked up by id until there is an answer; what stays unanswered is told as unconfirmed meanwhile.
 */
import type { BindingSink } from '../core/ports.ts';
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { Alarms } from './alarms.ts';
import { LOOK_UP_CHUNK, type LookedUp } from './look-up.ts';

export type DeletionOptions = {
  readonly sink: BindingSink;
  readonly lookUp: (ids: readonly string[]) => Promise<LookedUp>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long the first answer may take before the port counts as gone, unconfirmed. */
  readonly answerWithinMs: number;
};

type Deletion = {
  /** Counts the reasons to ask, so that an answer to an earlier question does not settle a later one. */
  asked: number;
  answered: number;
  readonly toldMs: number;
  toldUnconfirmed: boolean;
};

/** How long a late `updated` push for a deleted port is not believed without a look-up. */
const REMEMBERED_MS = 600_000;

export class Deletions {
  readonly #options: DeletionOptions;
  readonly #deletions = new Map<string, Deletion>();
  readonly #questions: Alarms<'ask'>;
  /** By port id. */
  readonly #deadlines: Alarms<string>;

  constructor(options: DeletionOptions) {
    this.#options = options;
    this.#questions = new Alarms(options.clock);
    this.#deadlines = new Alarms(options.clock);
  }

  /** A `deleted` push has come. */
  told(portId: string): void {
    if (this.#deletions.has(portId)) return this.contradicted(portId);
    this.#deletions.set(portId, { asked: 1, answered: 0, toldMs: this.#options.clock.monotonicMs(), toldUnconfirmed: false });
    this.#deadlines.in(portId, this.#options.answerWithinMs);
    this.askNow();
  }

  /** Whether a push about the port has to be looked up instead of believed. */
  covers(portId: string): boolean {
    return this.#deletions.has(portId);
  }

  /** A later push speaks of the port, whatever it says: it is asked for again. */
  contradicted(portId: string): void {
    const deletion = this.#deletions.get(portId);
    if (deletion === undefined) return;
    deletion.asked += 1;
    this.askNow();
  }

  /** Asks what is open without waiting any longer: the servers may be there again. */
  askNow(): void {
    this.#questions.in('ask', 0);
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#askLoop(signal), this.#deadlineLoop(signal)]);
  }

  async #askLoop(signal: AbortSignal): Promise<void> {
    const freshBackoff = (): Backoff => exponentialBackoff({ firstMs: 1_000, capMs: 30_000 });
    let backoff = freshBackoff();
    for (await this.#questions.next(signal); !signal.aborted; await this.#questions.next(signal)) {
      this.#forgetOld();
      const open = [...this.#deletions].filter(([, deletion]) => isOpen(deletion)).map(([id]) => id);
      if (open.length === 0) continue;
      if (await this.#ask(open.slice(0, LOOK_UP_CHUNK), signal)) {
        backoff = freshBackoff();
        this.askNow();
      } else {
        this.#questions.in('ask', backoff.delayMs);
        backoff = backoff.next();
      }
    }
  }

  /** Whether every id was answered. */
  async #ask(ids: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { sink, lookUp, log } = this.#options;
    const asked = new Map(ids.map((id) => [id, this.#deletions.get(id)?.asked ?? 0]));
    try {
      const { found, unreadable } = await lookUp(ids);
      for (const id of ids) {
        const deletion = this.#deletions.get(id);
        if (deletion === undefined || unreadable.has(id)) continue;
        deletion.answered = asked.get(id) ?? 0;
        if (isOpen(deletion)) continue;
        const port = found.get(id);
        if (port === undefined) {
          sink.remove(id, 'deleted');
        } else {
          log.info({ port: id }, 'a port that was told as deleted is there');
          this.#deletions.delete(id);
          sink.upsert(port);
        }
      }
      return unreadable.size === 0;
    } catch (error) {
      if (!signal.aborted) log.warn({ code: codeOf(error), error: messageOf(error), ports: ids.length }, 'look-up of deleted ports failed');
      return false;
    }
  }

  async #deadlineLoop(signal: AbortSignal): Promise<void> {
    const { clock, sink, answerWithinMs } = this.#options;
    for (await this.#deadlines.next(signal); !signal.aborted; await this.#deadlines.next(signal)) {
      for (const [id, deletion] of this.#deletions) {
        const due = deletion.answered === 0 && !deletion.toldUnconfirmed && deletion.toldMs + answerWithinMs <= clock.monotonicMs();
        if (!due) continue;
        deletion.toldUnconfirmed = true;
        sink.remove(id, 'unconfirmed');
      }
    }
  }

  #forgetOld(): void {
    const oldMs = this.#options.clock.monotonicMs() - REMEMBERED_MS;
    for (const [id, deletion] of this.#deletions) if (!isOpen(deletion) && deletion.toldMs < oldMs) this.#deletions.delete(id);
  }
}

function isOpen(deletion: Deletion): boolean {
  return deletion.asked > deletion.answered;
}
