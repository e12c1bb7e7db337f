/**
 * The decisions of all prefixes, kept up to date prefix by prefix. `domain/decision.ts` decides one; here is what spans
 * several: deadlines, doubts and the route limit. Evaluating some prefixes gives what evaluating all would.
 */
import { type Decision, decide, type Evaluation, type PrefixFacts, type Since, type World } from '../domain/decision.ts';
import type { Prefix } from '../domain/prefix.ts';

export class DecisionTable {
  readonly #decisions = new Map<Prefix, Decision>();
  readonly #since = new Map<Prefix, readonly Since[]>();
  readonly #deadlines = new Map<Prefix, number>();
  readonly #doubts = new Set<Prefix>();
  #doubtsChanged = false;
  readonly #held = new Set<Prefix>();
  /** The port by which each own route was announced last. */
  readonly #spokesmen = new Map<Prefix, string>();
  #limited: ReadonlySet<Prefix> = new Set();
  #routes = 0;

  /**
   * Decides `prefixes` anew.
   * @param facts what is known of a prefix, but for what is kept here
   * @returns other prefixes whose decision the route limit changed
   */
  evaluate(
    prefixes: Iterable<Prefix>,
    world: World,
    facts: (prefix: Prefix) => Omit<PrefixFacts, 'since' | 'spokesman'>,
  ): ReadonlySet<Prefix> {
    const isOwn = (prefix: Prefix): boolean => facts(prefix).own !== undefined;
    for (const prefix of prefixes) {
      const known = facts(prefix);
      const spokesman = this.#spokesmen.get(prefix);
      const since = this.#since.get(prefix) ?? [];
      this.#store(prefix, decide({ ...known, since, ...(spokesman !== undefined && { spokesman }) }, world), known.own !== undefined);
    }
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

  /** Prefixes that are announced although something speaks against it, or nothing for it; undefined: the same as at the last call. */
  takeDoubts(): ReadonlySet<Prefix> | undefined {
    const isChanged = this.#doubtsChanged;
    this.#doubtsChanged = false;
    return isChanged ? this.#doubts : undefined;
  }

  /** Prefixes that wait for what the sources say next. */
  held(): ReadonlySet<Prefix> {
    return this.#held;
  }

  /** Prefixes whose grace is over. */
  due(nowMs: number): readonly Prefix[] {
    return [...this.#deadlines].filter(([, deadlineMs]) => deadlineMs <= nowMs).map(([prefix]) => prefix);
  }

  /** When the next grace is over; Infinity: none is open. */
  nextDeadlineMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const deadlineMs of this.#deadlines.values()) if (deadlineMs < next) next = deadlineMs;
    return next;
  }

  #store(prefix: Prefix, { decision, since }: Evaluation, isOwn: boolean): void {
    this.#routes -= this.#decisions.get(prefix)?.route === undefined ? 0 : 1;
    this.#routes += decision?.route === undefined ? 0 : 1;
    if (decision === undefined) this.#decisions.delete(prefix);
    else this.#decisions.set(prefix, decision);
    if (decision?.route !== undefined && decision.claim !== undefined) this.#spokesmen.set(prefix, decision.claim.port.portId);
    else if (!isOwn && decision?.route === undefined) this.#spokesmen.delete(prefix);
    if (since.length === 0) this.#since.delete(prefix);
    else this.#since.set(prefix, since);
    if (decision?.untilMs === undefined) this.#deadlines.delete(prefix);
    else this.#deadlines.set(prefix, decision.untilMs);
    const isDoubt = decision?.route !== undefined && decision.reason !== undefined;
    if (isDoubt !== this.#doubts.has(prefix)) {
      if (isDoubt) this.#doubts.add(prefix);
      else this.#doubts.delete(prefix);
      this.#doubtsChanged = true;
    }
    if (decision?.set === 'held') this.#held.add(prefix);
    else this.#held.delete(prefix);
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
