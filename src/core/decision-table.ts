/**
 * The decisions of all prefixes, kept up to date prefix by prefix. `domain/decision.ts` decides one; here is what spans
 * several: deadlines, doubts and the route limit. Evaluating some prefixes gives what evaluating all would.
 */
import { type Decision, decide, type PrefixFacts, type Since, type World } from '../domain/decision.ts';
import type { Prefix } from '../domain/prefix.ts';

export class DecisionTable {
  readonly #decisions = new Map<Prefix, Decision>();
  readonly #since = new Map<Prefix, readonly Since[]>();
  readonly #deadlines = new Map<Prefix, number>();
  readonly #doubts = new Set<Prefix>();
  #limited: ReadonlySet<Prefix> = new Set();
  #routes = 0;

  /**
   * Decides `prefixes` anew.
   * @param facts what is known of a prefix, but for `since`, which is kept here
   * @returns other prefixes whose decision the route limit changed
   */
  evaluate(prefixes: Iterable<Prefix>, world: World, facts: (prefix: Prefix) => Omit<PrefixFacts, 'since'>): ReadonlySet<Prefix> {
    const isOwn = (prefix: Prefix): boolean => facts(prefix).own !== undefined;
    for (const prefix of prefixes) this.#store(prefix, decide({ ...facts(prefix), since: this.#since.get(prefix) ?? [] }, world));
    return this.#limit(world.settings.routeLimit, isOwn);
  }

  get(prefix: Prefix): Decision | undefined {
    const decision = this.#decisions.get(prefix);
    if (decision === undefined || !this.#limited.has(prefix)) return decision;
    return { prefix, set: 'rejected', reason: 'route-limit', ...(decision.claim && { claim: decision.claim }) };
  }

  *all(): Iterable<Decision> {
    for (const prefix of this.#decisions.keys()) {
      const decision = this.get(prefix);
      if (decision !== undefined) yield decision;
    }
  }

  prefixes(): Iterable<Prefix> {
    return this.#decisions.keys();
  }

  /** Prefixes that are announced although something speaks against it, or nothing for it. */
  doubts(): ReadonlySet<Prefix> {
    return this.#doubts;
  }

  /** Prefixes whose grace is over. */
  due(nowMs: number): readonly Prefix[] {
    return [...this.#deadlines].filter(([, deadlineMs]) => deadlineMs <= nowMs).map(([prefix]) => prefix);
  }

  /** When the next grace is over; Infinity: none is open. */
  nextDeadlineMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#deadlines.values());
  }

  #store(prefix: Prefix, { decision, since }: { decision?: Decision; since: readonly Since[] }): void {
    this.#routes -= this.#decisions.get(prefix)?.route === undefined ? 0 : 1;
    this.#routes += decision?.route === undefined ? 0 : 1;
    if (decision === undefined) this.#decisions.delete(prefix);
    else this.#decisions.set(prefix, decision);
    if (since.length === 0) this.#since.delete(prefix);
    else this.#since.set(prefix, since);
    if (decision?.untilMs === undefined) this.#deadlines.delete(prefix);
    else this.#deadlines.set(prefix, decision.untilMs);
    if (decision?.route === undefined || decision.reason === undefined) this.#doubts.delete(prefix);
    else this.#doubts.add(prefix);
  }

  /** Fewer than `limit` routes go before each that stays: own ones first, then by prefix. */
  #limit(limit: number, isOwn: (prefix: Prefix) => boolean): ReadonlySet<Prefix> {
    if (this.#routes <= limit && this.#limited.size === 0) return this.#limited;
    const own: Prefix[] = [];
    const others: Prefix[] = [];
    for (const { prefix, route } of this.#decisions.values()) if (route !== undefined) (isOwn(prefix) ? own : others).push(prefix);
    const limited = new Set(own.toSorted().concat(others.toSorted()).slice(limit));
    const changed = difference(limited, this.#limited);
    this.#limited = limited;
    return changed;
  }
}

function difference(a: ReadonlySet<Prefix>, b: ReadonlySet<Prefix>): ReadonlySet<Prefix> {
  return new Set([...[...a].filter((prefix) => !b.has(prefix)), ...[...b].filter((prefix) => !a.has(prefix))]);
}
