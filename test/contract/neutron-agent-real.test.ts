/** Our agent against the real Neutron server: registered and listed alive, a snapshot, pushes, a confirmed deletion. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hangsOnNetwork } from '../../src/domain/decision.ts';
import { parsePrefix, type Prefix, prefixSet } from '../../src/domain/prefix.ts';
import { settings } from '../fakes/ports.ts';
import { RecordingSink } from '../fakes/recording-sink.ts';
import { Lab, until } from '../lab/lab.ts';
import { type LabSource, startSource } from '../lab/neutron-agent.ts';
import { openNeutronRpc } from '../lab/neutron-rpc.ts';
import { type NeutronServer, startNeutronServer } from '../lab/neutron-server.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const lab = new Lab('neutron-agent');
const sink = new RecordingSink();
const SETTINGS = settings({
  networks: new Set(),
  external: true,
  prefixes: prefixSet(['198.51.100.0/24', '2001:db8:100::/64'].map((text) => parsePrefix(text) as Prefix)),
  deniedPrefixes: prefixSet([]),
});
let rabbit: RabbitNode;
let neutron: NeutronServer;
let networkId: string;
let boundBefore: string;
let agent: LabSource;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  neutron = await startNeutronServer(lab, { rabbitUrl: rabbit.url });
  networkId = (await neutron.createNetwork('external')).id;
  await neutron.createSubnet(networkId, '198.51.100.0/24');
  await neutron.createSubnet(networkId, '2001:db8:100::/64');
  for (const host of ['hv1', 'hv2']) await neutron.reportOvsAgent(host);
  boundBefore = (await neutron.createPort(networkId, 'hv1')).id;
  await neutron.createPort(networkId, 'hv2');
  agent = startSource(
    {
      port: rabbit.port,
      settings: { vnicTypes: ['normal', 'direct', 'macvtap', 'virtio-forwarder', 'vdpa'], reportIntervalMs: 1_000 },
      options: { hangsOnNetwork: (port) => hangsOnNetwork(port, SETTINGS) },
    },
    sink,
  );
  await until('the agent to be in sync', () => sink.inSync, 30_000);
}, 180_000);

afterAll(async () => {
  await agent?.stop();
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
    {
      host: 'hv1',
      binary: 'neutron-bgp-agent',
      alive: true,
      admin_state_up: true,
      configurations: { version: 'test', instance_id: 'this-machine' },
    },
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
  const { telemetry } = agent;
  expect(telemetry.messages('malformed') + telemetry.messages('unsupported')).toBe(0);
  const refused = telemetry.events.filter((event) => event.kind === 'bus-call' && event.outcome !== 'answered');
  expect(refused).toEqual([]);
});

test('the exchange of its pushes is one on which the server can still declare', async () => {
  const exchanges = await rabbit.ctl('list_exchanges', 'name', 'type', 'durable', 'auto_delete');
  expect(exchanges.split('\n')).toContain('neutron-vo-Port-1.7_fanout\tfanout\tfalse\ttrue');
  expect(agent.lines.filter((line) => line.includes('failed'))).toEqual([]);
});

test('ports are told with whether their network is external', async () => {
  expect(sink.ports.get(boundBefore)?.external).toBe(true);
  const tenant = (await neutron.createNetwork('self-service')).id;
  await neutron.createSubnet(tenant, '198.51.100.0/24');
  const { id } = await neutron.createPort(tenant, 'hv1');
  await until('the port', () => sink.ports.has(id));
  expect(sink.ports.get(id)).toMatchObject({ networkId: tenant, external: false });
});

test('--disable and --enable are heard, and a deleted agent comes back', async () => {
  const rows = async () =>
    (await neutron.api<{ agents: { id: string }[] }>('GET', '/agents?agent_type=BGP%20host%20route%20agent')).agents.map(({ id }) => id);
  const [id = ''] = await rows();
  await neutron.api('PUT', `/agents/${id}`, { agent: { admin_state_up: false } });
  await until('the warning', () => sink.warnings.get('agent-disabled')?.endsWith(`openstack network agent set --enable ${id}`));
  await neutron.api('PUT', `/agents/${id}`, { agent: { admin_state_up: true } });
  await until('its end', () => !sink.warnings.has('agent-disabled'));
  await neutron.api('DELETE', `/agents/${id}`);
  await until('another row', async () => (await rows()).some((other) => other !== id));
});

test("following this host's OVS agent reads the real server's rows", async () => {
  const follower = startSource(
    { port: rabbit.port, settings: { host: 'hv2', portVersion: 'ovs-agent', reportIntervalMs: 1_000 } },
    new RecordingSink(),
  );
  try {
    await until('the agent to be in sync', () => follower.sink.inSync, 30_000);
    expect(follower.lines.filter((line) => /does not have|could not be read|failed/.test(line))).toEqual([]);
  } finally {
    await follower.stop();
  }
});

test.each<[string, string, object, string]>([
  ['a network that is not there', 'get_network_details', { network: '00000000-0000-4000-8000-000000000000' }, 'NetworkNotFound'],
  ['a version above the server', 'bulk_pull', { resource_type: 'Port', version: '1.99' }, 'InvalidTargetVersion'],
  [
    'a resource that is none',
    'bulk_pull',
    { resource_type: 'FloatingIP', version: '1.0', filter_kwargs: { id: ['x'] } },
    'InvalidResourceTypeClass',
  ],
  ['a filter that is none', 'bulk_pull', { resource_type: 'Port', version: '1.7', filter_kwargs: { bindings: ['x'] } }, 'InvalidInput'],
  ['a method that is none', 'get_the_moon', {}, 'NoSuchMethod'],
])('the server names what it refuses as we expect: %s', async (_, method, args, remoteClass) => {
  const rpc = await openNeutronRpc(rabbit.url);
  try {
    const whole = method === 'bulk_pull' ? { filter_kwargs: { id: [boundBefore] }, ...args } : args;
    await expect(rpc.call('q-plugin', method, whole, method === 'get_network_details' ? '1.6' : '1.1')).rejects.toThrow(remoteClass);
  } finally {
    await rpc.close();
  }
});
