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
import type { Decision, PrefixFacts, World } from '../domain/decision.ts';
import { guard } from '../domain/guard.ts';
import { type Operation, planReconcile, prefixOf } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import { isMarked, type Route } from '../domain/route.ts';
import type { DecisionSettings, SpeakerSettings } from '../domain/settings.ts';
import { exponentialBackoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { BindingTable } from './binding-table.ts';
import { DecisionTable } from './decision-table.ts';
import { PeerGate } from './peer-gate.ts';
import { type PeerSession, PeerSessions } from './peer-sessions.ts';
import type { LocalRoutes, Outcome, PeerOutcome, Speaker, Telemetry } from './ports.ts';
import { Retries } from './retries.ts';
import { SpeakerView } from './speaker-view.ts';

export type ReconcilerSettings = {
  readonly decision: DecisionSettings;
  readonly speaker: SpeakerSettings;
  /** How often the speaker is read in full and everything is decided anew. */
  readonly resyncIntervalMs: number;
};

/** What became of one route, and the decision that asked for it. */
export type RouteChange = { readonly outcome: Outcome; readonly decision: Decision | undefined };

export type ReconcileReport = {
  readonly changes: readonly RouteChange[];
  /** Whether GoBGP holds, as far as we know, exactly what is desired. */
  readonly complete: boolean;
  readonly durationMs: number;
};

/** The reconciler's relation to the speaker; each transition is told to telemetry as from, to, reason. */
export type SpeakerState =
  | { readonly kind: 'away'; readonly reason: string }
  | { readonly kind: 'preparing' }
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'ready' };

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
  /** What GoBGP held before it was found empty, until everything is there again. */
  #before: LocalRoutes = new Map();
  readonly #retries = new Retries();
  #everything = true;
  #reprepare = false;
  #lastReadMs = Number.NEGATIVE_INFINITY;
  #snapshotAskedMs = Number.NEGATIVE_INFINITY;
  #lastCompleteAt: Date | undefined;
  #wake: () => void = () => {};
  #triggered = false;

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
    this.#onReport = options.onReport ?? (() => {});
    this.#wantSnapshot = options.wantSnapshot ?? (() => {});
    this.#before = options.stored ?? new Map();
  }

  /** Asks for a run; it may be called at any time and any number of times. */
  trigger(): void {
    this.#triggered = true;
    this.#wake();
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

  /** Our route of a prefix in GoBGP, or the one it held before it was found empty. */
  own(prefix: Prefix): Route | undefined {
    const route = this.view.get(prefix) ?? this.#before.get(prefix);
    return route !== undefined && isMarked(route.attributes, this.#settings.decision.markers) ? route : undefined;
  }

  /** Every route of ours that GoBGP holds. */
  ownRoutes(): LocalRoutes {
    const { markers } = this.#settings.decision;
    return new Map([...this.view.routes()].filter(([, { attributes }]) => isMarked(attributes, markers)));
  }

  /** Runs until `signal` aborts. Stopping withdraws nothing. */
  async run(signal: AbortSignal): Promise<void> {
    const fresh = exponentialBackoff({ firstMs: 200, capMs: 2_000 });
    let backoff = fresh;
    while (!signal.aborted) {
      const end = new AbortController();
      try {
        await this.#session(AbortSignal.any([signal, end.signal]), () => (backoff = fresh));
        this.#enter({ kind: 'away', reason: 'the watch stream ended' });
      } catch (error) {
        this.#enter({ kind: 'away', reason: messageOf(error) });
      } finally {
        end.abort();
      }
      await this.#clock.wakeAt(this.#clock.monotonicMs() + backoff.delayMs, signal);
      backoff = backoff.next();
    }
  }

  /** From finding the speaker to losing it. */
  async #session(signal: AbortSignal, onReady: () => void): Promise<void> {
    const speaker = this.#settings.speaker;
    const found = await this.#speaker.prepare(speaker, signal);
    this.#reprepare = false;
    this.#enter({ kind: 'preparing' });
    // Without peers nobody has seen its routes yet: a bring-up that was cut short goes on as one.
    const isEmpty = found === 'empty' || (speaker.mode === 'managed' && (await this.#speaker.listPeers(signal)).length === 0);
    if (!isEmpty) this.#before = new Map();
    else if (this.view.routes().size > 0) this.#before = new Map(this.view.routes());
    this.#gate.found(isEmpty ? 'empty' : 'running', speaker, this.#clock.monotonicMs());
    const lost = await this.#startWatch(signal);
    this.view.invalidate('the speaker was found');
    this.#lastReadMs = Number.NEGATIVE_INFINITY;
    onReady();
    for (;;) {
      this.#triggered = false;
      await this.#reconcile(signal);
      await Promise.race([this.#wait(signal), lost.promise]);
      if (signal.aborted || lost.over()) return lost.promise;
    }
  }

  /** Resolves when the stream is live; its end is told by what it returns. */
  async #startWatch(signal: AbortSignal): Promise<{ promise: Promise<void>; over: () => boolean }> {
    let over = false;
    let live: () => void = () => {};
    const isLive = new Promise<void>((resolve) => (live = resolve));
    const handlers = {
      live: () => live(),
      route: (prefix: Prefix, route: Route | undefined) => {
        this.view.event(prefix, route);
        if (this.view.staleReason() !== undefined) this.trigger();
      },
      peer: (session: PeerSession) => this.sessions.told(session),
    };
    const promise = this.#speaker.watch(handlers, signal).finally(() => {
      over = true;
      this.view.invalidate('the watch stream ended');
      this.trigger();
    });
    await Promise.race([isLive, promise]);
    return { promise, over: () => over };
  }

  /** One run. */
  async #reconcile(signal: AbortSignal): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    if (this.#reprepare) {
      this.#reprepare = false;
      await this.#speaker.prepare(this.#settings.speaker, signal);
      if (this.#settings.speaker.mode === 'managed' && !this.#gate.isClosed()) this.#gate.check(startMs);
    }
    this.view.checkEchoes(startMs);
    const isResync = startMs >= this.#lastReadMs + this.#settings.resyncIntervalMs;
    if (isResync || this.#mayReadAgain(startMs)) await this.#read(signal);
    if (isResync) this.#table.collect((prefix) => this.own(prefix) !== undefined);
    this.#everything ||= isResync;

    const dirty = this.#table.takeDirty();
    const prefixes = this.#toDecide(dirty, startMs);
    const changed = this.#evaluate(prefixes);
    const operations = this.#plan(new Set([...prefixes, ...changed, ...this.#retries.due(startMs)]), startMs);
    const changes = await this.#apply(operations, dirty, signal);
    this.#evaluate(
      changes.filter(({ outcome }) => outcome.operation.kind === 'withdraw').map(({ outcome }) => prefixOf(outcome.operation)),
    );
    this.#table.setDoubts(this.decisions.doubts());

    const complete = this.#retries.size === 0 && this.view.staleReason() === undefined;
    if (complete) this.#completed();
    this.#openPeersWhenReady(complete, signal);
    const durationMs = this.#clock.monotonicMs() - startMs;
    this.#telemetry.observe({ kind: 'reconcile', ms: durationMs });
    this.#onReport({ changes, complete, durationMs });
  }

  #mayReadAgain(nowMs: number): boolean {
    return this.view.staleReason() !== undefined && nowMs >= this.#lastReadMs + REREAD_INTERVAL_MS;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const reason = this.view.staleReason();
    if (reason !== undefined) this.#telemetry.count({ kind: 'view-stale', reason });
    this.view.beginRead();
    this.view.endRead(await this.#speaker.listLocalRoutes(signal));
    this.#lastReadMs = this.#clock.monotonicMs();
  }

  /** Everything, or what may have changed since the last run. */
  #toDecide(dirty: ReadonlyMap<Prefix, number>, nowMs: number): ReadonlySet<Prefix> {
    const changed = [...dirty.keys(), ...this.view.takeChanged(), ...this.decisions.due(nowMs), ...this.decisions.doubts()];
    if (!this.#everything) return new Set(changed);
    this.#everything = false;
    return new Set([
      ...changed,
      ...this.#table.prefixes(),
      ...this.decisions.prefixes(),
      ...this.view.routes().keys(),
      ...this.#before.keys(),
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
    return this.decisions.evaluate(prefixes, world, (prefix) => this.#facts(prefix));
  }

  #facts(prefix: Prefix): Omit<PrefixFacts, 'since'> {
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
    for (const prefix of prefixes) if (!planned.has(prefix)) this.#retries.settled(prefix);
    return operations.filter((operation) => this.#retries.mayTry(prefixOf(operation), nowMs));
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

  async #apply(operations: readonly Operation[], dirty: ReadonlyMap<Prefix, number>, signal: AbortSignal): Promise<readonly RouteChange[]> {
    if (operations.length === 0) return [];
    for (const operation of operations) this.view.begin(operation);
    const outcomes = await this.#speaker.apply(operations, signal);
    const nowMs = this.#clock.monotonicMs();
    return outcomes.map((outcome) => {
      const prefix = prefixOf(outcome.operation);
      this.view.acknowledge(outcome, nowMs);
      if (outcome.result === 'done') {
        this.#retries.settled(prefix);
        const receivedMs = dirty.get(prefix);
        if (receivedMs !== undefined && outcome.operation.kind === 'advertise')
          this.#telemetry.observe({ kind: 'event-to-advertise', ms: nowMs - receivedMs });
      } else {
        this.#retries.failed(prefix, nowMs);
      }
      return { outcome, decision: this.decisions.get(prefix) };
    });
  }

  #completed(): void {
    this.#lastCompleteAt = this.#clock.wallTime();
    if (this.#before.size > 0 && this.#table.inSyncOnce()) {
      this.#before = new Map();
      this.#everything = true;
      this.trigger();
    }
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
    else this.#gate.opened();
    this.trigger();
  }

  /** Sleeps until somebody triggers or something falls due. */
  async #wait(signal: AbortSignal): Promise<void> {
    const isBlocked = this.view.staleReason() !== undefined;
    if (this.#triggered && !isBlocked) return;
    const done = new AbortController();
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    const due = this.#clock.wakeAt(this.#nextMs(), AbortSignal.any([signal, done.signal]));
    await (isBlocked ? due : Promise.race([woken, due]));
    this.#wake = () => {};
    done.abort();
    this.#askForSnapshot();
  }

  #nextMs(): number {
    if (this.view.staleReason() !== undefined) return this.#lastReadMs + REREAD_INTERVAL_MS;
    const resync = this.#lastReadMs + this.#settings.resyncIntervalMs;
    return Math.min(resync, this.#gate.nextMs(), this.decisions.nextDeadlineMs(), this.view.nextEchoMs(), this.#retries.nextMs());
  }

  /** A held route goes only when a later snapshot says the same: ask for one when it would count. */
  #askForSnapshot(): void {
    const nowMs = this.#clock.monotonicMs();
    const apartMs = this.#settings.decision.graceMs.unmentioned;
    if (nowMs - this.#snapshotAskedMs < apartMs || this.#table.snapshotMs() > nowMs - apartMs) return;
    for (const prefix of this.decisions.doubts()) {
      if (this.decisions.get(prefix)?.set !== 'held') continue;
      this.#snapshotAskedMs = nowMs;
      return this.#wantSnapshot();
    }
  }

  #enter(state: SpeakerState): void {
    const from = this.#state;
    this.#state = state;
    if (state.kind === 'away') this.sessions.speakerLost();
    const reason = 'reason' in state ? state.reason : '';
    if (from.kind !== state.kind || ('reason' in from && from.reason !== reason))
      this.#telemetry.count({ kind: 'speaker-state', from: from.kind, to: state.kind, reason });
  }
}
