/** The core's ports: what it needs of the world, and what the world may tell it. Adapters of floor 3 implement or call these. */
import type { PortBinding } from '../domain/port-binding.ts';
import type { Operation } from '../domain/plan.ts';
import type { Family, Prefix } from '../domain/prefix.ts';
import type { Route } from '../domain/route.ts';
import type { SpeakerSettings } from '../domain/settings.ts';

// ---- where bindings come from ----

/**
 * Why a port is gone. `deleted`: the source is sure (for Neutron: a `deleted` push that a look-up confirmed).
 * `unconfirmed`: a `deleted` push that nobody has confirmed yet. A port that is merely not found is not told
 * as removed: it is left out of `replace`.
 */
export type RemovalCause = 'deleted' | 'unconfirmed';

/** What a source is told about: it may skip all else. Live: reads give the present answer. */
export interface Interest {
  /** Whether this source has told, or the state store holds, a port of this id. */
  hasPort(portId: string): boolean;
  /** The ids that `hasPort` knows: those a snapshot has to look up as well. */
  portIds(): readonly string[];
  /** The last word of this process on a port that is there; undefined for what is gone, and for what only the state store knows. */
  port(portId: string): PortBinding | undefined;
  /** Addresses that we announce although no source is sure of them any more: a push that names one matters, whatever its port. */
  addresses(): readonly string[];
}

/** What a source tells. Every call is one state of the world; none fails; any number of calls may follow each other. */
export interface BindingSink {
  readonly interest: Interest;
  /**
   * A complete snapshot: this source is in sync now. It holds every port bound to this host, and what a look-up by
   * id said about the other ports of `interest.portIds()`; those left out were looked up and not found.
   */
  replace(bindings: readonly PortBinding[]): void;
  /** The state of one port, wherever it is bound. An older revision than the one known is ignored. */
  upsert(binding: PortBinding): void;
  remove(portId: string, cause: RemovalCause): void;
  /** What we know stays; it is no longer in sync. */
  lost(reason: string): void;
  /** A condition that an operator has to end, in words that say how; undefined: it is over. */
  warn(warning: SourceWarning, text: string | undefined): void;
}

/** `agent-disabled` and `host-name-twice` keep new addresses of the source from being announced. */
export const SOURCE_WARNINGS = ['agent-disabled', 'host-name-twice', 'slow-clock'] as const;

export type SourceWarning = (typeof SOURCE_WARNINGS)[number];

export interface BindingSource {
  readonly name: string;
  /** Runs until `signal` aborts, whatever fails on the way. */
  run(sink: BindingSink, signal: AbortSignal): Promise<void>;
  /** Asks for a snapshot soon. */
  resync(): void;
}

// ---- the BGP speaker ----

/** Every local path of the speaker (one that no peer sent), by prefix. */
export type LocalRoutes = ReadonlyMap<Prefix, Route>;

export type { Operation } from '../domain/plan.ts';

/** `unknown`: the call ended before its answer; only reading the speaker tells. */
export type Outcome =
  | { readonly operation: Operation; readonly result: 'done' }
  | { readonly operation: Operation; readonly result: 'failed' | 'unknown'; readonly error: string };

export type SessionState = 'idle' | 'connect' | 'active' | 'opensent' | 'openconfirm' | 'established' | 'unknown';

export type PeerStatus = {
  /** The peer's address, or its interface. */
  readonly name: string;
  readonly asn: number;
  readonly description?: string;
  readonly state: SessionState;
  readonly adminDown: boolean;
  /** Seconds since the session was established; absent when it is not. */
  readonly uptimeSeconds?: number;
  readonly families: readonly Family[];
};

export type PeerOutcome = {
  readonly name: string;
  readonly result: 'unchanged' | 'added' | 'replaced' | 'deleted' | 'failed';
  readonly error?: string;
};

export type WatchHandlers = {
  /** The stream is live: every later change will be told. Read the routes now. */
  live(): void;
  /** The local path of a prefix changed; undefined: there is none now. */
  route(prefix: Prefix, route: Route | undefined): void;
  peer(status: Pick<PeerStatus, 'name' | 'asn' | 'state'>): void;
};

