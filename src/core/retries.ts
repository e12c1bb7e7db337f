/** When each failed operation may be tried again. Another operation on the same prefix does not wait for it. */
import { type Operation, prefixOf } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import { sameRoute } from '../domain/route.ts';
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

type Retry = { readonly operation: Operation; readonly backoff: Backoff; readonly atMs: number };

export class Retries {
  readonly #retries = new Map<Prefix, Retry>();

  get size(): number {
    return this.#retries.size;
  }

  failed(operation: Operation, nowMs: number): void {
    const prefix = prefixOf(operation);
    const before = this.#retries.get(prefix);
    const isSame = before !== undefined && wantsSame(before.operation, operation);
    const backoff = isSame ? before.backoff.next() : exponentialBackoff({ firstMs: FIRST_RETRY_MS, capMs: LONGEST_RETRY_MS });
    this.#retries.set(prefix, { operation, backoff, atMs: nowMs + backoff.delayMs });
  }

  /** The prefix is done, or nobody wants anything of it any more. */
  settled(prefix: Prefix): void {
    this.#retries.delete(prefix);
  }

  mayTry(operation: Operation, nowMs: number): boolean {
    const retry = this.#retries.get(prefixOf(operation));
    return retry === undefined || retry.atMs <= nowMs || !wantsSame(retry.operation, operation);
  }

  due(nowMs: number): readonly Prefix[] {
    return [...this.#retries].filter(([, { atMs }]) => atMs <= nowMs).map(([prefix]) => prefix);
  }

  /** When the next prefix may be tried; Infinity: none waits. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#retries.values()) if (atMs < next) next = atMs;
    return next;
  }
}

function wantsSame(a: Operation, b: Operation): boolean {
  return sameRoute(a.kind === 'advertise' ? a.route : undefined, b.kind === 'advertise' ? b.route : undefined);
}
