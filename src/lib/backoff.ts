/** Exponential backoff as an immutable value: `next()` gives the delay to wait and the backoff to use afterwards. */

export type Backoff = {
  readonly delayMs: number;
  readonly next: () => Backoff;
};

/**
 * @param options `firstMs` the first delay, doubled up to `capMs`; each delay is spread by ±`jitter` (a share, default 0.2)
 */
export function exponentialBackoff(options: { firstMs: number; capMs: number; jitter?: number; random?: () => number }): Backoff {
  const { firstMs, capMs, jitter = 0.2, random = Math.random } = options;
  const step = (baseMs: number): Backoff => ({
    delayMs: baseMs * (1 + jitter * (2 * random() - 1)),
    next: () => step(Math.min(baseMs * 2, capMs)),
  });
  return step(firstMs);
}
