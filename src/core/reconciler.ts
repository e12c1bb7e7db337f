/**
 * Brings GoBGP to what the bindings say, again and again.
 *
 * INVARIANTS
 * - Level-triggered: `trigger()` carries no meaning and may be called by anyone; a run reads the tables.
 * - Single flight: two runs never overlap, so at most one set of operations is under way.
 * - Nothing is planned from a stale view (speaker-view.ts), and nothing is withdrawn because something could not be read.
 * - One failed operation never stops the others: it stays wanted and is tried again with backoff.
 * - Peers of an empty GoBGP are opened after its routes are there, so that no router ever sees an empty table.
 */
import type { PrefixFacts, World } from '../domain/decision.ts';
import { guard } from '../domain/guard.ts';
import { type Operation, planReconcile, prefixOf } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import { isMarked, type Route } from '../domain/route.ts';
import { exponentialBackoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { AgentError, messageOf } from '../lib/errors.ts';
import { Trigger } from '../lib/trigger.ts';
import type { BindingTable } from './binding-table.ts';
import { DecisionTable } from './decision-table.ts';
import { EventLatency } from './event-latency.ts';
import { OwnRoutes } from './own-routes.ts';
import { PeerGate } from './peer-gate.ts';
import { type PeerSession, PeerSessions } from './peer-sessions.ts';
import type { LocalRoutes, PeerOutcome, Speaker, Telemetry } from './ports.ts';
import type { ReconcileReport, ReconcilerSettings, RouteChange, SpeakerState } from './reconciler-types.ts';
import { Retries } from './retries.ts';
import { SpeakerView } from './speaker-view.ts';

/** Surprises make the view stale at most this often: a flood of foreign changes must not become a flood of reads. */
const REREAD_INTERVAL_MS = 1_000;

export class Reconciler {
  readonly decisions: DecisionTable = new DecisionTable();
  readonly view: SpeakerView = new SpeakerView();
  readonly sessions: PeerSessions;
  readonly #table: BindingTable;
  readonly #speaker: Speaker;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #onReport: (report: ReconcileReport) => void;
  readonly #wantSnapshot: () => void;
  #settings: ReconcilerSettings;
  #state: SpeakerState = { kind: 'away', reason: 'not yet asked' };
  readonly #gate = new PeerGate();
  readonly #own: OwnRoutes;
  readonly #retries = new Retries();
  readonly #latency: EventLatency;
  #everything = true;
  #reprepare = false;
  #lastReadMs = Number.NEGATIVE_INFINITY;
  #snapshotAskedMs = Number.NEGATIVE_INFINITY;
  #lastCompleteAt: Date | undefined;
  #isComplete = false;
  readonly #trigger = new Trigger();

  /**
   * @param options.stored what the state store says GoBGP held last, under the same boot id
   * @param options.wantSnapshot called when a held route waits for another snapshot
   */
  constructor(options: {
    table: BindingTable;
    speaker: Speaker;
    settings: ReconcilerSettings;
    clock: Clock;
    telemetry: Telemetry;
    onReport?: (report: ReconcileReport) => void;
    wantSnapshot?: () => void;
    stored?: LocalRoutes;
  }) {
    this.#table = options.table;
    this.#speaker = options.speaker;
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#telemetry = options.telemetry;
    this.sessions = new PeerSessions(options.telemetry);
    this.#latency = new EventLatency(options.telemetry);
    this.#onReport = options.onReport ?? (() => {});
    this.#wantSnapshot = options.wantSnapshot ?? (() => {});
    this.#own = new OwnRoutes(this.view, options.stored ?? new Map());
  }

  /** Asks for a run; it may be called at any time and any number of times. */
  trigger(): void {
    this.#trigger.fire();
  }

  configure(settings: ReconcilerSettings): void {
    this.#settings = settings;
    this.#everything = true;
    this.#reprepare = true;
    this.trigger();
  }

  state(): SpeakerState {
    return this.#state;
  }

  settings(): ReconcilerSettings {
    return this.#settings;
  }

  /** When GoBGP last held exactly what was desired; undefined: never. */
  lastCompleteAt(): Date | undefined {
    return this.#lastCompleteAt;
  }

  /** Whether GoBGP held exactly what was desired after the last run. */
  isComplete(): boolean {
    return this.#isComplete;
  }

  /** Our route of a prefix in GoBGP, or the one it held before it was found empty. */
  own(prefix: Prefix): Route | undefined {
    return this.#own.get(prefix, this.#settings.decision.markers);
  }

  /** Every route of ours that GoBGP holds. */
  ownRoutes(): LocalRoutes {
    return this.#own.held(this.#settings.decision.markers);
  }

  /** What the next process should know of our routes. */
  routesToKeep(): LocalRoutes {
    return this.#own.toKeep(this.#settings.decision.markers);
  }

  /** Runs until `signal` aborts. Stopping withdraws nothing. */
  async run(signal: AbortSignal): Promise<void> {
    const fresh = exponentialBackoff({ firstMs: 200, capMs: 2_000 });
    let backoff = fresh;
    while (!signal.aborted) {
      const end = new AbortController();
      try {
        await this.#session(AbortSignal.any([signal, end.signal]), end, () => (backoff = fresh));
        if (!signal.aborted) this.#enter({ kind: 'away', reason: 'the watch stream ended' });
      } catch (error) {
        if (!signal.aborted) this.#enter({ kind: 'away', reason: messageOf(error) });
      } finally {
        end.abort();
      }
      await this.#decideUntil(this.#clock.monotonicMs() + backoff.delayMs, signal);
      backoff = backoff.next();
    }
  }

  /** While the speaker is away nothing is sent; what is decided stays true to the bindings all the same. */
  async #decideUntil(endMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#clock.monotonicMs() < endMs) {
      this.#trigger.reset();
      this.#evaluate(this.#toDecide(this.#table.takeDirty().keys(), this.#clock.monotonicMs()));
      await this.#trigger.wait(this.#clock, endMs, signal);
    }
  }

  /** From finding the speaker to losing it. */
  async #session(signal: AbortSignal, end: AbortController, onReady: () => void): Promise<void> {
    const speaker = this.#settings.speaker;
    const found = await this.#speaker.prepare(speaker, signal);
    this.#reprepare = false;
    this.#enter({ kind: 'preparing' });
    // Without peers nobody has seen its routes yet: a bring-up that was cut short goes on as one.
    const isEmpty = found === 'empty' || (speaker.mode === 'managed' && (await this.#speaker.listPeers(signal)).length === 0);
    // An attached GoBGP does not say that it was restarted.
    if (isEmpty || (speaker.mode === 'attached' && this.view.routes().size > 0)) this.#own.lost();
    else this.#own.found();
    this.#gate.found(isEmpty ? 'empty' : 'running', speaker, this.#clock.monotonicMs());
    const { watching } = await this.#startWatch(signal, end);
    this.view.invalidate('the speaker was found');
    this.#lastReadMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      this.#trigger.reset();
      await this.#reconcile(signal);
      onReady();
      await this.#wait(signal);
    }
    return watching;
  }

  /** Resolves when the stream is live, or over already. Its end ends the session; what it returns says why. */
  async #startWatch(signal: AbortSignal, end: AbortController): Promise<{ watching: Promise<void> }> {
    let live: () => void = () => {};
    const isLive = new Promise<void>((resolve) => (live = resolve));
    const handlers = {
      live: () => live(),
      route: (prefix: Prefix, route: Route | undefined) => this.#told(prefix, route),
      peer: (session: PeerSession) => this.sessions.told(session),
    };
    const watching = this.#speaker.watch(handlers, signal).finally(() => end.abort());
    // Its failure is told where the session ends, whenever that is.
    watching.catch(() => undefined);
    await Promise.race([isLive, watching]);
    return { watching };
  }

  /** A path in GoBGP changed. What concerns none of our routes is taken as told; a surprise about one of them is a doubt. */
  #told(prefix: Prefix, route: Route | undefined): void {
    const isOurs = this.own(prefix) !== undefined || this.decisions.get(prefix)?.route !== undefined;
    const isAskedFor = this.view.event(prefix, route);
    if (!isAskedFor && (isOurs || this.own(prefix) !== undefined)) this.view.invalidate(`unexpected change of ${prefix}`);
    if (!isAskedFor || (!this.#isComplete && this.view.isSettled())) this.trigger();
  }

  /** One run. */
  async #reconcile(signal: AbortSignal): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    if (this.#reprepare) {
      this.#reprepare = false;
      if ((await this.#speaker.prepare(this.#settings.speaker, signal)) === 'empty')
        throw new AgentError('speaker-restarted', 'retryable', 'GoBGP was started anew');
      if (this.#settings.speaker.mode === 'managed') this.#gate.check(startMs);
    }
    this.view.checkEchoes(startMs);
    const isResync = startMs >= this.#lastReadMs + this.#settings.resyncIntervalMs;
    const mayReadAgain = this.view.staleReason() !== undefined && startMs >= this.#lastReadMs + REREAD_INTERVAL_MS;
    if (isResync || mayReadAgain) await this.#read(signal);
    if (isResync) this.#table.collect((prefix) => this.own(prefix) !== undefined);
    this.#everything ||= isResync;

    const dirty = this.#table.takeDirty();
    this.#latency.received(dirty);
    const prefixes = this.#toDecide(dirty.keys(), startMs);
    const changed = this.#evaluate(prefixes);
    const operations = this.#plan(new Set([...prefixes, ...changed, ...this.#retries.due(startMs)]), startMs);
    const changes = await this.#apply(operations, signal);
    this.#evaluate(
      changes.filter(({ outcome }) => outcome.operation.kind === 'withdraw').map(({ outcome }) => prefixOf(outcome.operation)),
    );
    const complete = this.#retries.size === 0 && this.view.staleReason() === undefined && this.view.isSettled();
    this.#isComplete = complete;
    if (complete) this.#lastCompleteAt = this.#clock.wallTime();
    this.#openPeersWhenReady(complete, signal);
    const durationMs = this.#clock.monotonicMs() - startMs;
    this.#telemetry.observe({ kind: 'reconcile', ms: durationMs });
    this.#onReport({ changes, complete, durationMs });
  }

  async #read(signal: AbortSignal): Promise<void> {
    const reason = this.view.staleReason();
    if (reason !== undefined) this.#telemetry.count({ kind: 'view-stale', reason });
    this.view.beginRead();
    this.view.endRead(await this.#speaker.listLocalRoutes(signal));
    this.#lastReadMs = this.#clock.monotonicMs();
  }

  /** Everything, or what may have changed since the last run. */
  #toDecide(dirty: Iterable<Prefix>, nowMs: number): ReadonlySet<Prefix> {
    const changed = [...dirty, ...this.view.takeChanged(), ...this.decisions.due(nowMs)];
    if (this.#table.takeSourcesChanged()) changed.push(...this.decisions.held());
    if (!this.#everything) return new Set(changed);
    this.#everything = false;
    return new Set([
      ...changed,
      ...this.#table.prefixes(),
      ...this.decisions.prefixes(),
      ...this.view.routes().keys(),
      ...this.#own.lostPrefixes(),
    ]);
  }

  #evaluate(prefixes: Iterable<Prefix>): ReadonlySet<Prefix> {
    const world: World = {
      settings: this.#settings.decision,
      nowMs: this.#clock.monotonicMs(),
      inSyncOnce: this.#table.inSyncOnce(),
      snapshotMs: (source) => this.#table.snapshotMs(source),
      restraint: (source) => this.#table.restraint(source),
    };
    const facts = (prefix: Prefix): Omit<PrefixFacts, 'since' | 'spokesman'> => this.#facts(prefix);
    const changed = this.decisions.evaluate(prefixes, world, facts);
    // What GoBGP lost and nobody wants any more is not ours any more either.
    const over = [...prefixes].filter((prefix) => this.decisions.get(prefix)?.set === 'rejected' && this.#own.settled(prefix));
    if (over.length > 0) this.decisions.evaluate(over, world, facts);
    const doubts = this.decisions.takeDoubts();
    if (doubts !== undefined) this.#table.setDoubts(doubts);
    return changed;
  }

  #facts(prefix: Prefix): Omit<PrefixFacts, 'since' | 'spokesman'> {
    const local = this.view.get(prefix);
    const foreign = local !== undefined && !isMarked(local.attributes, this.#settings.decision.markers);
    return { prefix, claims: this.#table.claims(prefix), own: this.own(prefix), isHeld: local !== undefined, foreign };
  }

  #plan(prefixes: ReadonlySet<Prefix>, nowMs: number): readonly Operation[] {
    // A view that may be wrong plans nothing; what was asked for is planned after the next read, which looks at everything.
    if (this.view.staleReason() !== undefined) {
      this.#everything = true;
      return [];
    }
    const operations = planReconcile({
      prefixes,
      desired: (prefix) => this.#desired(prefix),
      local: (prefix) => this.view.get(prefix),
      markers: this.#settings.decision.markers,
    });
    const planned = new Set(operations.map(prefixOf));
    for (const prefix of prefixes) {
      if (planned.has(prefix)) continue;
      this.#retries.settled(prefix);
      this.#latency.settled(prefix);
    }
    return operations.filter((operation) => this.#retries.mayTry(operation, nowMs));
  }

  /** The guarded route of a prefix. */
  #desired(prefix: Prefix): Route | undefined {
    const route = this.decisions.get(prefix)?.route;
    if (route === undefined) return undefined;
    const refusal = guard(route, this.#settings.decision);
    if (refusal === undefined) return route;
    this.#telemetry.count({ kind: 'guard-refusal', prefix, reason: refusal });
    return undefined;
  }

  async #apply(operations: readonly Operation[], signal: AbortSignal): Promise<readonly RouteChange[]> {
    if (operations.length === 0) return [];
    for (const operation of operations) this.view.begin(operation);
    const outcomes = await this.#speaker.apply(operations, signal);
    const nowMs = this.#clock.monotonicMs();
    return outcomes.map((outcome) => {
      const prefix = prefixOf(outcome.operation);
      this.view.acknowledge(outcome, nowMs);
      if (outcome.result === 'done') {
        this.#retries.settled(prefix);
        this.#own.settled(prefix);
        if (outcome.operation.kind === 'advertise') this.#latency.advertised(prefix, nowMs);
      } else {
        this.#retries.failed(outcome.operation, nowMs);
      }
      return { outcome, decision: this.decisions.get(prefix) };
    });
  }

  #openPeersWhenReady(complete: boolean, signal: AbortSignal): void {
    const waitingFor = this.#table.sources().filter(({ inSyncOnce }) => !inSyncOnce);
    if (this.#gate.mayOpen(complete && waitingFor.length === 0, this.#clock.monotonicMs())) void this.#openPeers(signal);
    if (!this.#gate.isClosed()) this.#enter({ kind: 'ready' });
    else if (waitingFor.length > 0)
      this.#enter({ kind: 'waiting', reason: `waiting for ${waitingFor.map(({ name }) => name).join(', ')}` });
  }

  async #openPeers(signal: AbortSignal): Promise<void> {
    let outcomes: readonly PeerOutcome[];
    try {
      outcomes = await this.#speaker.openPeers(this.#settings.speaker, signal);
    } catch (error) {
      outcomes = [{ name: '', result: 'failed', error: messageOf(error) }];
    }
    if (signal.aborted) return;
    this.sessions.configured(outcomes);
    // A failed peer is tried again with the next resync.
    if (outcomes.some(({ result }) => result === 'failed')) this.#gate.failed(this.#clock.monotonicMs() + this.#settings.resyncIntervalMs);
    else this.#gate.opened(this.#clock.monotonicMs());
    this.trigger();
  }

  /** Sleeps until somebody triggers or something falls due. */
  async #wait(signal: AbortSignal): Promise<void> {
    if (this.view.staleReason() === undefined) await this.#trigger.wait(this.#clock, this.#nextMs(), signal);
    else await this.#clock.wakeAt(this.#lastReadMs + REREAD_INTERVAL_MS, signal);
    this.#askForSnapshot();
  }

  #nextMs(): number {
    const resync = this.#lastReadMs + this.#settings.resyncIntervalMs;
    return Math.min(resync, this.#gate.nextMs(), this.decisions.nextDeadlineMs(), this.view.nextEchoMs(), this.#retries.nextMs());
  }

  /** A held route goes only when a later snapshot says the same: ask for one when it would count. */
  #askForSnapshot(): void {
    const nowMs = this.#clock.monotonicMs();
    const apartMs = this.#settings.decision.graceMs.unmentioned;
    if (nowMs - this.#snapshotAskedMs < apartMs || this.#table.snapshotMs() > nowMs - apartMs) return;
    if (this.decisions.held().size === 0) return;
    this.#snapshotAskedMs = nowMs;
    this.#wantSnapshot();
  }

  #enter(state: SpeakerState): void {
    const from = this.#state;
    this.#state = state;
    if (state.kind === 'away') {
      this.sessions.speakerLost();
      this.#isComplete = false;
    }
    const reason = 'reason' in state ? state.reason : '';
    if (from.kind !== state.kind || ('reason' in from && from.reason !== reason))
      this.#telemetry.count({ kind: 'speaker-state', from: from.kind, to: state.kind, reason });
  }
}
