/**
 * What we believe GoBGP holds: the last full read, every acknowledged operation since, and the watch stream.
 * A doubt makes it stale; a stale view is read anew before anything is planned from it.
 */
import type { Operation } from '../domain/plan.ts';
import { prefixOf } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import { type Route, sameRoute } from '../domain/route.ts';
import type { LocalRoutes, Outcome } from './ports.ts';

/** An acknowledged change must show on the watch stream within this time: GoBGP answers success for a path that a policy drops. */
const ECHO_MS = 1_000;

type Expectation = {
  readonly route: Route | undefined;
  /** When the silence becomes a doubt; absent before the acknowledgement. */
  deadlineMs?: number;
};

export class SpeakerView {
  #local = new Map<Prefix, Route>();
  /** States that the watch stream still has to show, oldest first. */
  readonly #expected = new Map<Prefix, Expectation[]>();
  #changed = new Set<Prefix>();
  #duringRead: Map<Prefix, Route | undefined> | undefined;
  #staleReason: string | undefined = 'never read';

  get(prefix: Prefix): Route | undefined {
    return this.#local.get(prefix);
  }

  routes(): LocalRoutes {
    return this.#local;
  }

  staleReason(): string | undefined {
    return this.#staleReason;
  }

  /** Drops the trust in the view, keeping what it says until it is read anew. */
  invalidate(reason: string): void {
    this.#staleReason ??= reason;
  }

  /** Call before reading: events from here on are newer than, or the same as, what the read brings. */
  beginRead(): void {
    this.#duringRead = new Map();
  }

  /** Takes a full read. Every prefix whose route differs from what the view said becomes changed. */
  endRead(routes: LocalRoutes): void {
    const before = this.#local;
    this.#local = new Map(routes);
    for (const [prefix, route] of this.#duringRead ?? []) this.#store(prefix, route);
    this.#duringRead = undefined;
    this.#expected.clear();
    this.#staleReason = undefined;
    for (const prefix of new Set([...before.keys(), ...this.#local.keys()])) {
      if (!sameRoute(before.get(prefix), this.#local.get(prefix))) this.#changed.add(prefix);
    }
  }

  /** An operation is about to be sent: its echo may overtake its acknowledgement. */
  begin(operation: Operation): void {
    const prefix = prefixOf(operation);
    const expectation: Expectation = { route: operation.kind === 'advertise' ? operation.route : undefined };
    const waiting = this.#expected.get(prefix);
    if (waiting === undefined) this.#expected.set(prefix, [expectation]);
    else waiting.push(expectation);
  }

  acknowledge({ operation, result }: Outcome, nowMs: number): void {
    const prefix = prefixOf(operation);
    if (result !== 'done') return this.invalidate(`${operation.kind} of ${prefix} ${result}`);
    const last = this.#expected.get(prefix)?.at(-1);
    if (last !== undefined) last.deadlineMs = nowMs + ECHO_MS;
    this.#store(prefix, operation.kind === 'advertise' ? operation.route : undefined);
  }

  /** A change told by the watch stream. @returns false when nobody here asked for it */
  event(prefix: Prefix, route: Route | undefined): boolean {
    this.#duringRead?.set(prefix, route);
    const waiting = this.#expected.get(prefix) ?? [];
    const met = waiting.findIndex((expectation) => sameRoute(expectation.route, route));
    if (met >= 0) {
      waiting.splice(0, met + 1);
      if (waiting.length === 0) this.#expected.delete(prefix);
      return true;
    }
    if (sameRoute(this.#local.get(prefix), route)) return true;
    this.#store(prefix, route);
    this.#changed.add(prefix);
    return false;
  }

  /** Whether every acknowledged advertisement has shown on the watch stream. */
  isSettled(): boolean {
    return this.#expected.size === 0;
  }

  /** Notices acknowledged advertisements that never showed on the watch stream. */
  checkEchoes(nowMs: number): void {
    for (const [prefix, waiting] of this.#expected) {
      const late = waiting.filter(({ deadlineMs }) => deadlineMs !== undefined && deadlineMs <= nowMs);
      if (late.some(({ route }) => route !== undefined)) this.invalidate(`${prefix} was acknowledged but did not show`);
      const left = waiting.filter((expectation) => !late.includes(expectation));
      if (left.length === 0) this.#expected.delete(prefix);
      else this.#expected.set(prefix, left);
    }
  }

  /** When `checkEchoes` has something to look at next; Infinity: nothing is awaited. */
  nextEchoMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const waiting of this.#expected.values())
      for (const { deadlineMs } of waiting) if (deadlineMs !== undefined && deadlineMs < next) next = deadlineMs;
    return next;
  }

  /** Prefixes that changed in GoBGP without us. */
  takeChanged(): ReadonlySet<Prefix> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #store(prefix: Prefix, route: Route | undefined): void {
    if (route === undefined) this.#local.delete(prefix);
    else this.#local.set(prefix, route);
  }
}
