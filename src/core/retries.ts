/** When each failed prefix may be tried again. */
import type { Prefix } from '../domain/prefix.ts';
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

export class Retries {
  readonly #retries = new Map<Prefix, { readonly backoff: Backoff; readonly atMs: number }>();

  get size(): number {
    return this.#retries.size;
  }

  failed(prefix: Prefix, nowMs: number): void {
    const backoff = this.#retries.get(prefix)?.backoff.next() ?? exponentialBackoff({ firstMs: FIRST_RETRY_MS, capMs: LONGEST_RETRY_MS });
    this.#retries.set(prefix, { backoff, atMs: nowMs + backoff.delayMs });
  }

  /** The prefix is done, or nobody wants anything of it any more. */
  settled(prefix: Prefix): void {
    this.#retries.delete(prefix);
  }

  mayTry(prefix: Prefix, nowMs: number): boolean {
    return (this.#retries.get(prefix)?.atMs ?? 0) <= nowMs;
  }

  due(nowMs: number): readonly Prefix[] {
    return [...this.#retries].filter(([, { atMs }]) => atMs <= nowMs).map(([prefix]) => prefix);
  }

  /** When the next prefix may be tried; Infinity: none waits. */
  nextMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#retries.values()].map(({ atMs }) => atMs));
  }
}
