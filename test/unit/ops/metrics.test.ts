import { describe, expect, it } from 'vitest';
import type { ReconcileReport } from '../../../src/core/reconciler-types.ts';
import { REASONS } from '../../../src/domain/decision.ts';
import { hostPrefix, type Prefix } from '../../../src/domain/prefix.ts';
import { createMetrics, type MetricsSnapshot } from '../../../src/ops/metrics.ts';
import { fanOut } from '../../../src/ops/telemetry-log.ts';

const nothing = { desired: 0, own: 0, held: 0, rejected: 0 };
const quiet: MetricsSnapshot = {
  routes: { ipv4: nothing, ipv6: nothing },
  rejections: {},
  peers: [],
  sources: [],
  speakerState: 'away',
  lastCompleteAt: undefined,
};

function metricsOf(snapshot: () => MetricsSnapshot = () => quiet) {
  return createMetrics({ version: '1.2.3', sources: ['file'], snapshot });
}

async function samples(metrics: ReturnType<typeof metricsOf>): Promise<readonly string[]> {
  return (await metrics.render()).split('\n').filter((line) => line.startsWith('neutron_bgp_agent_') || line.startsWith('process_'));
}

describe('metrics', () => {
  it('begins every known label with zero', async () => {
    const lines = await samples(metricsOf());
    expect(lines).toContain('neutron_bgp_agent_operations_total{kind="advertise",outcome="failed"} 0');
    expect(lines).toContain('neutron_bgp_agent_operations_total{kind="withdraw",outcome="unknown"} 0');
    expect(lines).toContain('neutron_bgp_agent_bus_messages_total{source="file",outcome="malformed"} 0');
    expect(lines).toContain('neutron_bgp_agent_guard_refusals_total 0');
    expect(lines).toContain('neutron_bgp_agent_event_to_advertise_seconds_bucket{le="0.0005"} 0');
    expect(lines).toContain('neutron_bgp_agent_last_successful_reconcile_timestamp_seconds 0');
    expect(lines).toContain('neutron_bgp_agent_speaker_state{state="away"} 1');
    expect(lines.filter((line) => line.startsWith('neutron_bgp_agent_rejected_addresses{'))).toHaveLength(REASONS.length);
    expect(lines.filter((line) => line.startsWith('neutron_bgp_agent_routes{'))).toHaveLength(8);
  });

  it('has build info and the process', async () => {
    const text = (await samples(metricsOf())).join('\n');
    expect(text).toContain('neutron_bgp_agent_build_info{version="1.2.3",');
    expect(text).toMatch(/process_resident_memory_bytes \d{6,}/);
    expect(text).toMatch(/process_cpu_seconds_total \d/);
    expect(text).toMatch(/process_start_time_seconds 1\d{9}/);
  });

  it('counts what it is told', async () => {
    const metrics = metricsOf();
    const { telemetry } = metrics;
    telemetry.count({ kind: 'bus-message', source: 'file', outcome: 'malformed' });
    telemetry.count({ kind: 'bus-call', method: 'bulk_pull', outcome: 'timeout' });
    telemetry.count({ kind: 'bus-call', method: 'bulk_pull', outcome: 'refused', refusal: 'database' });
    telemetry.count({ kind: 'resync-found', source: 'file', found: 'update', portId: 'p' });
    telemetry.count({ kind: 'source-warning', source: 'file', warning: 'slow-clock', text: 'x' });
    telemetry.count({ kind: 'source-in-sync', source: 'file', ports: 1 });
    telemetry.count({ kind: 'source-lost', source: 'file', reason: 'x' });
    telemetry.count({ kind: 'view-stale', reason: 'x' });
    telemetry.count({ kind: 'speaker-state', from: 'away', to: 'ready', reason: '' });
    telemetry.count({ kind: 'peer-state', peer: '192.0.2.1', from: 'active', to: 'established' });
    telemetry.count({ kind: 'peer-change', outcome: { name: '192.0.2.1', result: 'added' } });
    telemetry.count({ kind: 'guard-refusal', prefix: hostPrefix('203.0.113.1') as Prefix, reason: 'outside-prefixes' });
    telemetry.count({ kind: 'state-store-failure', name: 'bindings', error: 'x' });
    telemetry.observe({ kind: 'event-to-advertise', ms: 1.6 });
    telemetry.observe({ kind: 'reconcile', ms: 40 });
    const operation = { kind: 'withdraw', prefix: hostPrefix('203.0.113.1') };
    metrics.report({ changes: [{ outcome: { operation, result: 'done' } }], complete: true, durationMs: 1 } as unknown as ReconcileReport);
    const lines = await samples(metrics);
    for (const line of [
      'bus_messages_total{source="file",outcome="malformed"} 1',
      'bus_calls_total{method="bulk_pull",outcome="timeout"} 1',
      'bus_refusals_total{method="bulk_pull",refusal="database"} 1',
      'lost_messages_total{source="file",found="update"} 1',
      'lost_messages_total{source="file",found="deletion"} 0',
      'source_warning{source="file",warning="slow-clock"} 1',
      'source_warning{source="file",warning="agent-disabled"} 0',
      'source_snapshots_total{source="file"} 1',
      'source_lost_total{source="file"} 1',
      'view_stale_total 1',
      'speaker_state_changes_total{to="ready"} 1',
      'peer_session_changes_total{peer="192.0.2.1",to="up"} 1',
      'peer_changes_total{result="added"} 1',
      'guard_refusals_total 1',
      'state_store_failures_total{name="bindings"} 1',
      'event_to_advertise_seconds_bucket{le="0.001"} 0',
      'event_to_advertise_seconds_bucket{le="0.002"} 1',
      'reconcile_duration_seconds_count 1',
      'operations_total{kind="withdraw",outcome="done"} 1',
    ])
      expect(lines).toContain(`neutron_bgp_agent_${line}`);
  });

  it('reads gauges at the scrape, and forgets peers and sources that are gone', async () => {
    let snapshot: MetricsSnapshot = {
      ...quiet,
      routes: { ipv4: { desired: 3, own: 2, held: 1, rejected: 4 }, ipv6: nothing },
      rejections: { 'not-active': 4 },
      peers: [{ name: '192.0.2.1', asn: 64500, state: 'established' }],
      sources: [{ name: 'neutron', inSync: true, ports: 5 }],
      speakerState: 'ready',
      lastCompleteAt: new Date(1_700_000_000_500),
    };
    const metrics = metricsOf(() => snapshot);
    const lines = await samples(metrics);
    for (const line of [
      'routes{family="ipv4",set="desired"} 3',
      'routes{family="ipv4",set="own"} 2',
      'rejected_addresses{reason="not-active"} 4',
      'rejected_addresses{reason="deleted"} 0',
      'peer_session_state{peer="192.0.2.1",asn="64500",state="established"} 1',
      'peer_session_state{peer="192.0.2.1",asn="64500",state="idle"} 0',
      'source_in_sync{source="neutron"} 1',
      'source_ports{source="neutron"} 5',
      'speaker_state{state="ready"} 1',
      'last_successful_reconcile_timestamp_seconds 1700000000.5',
    ])
      expect(lines).toContain(`neutron_bgp_agent_${line}`);
    snapshot = quiet;
    const later = (await samples(metrics)).join('\n');
    expect(later).not.toContain('peer_session_state{');
    expect(later).not.toContain('source_in_sync{');
    expect(later).toContain('neutron_bgp_agent_rejected_addresses{reason="not-active"} 0');
  });

  it('two registries do not know each other', async () => {
    const [one, other] = [metricsOf(), metricsOf()];
    one.telemetry.count({ kind: 'view-stale', reason: 'x' });
    expect(await samples(other)).toContain('neutron_bgp_agent_view_stale_total 0');
  });

  it('a fan-out tells everybody', () => {
    const told: string[] = [];
    const receiver = (name: string) => ({ count: () => void told.push(`${name} count`), observe: () => void told.push(`${name} observe`) });
    const telemetry = fanOut(receiver('a'), receiver('b'));
    telemetry.count({ kind: 'view-stale', reason: 'x' });
    telemetry.observe({ kind: 'reconcile', ms: 1 });
    expect(told).toEqual(['a count', 'b count', 'a observe', 'b observe']);
  });
});
