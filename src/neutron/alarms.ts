/** Named times to wake at, which may be set while somebody waits for the next one. */
import type { Clock } from '../lib/clock.ts';

export class Alarms<Name extends string> {
  readonly #clock: Clock;
  readonly #times = new Map<Name, number>();
  #rearm = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets an alarm `delayMs` from now, in place of an earlier one of that name. */
  in(name: Name, delayMs: number): void {
    this.#times.set(name, this.#clock.monotonicMs() + delayMs);
    this.#rearm.abort();
  }

  /** Sets an alarm `delayMs` from now, unless one of that name is due before. */
  within(name: Name, delayMs: number): void {
    if ((this.#times.get(name) ?? Number.POSITIVE_INFINITY) > this.#clock.monotonicMs() + delayMs) this.in(name, delayMs);
  }

  /** Resolves when an alarm is due, or `signal` aborts; every alarm that is due is over then. */
  async next(signal: AbortSignal): Promise<void> {
    const interrupt = (): void => this.#rearm.abort();
    signal.addEventListener('abort', interrupt);
    for (let next = this.#earliest(); !signal.aborted && next > this.#clock.monotonicMs(); next = this.#earliest()) {
      this.#rearm = new AbortController();
      await this.#clock.wakeAt(next, this.#rearm.signal);
    }
    signal.removeEventListener('abort', interrupt);
    for (const [name, time] of this.#times) if (time <= this.#clock.monotonicMs()) this.#times.delete(name);
  }

  #earliest(): number {
    return Math.min(...this.#times.values());
  }
}
