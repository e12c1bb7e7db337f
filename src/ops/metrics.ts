/**
 * Everything that Prometheus sees of us. What happens is counted when it is told; what is, is read when it is asked for,
 * so that no gauge can stay behind. Every label value that is known beforehand begins with a zero.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ReconcileReport, SpeakerState } from '../core/reconciler-types.ts';
import {
  type BusOutcome,
  type PeerOutcome,
  RESYNC_FINDINGS,
  type SessionState,
  SOURCE_WARNINGS,
  type Telemetry,
  type TelemetryEvent,
} from '../core/ports.ts';
import { REASONS, type Reason } from '../domain/decision.ts';
import type { Family } from '../domain/prefix.ts';
import { registerProcessMetrics } from './process-metrics.ts';

const PREFIX = 'neutron_bgp_agent_';
const SETS = ['desired', 'own', 'held', 'rejected'] as const;
const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
const SESSION_STATES: readonly SessionState[] = ['idle', 'connect', 'active', 'opensent', 'openconfirm', 'established', 'unknown'];
const SPEAKER_STATES: readonly SpeakerState['kind'][] = ['away', 'preparing', 'waiting', 'ready'];
const BUS_OUTCOMES: readonly BusOutcome[] = ['applied', 'foreign', 'stale', 'duplicate', 'malformed', 'unsupported'];
const PEER_RESULTS: readonly PeerOutcome['result'][] = ['unchanged', 'added', 'replaced', 'deleted', 'failed'];
const FAST_BUCKETS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What is, at the moment of a scrape. */
export type MetricsSnapshot = {
  /** Desired and actual apart: `own` is what GoBGP holds of ours. */
  readonly routes: Readonly<Record<Family, Readonly<Record<(typeof SETS)[number], number>>>>;
  /** Addresses that are rejected now, by reason; a reason that is absent counts zero. */
  readonly rejections: Readonly<Partial<Record<Reason, number>>>;
  readonly peers: readonly { readonly name: string; readonly asn: number; readonly state: SessionState }[];
  readonly sources: readonly { readonly name: string; readonly inSync: boolean; readonly ports: number }[];
  readonly speakerState: SpeakerState['kind'];
  /** When GoBGP last held exactly what was desired. */
  readonly lastCompleteAt: Date | undefined;
};

export type Metrics = {
  readonly telemetry: Telemetry;
  /** Counts the operations of one reconcile. */
  readonly report: (report: ReconcileReport) => void;
  /** The text of a scrape. */
  readonly render: () => Promise<string>;
  readonly contentType: string;
};