/** What is known of the daemon itself, since it was prepared last. */
export type SpeakerFacts = {
  /** `GoBGP 4.8.0`; less where it does not tell; undefined before it was reached. */
  readonly version?: string;
  /** What an operator should know of this release. */
  readonly warnings: readonly string[];
};

/** A BGP speaker that announces for us (GoBGP). Every call may throw an `AgentError`; a `terminal` one says what to change. */
export interface Speaker {
  /**
   * Finds the API version and brings global and policies to `settings`; touches no peer.
   * `empty`: it had no BGP instance, so it holds no route of ours. `running`: it kept what it had.
   */
  prepare(settings: SpeakerSettings, signal: AbortSignal): Promise<'empty' | 'running'>;
  facts(): SpeakerFacts;
  listLocalRoutes(signal: AbortSignal): Promise<LocalRoutes>;
  /** One outcome per operation, in order; never throws for a refused route. */
  apply(operations: readonly Operation[], signal: AbortSignal): Promise<readonly Outcome[]>;
  /** Adds missing peers, replaces changed ones one at a time, deletes those that are not configured. Managed mode only. */
  openPeers(settings: SpeakerSettings, signal: AbortSignal): Promise<readonly PeerOutcome[]>;
  listPeers(signal: AbortSignal): Promise<readonly PeerStatus[]>;
  /** The Adj-RIB-Out of one peer: what its export policy lets through. */
  listAdvertised(peer: string, signal: AbortSignal): Promise<readonly Route[]>;
  /** Ends when the speaker may have restarted, by returning or throwing; until then it tells every change. */
  watch(handlers: WatchHandlers, signal: AbortSignal): Promise<void>;
}

// ---- state, telemetry ----

/** Small named documents that outlive the process. Neither call throws: failures are reported and survived. */
export interface StateStore {
  /** The last saved value, or undefined when there is none that can be read. */
  load(name: string): Promise<unknown>;
  save(name: string, value: unknown): Promise<void>;
}

export type BusOutcome = 'applied' | 'foreign' | 'stale' | 'duplicate' | 'malformed' | 'unsupported';

/** What a snapshot showed that no message had told: each is a message that was lost. */
export const RESYNC_FINDINGS = ['new-port', 'update', 'deletion'] as const;

export type ResyncFinding = (typeof RESYNC_FINDINGS)[number];

export type TelemetryEvent =
  | { readonly kind: 'bus-message'; readonly source: string; readonly outcome: BusOutcome; readonly detail?: string }
  | {
      readonly kind: 'bus-call';
      readonly method: string;
      readonly outcome: 'answered' | 'refused' | 'timeout' | 'failed';
      /** What the other side's error means to us, when it refused. */
      readonly refusal?: string;
    }
  | { readonly kind: 'resync-found'; readonly source: string; readonly found: ResyncFinding; readonly portId: string }
  | { readonly kind: 'source-warning'; readonly source: string; readonly warning: SourceWarning; readonly text: string | undefined }
  | { readonly kind: 'source-in-sync'; readonly source: string; readonly ports: number }
  | { readonly kind: 'source-lost'; readonly source: string; readonly reason: string }
  | { readonly kind: 'speaker-state'; readonly from: string; readonly to: string; readonly reason: string }
  | { readonly kind: 'view-stale'; readonly reason: string }
  | { readonly kind: 'peer-state'; readonly peer: string; readonly from: SessionState; readonly to: SessionState }
  | { readonly kind: 'peer-change'; readonly outcome: PeerOutcome }
  | { readonly kind: 'guard-refusal'; readonly prefix: Prefix; readonly reason: string }
  | { readonly kind: 'state-store-failure'; readonly name: string; readonly error: string };

export interface Telemetry {
  count(event: TelemetryEvent): void;
  /** `event-to-advertise`: from the receipt of a source's message to GoBGP's acknowledgement. */
  observe(timing: { readonly kind: 'event-to-advertise' | 'reconcile'; readonly ms: number }): void;
}
