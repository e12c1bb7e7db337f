/** Time as a value: everything that waits or compares times takes a `Clock`, so that tests own it. */

export interface Clock {
  /** Milliseconds on a clock that never jumps; only differences mean anything. */
  monotonicMs(): number;
  /** Wall time, for showing to people and for Neutron; never for deciding. */
  wallTime(): Date;
  /** Resolves when `monotonicMs()` has reached `ms`, or at once when `signal` aborts; it never rejects. */
  wakeAt(ms: number, signal: AbortSignal): Promise<void>;
}

/** setTimeout's delay is a signed 32-bit number of milliseconds: a longer one fires at once. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallTime: () => new Date(),
  wakeAt: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const delay = Math.min(Math.max(0, Math.ceil(ms - performance.now())), LONGEST_TIMEOUT_MS);
      const timer = setTimeout(done, delay);
      signal.addEventListener('abort', done, { once: true });
    }),
};

/** Waits `ms` milliseconds, or until `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return clock.wakeAt(clock.monotonicMs() + ms, signal);
}