/** @param options `snapshot` is called at each scrape, never before */
export function createMetrics(options: { version: string; sources: readonly string[]; snapshot: () => MetricsSnapshot }): Metrics {
  const registry = new Registry();
  const counters = createCounters(registry, options.sources);
  const gauges = createGauges(registry);
  gauges.buildInfo.set({ version: options.version, node: process.versions.node }, 1);
  registerProcessMetrics(registry);
  return {
    telemetry: {
      count: (event) => counters.count(event),
      observe: ({ kind, ms }) => counters.histograms[kind].observe(ms / 1000),
    },
    report: ({ changes }) => {
      for (const { outcome } of changes) counters.operations.inc({ kind: outcome.operation.kind, outcome: outcome.result });
    },
    render: () => {
      counters.readTallies();
      setGauges(gauges, options.snapshot());
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

function createCounters(registry: Registry, sources: readonly string[]) {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter<L>({ name: `${PREFIX}${name}_total`, help, labelNames: [...labelNames], registers: [registry] });
  const histogram = (name: string, help: string): Histogram =>
    new Histogram({ name: `${PREFIX}${name}_seconds`, help, buckets: FAST_BUCKETS, registers: [registry] });

  const operations = counter('operations', 'Operations sent to GoBGP.', ['kind', 'outcome']);
  const busMessages = counter('bus_messages', 'Messages of a source by what became of them.', ['source', 'outcome']);
  const busCalls = counter('bus_calls', 'Calls to Neutron by how they ended.', ['method', 'outcome']);
  const busRefusals = counter('bus_refusals', 'Calls that Neutron answered with an error, by what the error means.', ['method', 'refusal']);
  const lostMessages = counter('lost_messages', 'What a resync found and no message had told.', ['source', 'found']);
  const lost = counter('source_lost', 'How often a source was no longer in sync.', ['source']);
  const snapshots = counter('source_snapshots', 'Complete snapshots of a source.', ['source']);
  const peerChanges = counter('peer_changes', 'Peers that were added, replaced or deleted in GoBGP.', ['result']);
  const sessionChanges = counter('peer_session_changes', 'Sessions that came up or went down.', ['peer', 'to']);
  const speakerChanges = counter('speaker_state_changes', 'Changes of our relation to GoBGP.', ['to']);
  const refusals = counter('guard_refusals', 'Routes that were decided on and refused by the guard; each is a bug.');
  const stale = counter('view_stale', 'How often the view of GoBGP was dropped and read anew.');
  const stateFailures = counter('state_store_failures', 'Documents that could not be kept or read.', ['name']);

  const warnings = new Gauge({
    name: `${PREFIX}source_warning`,
    help: '1 while there is something at a source that an operator has to end.',
    labelNames: ['source', 'warning'],
    registers: [registry],
  });
  for (const source of sources) for (const warning of SOURCE_WARNINGS) warnings.set({ source, warning }, 0);

  for (const kind of ['advertise', 'withdraw']) for (const outcome of ['done', 'failed', 'unknown']) operations.inc({ kind, outcome }, 0);
  for (const source of sources) {
    for (const outcome of BUS_OUTCOMES) busMessages.inc({ source, outcome }, 0);
    for (const found of RESYNC_FINDINGS) lostMessages.inc({ source, found }, 0);
    lost.inc({ source }, 0);
    snapshots.inc({ source }, 0);
  }
  for (const result of PEER_RESULTS) peerChanges.inc({ result }, 0);
  for (const to of SPEAKER_STATES) speakerChanges.inc({ to }, 0);

  // Messages come by the thousand a second, and the counter would make a key of its labels for each: it gets sums when it is read.
  const tallies = new Map<string, Map<BusOutcome, number>>();
  const readTallies = (): void => {
    for (const [source, tally] of tallies) for (const [outcome, times] of tally) busMessages.inc({ source, outcome }, times);
    tallies.clear();
  };
  const tallyOf = (source: string): Map<BusOutcome, number> => {
    const tally = tallies.get(source) ?? new Map<BusOutcome, number>();
    tallies.set(source, tally);
    return tally;
  };

  const count = (event: TelemetryEvent): void => {
    switch (event.kind) {
      case 'bus-message': {
        const tally = tallies.get(event.source) ?? tallyOf(event.source);
        tally.set(event.outcome, (tally.get(event.outcome) ?? 0) + 1);
        return;
      }
      case 'bus-call':
        if (event.refusal !== undefined) busRefusals.inc({ method: event.method, refusal: event.refusal });
        return busCalls.inc({ method: event.method, outcome: event.outcome });
      case 'resync-found':
        return lostMessages.inc({ source: event.source, found: event.found });
      case 'source-warning':
        return warnings.set({ source: event.source, warning: event.warning }, event.text === undefined ? 0 : 1);
      case 'source-in-sync':
        return snapshots.inc({ source: event.source });
      case 'source-lost':
        return lost.inc({ source: event.source });
      case 'speaker-state':
        return speakerChanges.inc({ to: event.to });
      case 'view-stale':
        return stale.inc();
      case 'peer-state':
        if (event.to === 'established' || event.from === 'established')
          sessionChanges.inc({ peer: event.peer, to: event.to === 'established' ? 'up' : 'down' });
        return;
      case 'peer-change':
        return peerChanges.inc({ result: event.outcome.result });
      case 'guard-refusal':
        return refusals.inc();
      case 'state-store-failure':
        return stateFailures.inc({ name: event.name });
    }
  };
  const histograms = {
    'event-to-advertise': histogram('event_to_advertise', "From the receipt of a source's message to GoBGP's acknowledgement."),
    reconcile: histogram('reconcile_duration', 'Duration of one reconcile.'),
  };
  return { operations, count, readTallies, histograms };
}

function createGauges(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge<L>({ name: PREFIX + name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    routes: gauge('routes', 'Routes by set: desired, own (what GoBGP holds of ours), held although no source speaks for them, rejected.', [
      'family',
      'set',
    ]),
    rejected: gauge('rejected_addresses', 'Addresses that are not announced, by reason.', ['reason']),
    session: gauge('peer_session_state', '1 for the state that the session is in.', ['peer', 'asn', 'state']),
    inSync: gauge('source_in_sync', '1 when the source is in sync.', ['source']),
    ports: gauge('source_ports', 'Ports that the source has told of.', ['source']),
    speaker: gauge('speaker_state', '1 for the state of our relation to GoBGP.', ['state']),
    lastComplete: gauge('last_successful_reconcile_timestamp_seconds', 'When GoBGP last held exactly what was desired; 0: never.'),
    buildInfo: gauge('build_info', '1, with the version as label.', ['version', 'node']),
  };
}

function setGauges(gauges: ReturnType<typeof createGauges>, snapshot: MetricsSnapshot): void {
  for (const family of FAMILIES) for (const set of SETS) gauges.routes.set({ family, set }, snapshot.routes[family][set]);
  for (const reason of REASONS) gauges.rejected.set({ reason }, snapshot.rejections[reason] ?? 0);
  for (const gone of [gauges.session, gauges.inSync, gauges.ports]) gone.reset();
  for (const { name, asn, state: present } of snapshot.peers)
    for (const state of SESSION_STATES) gauges.session.set({ peer: name, asn: String(asn), state }, state === present ? 1 : 0);
  for (const { name, inSync, ports } of snapshot.sources) {
    gauges.inSync.set({ source: name }, inSync ? 1 : 0);
    gauges.ports.set({ source: name }, ports);
  }
  for (const state of SPEAKER_STATES) gauges.speaker.set({ state }, state === snapshot.speakerState ? 1 : 0);
  gauges.lastComplete.set((snapshot.lastCompleteAt?.getTime() ?? 0) / 1000);
}
