/** What the daemon shows of itself: the answers of the operator API, as JSON. Sets and reasons are the words of docs/design.md part 10. */
import type { PeerStatus } from './ports.ts';

/** One prefix: what we want of it, and what GoBGP and the routers have. */
export type RouteRow = {
  readonly prefix: string;
  /** `foreign`: a local path in GoBGP that is not ours. */
  readonly set: 'desired' | 'held' | 'rejected' | 'foreign';
  readonly shape?: 'normal' | 'worse';
  readonly reason?: string;
  readonly portId?: string;
  readonly inLocRib: boolean;
  readonly nextHop?: string;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  /** Peers whose Adj-RIB-Out holds it; null: not known. */
  readonly advertisedTo: readonly string[] | null;
};

export type PeerRow = PeerStatus & {
  /** Routes in the peer's Adj-RIB-Out; null: not known. */
  readonly advertised: number | null;
};

export type ExplainStep = {
  readonly step: 'binding' | 'decision' | 'guard' | 'loc-rib' | 'peer';
  readonly ok: boolean;
  readonly text: string;
  readonly detail?: Readonly<Record<string, unknown>>;
};

/** The way of one address from Neutron's binding to each router. */
export type ExplainAnswer = {
  readonly address: string;
  readonly prefix: string;
  readonly announced: boolean;
  readonly steps: readonly ExplainStep[];
  /** The text of the first step that is not ok. */
  readonly firstFailure?: string;
};

export type SourceRow = {
  readonly name: string;
  readonly inSync: boolean;
  readonly everInSync: boolean;
  readonly lostReason?: string;
  readonly ports: number;
};

/** What a rebuild of GoBGP interrupts, or has interrupted. */
export type RebuildAnswer = {
  readonly isDone: boolean;
  /** What GoBGP runs with and the configuration file has otherwise. */
  readonly changes: readonly string[];
  /** Established sessions, and routes of ours in GoBGP. */
  readonly interrupts: { readonly peers: readonly string[]; readonly routes: number };
  /** Whether gobgpd has to be restarted by hand afterwards: GoBGP 4 does not come back from StopBgp. */
  readonly needsRestart: boolean;
};

export type StatusAnswer = {
  readonly version: string;
  readonly host: string;
  readonly instanceId: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly sources: readonly SourceRow[];
  readonly speaker: { readonly state: string; readonly reason?: string; readonly version?: string };
  readonly peers: readonly PeerRow[];
  readonly routes: { readonly desired: number; readonly own: number; readonly held: number; readonly rejected: number };
  /** Null: none was complete yet. */
  readonly lastReconcileAgeSeconds: number | null;
  readonly warnings: readonly string[];
};
