/** A wake-up without payload: any number of `fire()` between two waits are one. One waiter at a time. */
import type { Clock } from './clock.ts';

export class Trigger {
  #isFired = false;
  #wake: () => void = () => {};

  fire(): void {
    this.#isFired = true;
    this.#wake();
  }

  /** What was fired until now is being looked after. */
  reset(): void {
    this.#isFired = false;
  }

  /** Resolves when it was fired since the last reset, at `ms` on the monotonic clock, or when `signal` aborts. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isFired) return;
    // One controller a wait: nothing long-lived gathers a reaction of each.
    const over = new AbortController();
    const end = (): void => over.abort();
    this.#wake = end;
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    await clock.wakeAt(ms, over.signal);
    signal.removeEventListener('abort', end);
    this.#wake = () => {};
  }
}
