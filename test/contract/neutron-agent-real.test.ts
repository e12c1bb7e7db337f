/** Our agent against the real Neutron server: registered and listed alive, a snapshot, pushes, a confirmed deletion. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { BROKER_DEFAULTS, NEUTRON_DEFAULTS, NeutronSource } from '../../src/neutron/neutron-source.ts';
import { RecordingSink, RecordingTelemetry } from '../fakes/recording-sink.ts';
import { Lab, until } from '../lab/lab.ts';
import { type NeutronServer, startNeutronServer } from '../lab/neutron-server.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const lab = new Lab('neutron-agent');
const sink = new RecordingSink();
const telemetry = new RecordingTelemetry();
const stopping = new AbortController();
const lines: string[] = [];
let rabbit: RabbitNode;
let neutron: NeutronServer;
let networkId: string;
let boundBefore: string;
let running: Promise<void>;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  neutron = await startNeutronServer(lab, { rabbitUrl: rabbit.url });
  networkId = (await neutron.createNetwork('external')).id;
  await neutron.createSubnet(networkId, '198.51.100.0/24');
  await neutron.createSubnet(networkId, '2001:db8:100::/64');
  for (const host of ['hv1', 'hv2']) await neutron.reportOvsAgent(host);
  boundBefore = (await neutron.createPort(networkId, 'hv1')).id;
  await neutron.createPort(networkId, 'hv2');
  const write = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const source = new NeutronSource(
    {
      ...NEUTRON_DEFAULTS,
      host: 'hv1',
      vnicTypes: ['normal', 'direct', 'macvtap', 'virtio-forwarder', 'vdpa'],
      broker: {
        ...BROKER_DEFAULTS,
        hosts: [{ host: '127.0.0.1', port: rabbit.port, username: 'guest', password: 'guest' }],
        virtualHost: '/',
        connectionName: 'neutron-bgp-agent hv1',
      },
    },
    {
      clock: systemClock,
      log: { debug: write, info: write, warn: write, error: write },
      telemetry,
      configurations: () => ({ version: 'test' }),
      hangsOnNetwork: () => false,
    },
  );
  running = source.run(sink, stopping.signal);
  await until('the agent to be in sync', () => sink.inSync, 30_000);
}, 180_000);

afterAll(async () => {
  stopping.abort();
  await running;
  await lab.close();
});

test('the snapshot holds the ports of this host, of whatever vnic type', () => {
  expect([...sink.ports.keys()]).toEqual([boundBefore]);
  expect(sink.ports.get(boundBefore)).toMatchObject({
    networkId,
    deviceOwner: 'compute:nova',
    bindings: [{ host: 'hv1', status: 'ACTIVE', vifType: 'ovs' }],
  });
});

test('Neutron lists the agent, alive, with what it reports', async () => {
  const { agents } = await neutron.api<{ agents: Record<string, unknown>[] }>('GET', '/agents?agent_type=BGP%20host%20route%20agent');
  expect(agents).toMatchObject([
    { host: 'hv1', binary: 'neutron-bgp-agent', alive: true, admin_state_up: true, configurations: { version: 'test' } },
  ]);
});

test('a boot, a stop, an address change, a move and a deletion are pushed and understood', async () => {
  const { id } = await neutron.createPort(networkId, 'hv1');
  await until('the port', () => sink.ports.get(id)?.bindings[0]?.vifType === 'ovs');
  await neutron.updateDeviceUp(id, 'hv1');
  await until('ACTIVE', () => sink.ports.get(id)?.status === 'ACTIVE');
  expect(sink.ports.get(id)?.fixedIps).toHaveLength(2);
  await neutron.updateDeviceDown(id, 'hv1');
  await until('DOWN', () => sink.ports.get(id)?.status === 'DOWN');
  await neutron.updatePort(id, { fixed_ips: [{ ip_address: '198.51.100.250' }] });
  await until('the new address', () => sink.ports.get(id)?.fixedIps.join() === '198.51.100.250');
  await neutron.updatePort(id, { 'binding:host_id': 'hv2' });
  await until('the other host', () => sink.ports.get(id)?.bindings[0]?.host === 'hv2');
  await neutron.deletePort(id);
  await until('the confirmed removal', () =>
    sink.calls.some((call) => call.kind === 'remove' && call.portId === id && call.cause === 'deleted'),
  );
  expect(telemetry.messages('malformed') + telemetry.messages('unsupported')).toBe(0);
  const refused = telemetry.events.filter((event) => event.kind === 'bus-call' && event.outcome !== 'answered');
  expect(refused).toEqual([]);
});

test('the exchange of its pushes is one on which the server can still declare', async () => {
  const exchanges = await rabbit.ctl('list_exchanges', 'name', 'type', 'durable', 'auto_delete');
  expect(exchanges.split('\n')).toContain('neutron-vo-Port-1.7_fanout\tfanout\tfalse\ttrue');
  expect(lines.filter((line) => line.includes('failed'))).toEqual([]);
});
