/** Our Neutron agent against a real RabbitMQ and our stand-in for Neutron's servers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { BROKER_DEFAULTS, NEUTRON_DEFAULTS, type NeutronSettings, NeutronSource } from '../../src/neutron/neutron-source.ts';
import { Lab, until } from '../lab/lab.ts';
import type { LabNetwork } from '../lab/neutron-objects.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';
import { RecordingSink, RecordingTelemetry } from '../fakes/recording-sink.ts';

const lab = new Lab('neutron-source');
let rabbit: RabbitNode;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
});
afterAll(() => lab.close());

type Agent = { source: NeutronSource; sink: RecordingSink; telemetry: RecordingTelemetry; stop(): Promise<void> };

let neutron: NeutronStandIn;
let network: LabNetwork;
const agents: Agent[] = [];

beforeEach(async () => {
  neutron = await startNeutronStandIn({ url: rabbit.url, token: 'gAAAAA-canary' });
  network = neutron.createNetwork();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  await neutron.close();
});

function settingsFor(port: number, change: Partial<NeutronSettings> = {}): NeutronSettings {
  return {
    ...NEUTRON_DEFAULTS,
    reconnect: { firstDelayMs: 50, longestDelayMs: 500 },
    host: 'hv1',
    vnicTypes: ['normal', 'direct'],
    broker: {
      ...BROKER_DEFAULTS,
      hosts: [{ host: '127.0.0.1', port, username: 'guest', password: 'guest' }],
      virtualHost: '/',
      connectionName: 'neutron-bgp-agent hv1',
    },
    ...change,
  };
}

function startAgent(change: Partial<NeutronSettings> = {}, sink = new RecordingSink()): Agent {
  const telemetry = new RecordingTelemetry();
  const source = new NeutronSource(settingsFor(rabbit.port, change), {
    clock: systemClock,
    log: silentLog,
    telemetry,
    configurations: () => ({ version: 'test' }),
  });
  const stopping = new AbortController();
  const running = source.run(sink, stopping.signal);
  const agent = {
    source,
    sink,
    telemetry,
    async stop() {
      stopping.abort();
      await running;
    },
  };
  agents.push(agent);
  return agent;
}

async function startInSync(change: Partial<NeutronSettings> = {}, sink = new RecordingSink()): Promise<Agent> {
  const agent = startAgent(change, sink);
  await until('the agent to be in sync', () => sink.inSync);
  return agent;
}

function boot(address: string, host = 'hv1', vnicType = 'normal'): ReturnType<NeutronStandIn['bootPort']> {
  return neutron.bootPort({ host, networkId: network.id, fixedIps: [address], vnicType });
}

describe('handshake', () => {
  test('reports itself, then takes a snapshot of every vnic type', async () => {
    const normal = await boot('198.51.100.10');
    const direct = await boot('198.51.100.11', 'hv1', 'direct');
    await boot('198.51.100.12', 'hv2');
    const { sink } = await startInSync();
    expect(sink.kinds()).toEqual(['replace']);
    expect([...sink.ports.keys()].toSorted()).toEqual([normal.id, direct.id].toSorted());
    expect(neutron.calls.map(({ method }) => method)).toEqual([
      'has_alive_neutron_server',
      'report_state',
      'get_ports_by_vnic_type_and_host',
      'get_ports_by_vnic_type_and_host',
      'bulk_pull',
    ]);
    const report = neutron.calls[1]?.args as { agent_state: { agent_state: Record<string, unknown> }; time: string };
    expect(report.agent_state.agent_state).toMatchObject({
      agent_type: 'BGP host route agent',
      binary: 'neutron-bgp-agent',
      host: 'hv1',
      topic: 'N/A',
      start_flag: true,
      resource_versions: { Port: '1.7' },
      configurations: { version: 'test' },
    });
    expect(report.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/);
  });
});

describe('pushes', () => {
  test('a boot on this host is told step by step, one elsewhere not at all', async () => {
    const { sink, telemetry } = await startInSync();
    await boot('198.51.100.20', 'hv2');
    const port = await boot('198.51.100.21');
    await until('three upserts', () => sink.calls.length === 4);
    expect(sink.calls.slice(1).map((call) => call.kind === 'upsert' && [call.port.bindings[0]?.vifType, call.port.status])).toEqual([
      ['unbound', 'DOWN'],
      ['ovs', 'DOWN'],
      ['ovs', 'ACTIVE'],
    ]);
    expect(sink.ports.get(port.id)).toMatchObject({ fixedIps: ['198.51.100.21'], revisionNumber: 3, deviceOwner: 'compute:nova' });
    expect(sink.ports.get(port.id)?.requestId).toMatch(/^req-/);
    expect(telemetry.messages('applied')).toBe(3);
    expect(telemetry.messages('foreign')).toBe(3);
  });
});
