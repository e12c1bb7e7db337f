/** What our Neutron source does as an agent, with a real RabbitMQ and the stand-in for the servers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BindingTable } from '../../src/core/binding-table.ts';
import { decide, hangsOnNetwork } from '../../src/domain/decision.ts';
import { parsePrefix, type Prefix, prefixSet } from '../../src/domain/prefix.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { host, settings } from '../fakes/ports.ts';
import { Lab, until } from '../lab/lab.ts';
import { type LabSource, type LabSourceOptions, startSource, startSourceInSync } from '../lab/neutron-agent.ts';
import type { LabAgent, LabNetwork } from '../lab/neutron-objects.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const PUBLIC = '198.51.100.';
const SETTINGS = settings({
  networks: new Set(),
  external: true,
  prefixes: prefixSet([parsePrefix('198.51.100.0/24') as Prefix]),
  deniedPrefixes: prefixSet([]),
});

const lab = new Lab('neutron-agent');
let rabbit: RabbitNode;
let neutron: NeutronStandIn;
let network: LabNetwork;
const running: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  rabbit = await startRabbit(lab);
});
afterAll(() => lab.close());
beforeEach(async () => {
  neutron = await startNeutronStandIn({ url: rabbit.url, portVersions: ['1.7', '1.10'] });
  network = neutron.createNetwork();
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await neutron.close();
});

async function startAgent(change: Partial<LabSourceOptions> = {}): Promise<LabSource> {
  const started = await startSourceInSync({ port: rabbit.port, ...change });
  running.push(started);
  return started;
}

const asksNetworks = { options: { hangsOnNetwork: (port: Parameters<typeof hangsOnNetwork>[0]) => hangsOnNetwork(port, SETTINGS) } };
const boot = (address: string, networkId = network.id, name = 'hv1') => neutron.bootPort({ host: name, networkId, fixedIps: [address] });
const questions = (): string[] =>
  neutron.calls.filter(({ method }) => method === 'get_network_details').map(({ args }) => String(args['network']));
const snapshots = ({ sink }: LabSource): number => sink.calls.filter(({ kind }) => kind === 'replace').length;
const ownAgent = (): LabAgent => {
  const row = [...neutron.agents.values()].find(({ agentType }) => agentType === 'BGP host route agent');
  if (row === undefined) throw new Error('the agent has no row');
  return row;
};
const reports = (): number => neutron.calls.filter(({ method }) => method === 'report_state').length;

describe('external networks', () => {
  test('a snapshot asks once for each network that matters, and tells its ports with the answer', async () => {
    const tenant = neutron.createNetwork({ external: false });
    const [a, b, c] = [await boot(`${PUBLIC}1`), await boot(`${PUBLIC}2`), await boot(`${PUBLIC}3`, tenant.id)];
    const unimportant = neutron.createNetwork({ external: false });
    await boot('10.0.0.1', unimportant.id);
    const { sink } = await startAgent(asksNetworks);
    expect(questions().toSorted()).toEqual([network.id, tenant.id].toSorted());
    expect([a, b, c].map(({ id }) => sink.ports.get(id)?.external)).toEqual([true, true, false]);
  });

  test('a push of a network that was never seen waits for the answer', async () => {
    const { sink } = await startAgent(asksNetworks);
    neutron.faults.set('get_network_details', { kind: 'delay', ms: 300 });
    const port = await boot(`${PUBLIC}1`);
    expect(sink.ports.has(port.id)).toBe(false);
    await until('the port', () => sink.ports.get(port.id)?.external === true);
    expect(questions()).toEqual([network.id]);
    expect(sink.ports.get(port.id)?.status).toBe('ACTIVE');
  });

  test('a snapshot whose question is not answered is none: nothing is told, and it is tried again', async () => {
    const port = await boot(`${PUBLIC}1`);
    neutron.faults.set('get_network_details', { kind: 'error', remoteClass: 'DBConnectionError', message: 'away' });
    const agent = startSource(
      { port: rabbit.port, ...asksNetworks },
      new BindingTable({ settings: SETTINGS, clock: systemClock, telemetry: { count: () => {}, observe: () => {} } }).sink('neutron'),
    );
    running.push(agent);
    await until('two failures', () => agent.lines.filter((line) => line.startsWith('snapshot failed')).length >= 2);
    expect(agent.sink.interest.portIds()).toEqual([]);
    neutron.faults.clear();
    await until('the port', () => agent.sink.interest.port(port.id)?.external === true);
  });

  test('what is known of a network stands while nobody answers for it', async () => {
    const [port, moving] = [await boot(`${PUBLIC}1`), await boot(`${PUBLIC}2`)];
    const agent = await startAgent(asksNetworks);
    neutron.faults.set('get_network_details', { kind: 'silence' });
    await neutron.touch(port.id);
    await neutron.evacuate(moving.id, 'hv2');
    agent.source.resync();
    await until('a snapshot', () => snapshots(agent) === 2);
    expect(agent.sink.ports.get(port.id)).toMatchObject({ external: true, revisionNumber: 4 });
    expect(agent.sink.ports.get(moving.id)?.bindings[0]?.host).toBe('hv2');
  });

  test("a tenant's network with the public range never gets an address announced", async () => {
    const table = new BindingTable({ settings: SETTINGS, clock: systemClock, telemetry: { count: () => {}, observe: () => {} } });
    running.push(startSource({ port: rabbit.port, ...asksNetworks }, table.sink('neutron')));
    await until('the first snapshot', () => table.inSyncOnce());
    const tenant = neutron.createNetwork({ external: false });
    const [ours, theirs] = [await boot(`${PUBLIC}1`), await boot(`${PUBLIC}2`, tenant.id)];
    await until('both ports', () =>
      [ours, theirs].every(({ id }) => [...table.ports()].some(({ port }) => port.portId === id && port.status === 'ACTIVE')),
    );
    const world = { settings: SETTINGS, nowMs: 0, inSyncOnce: true, snapshotMs: () => 0, restraint: () => undefined };
    const decisionOf = (address: string) => {
      const prefix = host(address);
      return decide({ prefix, claims: table.claims(prefix), own: undefined, isHeld: false, foreign: false, since: [] }, world).decision;
    };
    expect(decisionOf(`${PUBLIC}1`)?.set).toBe('desired');
    expect(decisionOf(`${PUBLIC}2`)).toMatchObject({ set: 'rejected', reason: 'network' });
  });
});

describe('openstack network agent set --disable', () => {
  const often = { settings: { reportIntervalMs: 100 } };

  test('is heard, with the command that ends it, and so is --enable', async () => {
    const agent = await startAgent(often);
    ownAgent().adminStateUp = false;
    await until('the warning', () => agent.sink.warnings.get('agent-disabled')?.includes(`--enable ${ownAgent().id}`));
    ownAgent().adminStateUp = true;
    await until('its end', () => agent.sink.warnings.size === 0);
  });

  test('a new agent that starts disabled says so before it tells its first port', async () => {
    neutron.enableNewAgents = false;
    await boot(`${PUBLIC}1`);
    const { sink } = await startAgent();
    expect(sink.warnings.get('agent-disabled')).toContain('openstack network agent set --enable');
  });

  test('while the row cannot be read at the start, nothing is told', async () => {
    neutron.enableNewAgents = false;
    await boot(`${PUBLIC}1`);
    neutron.faults.set('bulk_pull', { kind: 'error', remoteClass: 'DBError', message: 'away' });
    const agent = startSource(
      { port: rabbit.port },
      new BindingTable({ settings: SETTINGS, clock: systemClock, telemetry: { count: () => {}, observe: () => {} } }).sink('neutron'),
    );
    running.push(agent);
    await until('a failure', () => agent.lines.some((line) => line.startsWith('snapshot failed')));
    expect(agent.sink.interest.portIds()).toEqual([]);
    neutron.faults.clear();
    await until('the port', () => agent.sink.interest.portIds().length === 1);
  });

  test('is not forgotten because the row cannot be read', async () => {
    const agent = await startAgent(often);
    ownAgent().adminStateUp = false;
    await until('the warning', () => agent.sink.warnings.has('agent-disabled'));
    neutron.faults.set('bulk_pull', { kind: 'error', remoteClass: 'DBError', message: 'away' });
    const before = reports();
    await until('more reports', () => reports() > before + 3);
    neutron.faults.clear();
    neutron.faults.set('bulk_pull', { kind: 'result', result: [] });
    const later = reports();
    await until('more reports', () => reports() > later + 3);
    expect(agent.sink.warnings.has('agent-disabled')).toBe(true);
  });

  test('keeps reporting while the row cannot be read: late reports would make it look dead', async () => {
    const agent = await startAgent({ settings: { reportIntervalMs: 100, callTimeoutMs: 60_000 } });
    neutron.faults.set('bulk_pull', { kind: 'silence' });
    const before = reports();
    await until('two more reports', () => reports() >= before + 2, 10_000);
    expect(agent.sink.inSync).toBe(true);
  });

  test('looks for itself at every report interval, since pushes may stop', async () => {
    const agent = await startAgent(often);
    const port = await boot(`${PUBLIC}1`);
    await until('the port', () => agent.sink.ports.get(port.id)?.status === 'ACTIVE');
    ownAgent().adminStateUp = false;
    neutron.muted = true;
    await until('the warning', () => agent.sink.warnings.has('agent-disabled'));
    await neutron.evacuate(port.id, 'hv2');
    await until('the move', () => agent.sink.ports.get(port.id)?.bindings[0]?.host === 'hv2');
  });
});

describe('the agent row', () => {
  const often = { settings: { reportIntervalMs: 100 } };

  test('another instance under our host name is told, and forgotten when it is gone', async () => {
    const agent = await startAgent(often);
    const other = startSource(
      { port: rabbit.port, settings: { reportIntervalMs: 60 }, options: { configurations: () => ({ instance_id: 'another-machine' }) } },
      agent.sink,
    );
    await until('the warning', () => agent.sink.warnings.get('host-name-twice')?.includes('another-machine'));
    await other.stop();
    await until('its end', () => !agent.sink.warnings.has('host-name-twice'));
  });

  test('that an operator deleted comes back with its versions, and a snapshot', async () => {
    const agent = await startAgent(often);
    const before = snapshots(agent);
    neutron.agents.clear();
    await until('the row', () => neutron.agents.size === 1 && ownAgent().resourceVersions !== undefined);
    await until('a snapshot', () => snapshots(agent) > before);
  });
});

describe('the version of Port', () => {
  const follow = { settings: { portVersion: 'ovs-agent' as const, reportIntervalMs: 100 } };

  function reportOvs(version: string): void {
    const [id, createdAt] = ['00000000-0000-4000-8000-0000000000ff', '2026-01-15T10:00:00Z'];
    neutron.agents.set('ovs', {
      id,
      agentType: 'Open vSwitch agent',
      binary: 'neutron-openvswitch-agent',
      topic: 'N/A',
      host: 'hv1',
      adminStateUp: true,
      startedAt: createdAt,
      createdAt,
      heartbeatTimestamp: createdAt,
      configurations: {},
      resourceVersions: { Port: version, Network: '1.1' },
    });
  }
  const reported = (): unknown => (ownAgent().resourceVersions as { Port: string }).Port;

  test("follows this host's OVS agent, at the start and when it changes", async () => {
    const port = await boot(`${PUBLIC}1`);
    reportOvs('1.9');
    const agent = await startAgent(follow);
    expect(reported()).toBe('1.9');
    reportOvs('1.10');
    await until('the new version', () => reported() === '1.10');
    await until('the agent to be in sync again', () => agent.sink.inSync);
    await neutron.stop(port.id);
    await until('a push of 1.10', () => agent.sink.ports.get(port.id)?.status === 'DOWN');
  });

  test("is never above the server's: that would stop the pushes of everybody", async () => {
    await boot(`${PUBLIC}1`);
    reportOvs('1.11');
    const agent = await startAgent(follow);
    const before = reports();
    await until('more reports', () => reports() > before + 3);
    expect(reported()).toBe('1.7');
    expect(agent.lines.some((line) => line.includes('a version of Port that the server does not have'))).toBe(true);
    const asked = neutron.calls.filter(({ method, args }) => method === 'bulk_pull' && args['version'] === '1.11');
    expect(asked).toHaveLength(1);
  });

  test('is 1.7 while there is no OVS agent, or no port with which the server can show that it has another', async () => {
    const agent = await startAgent(follow);
    expect(reported()).toBe('1.7');
    reportOvs('1.10');
    const before = reports();
    await until('more reports', () => reports() > before + 2);
    expect(reported()).toBe('1.7');
    // Muted, for the stand-in loses its channel when an exchange leaves while it publishes.
    neutron.muted = true;
    const port = await boot(`${PUBLIC}1`);
    await until('the version', () => reported() === '1.10');
    await until('the port', () => agent.sink.ports.get(port.id)?.status === 'ACTIVE');
    neutron.muted = false;
    await neutron.stop(port.id);
    await until('a push of 1.10', () => agent.sink.ports.get(port.id)?.status === 'DOWN');
  });
});

describe('lost messages', () => {
  const found = ({ telemetry }: LabSource): string[] =>
    telemetry.events.flatMap((event) => (event.kind === 'resync-found' ? [`${event.found} ${event.portId}`] : [])).toSorted();

  test('are counted by what the resync found', async () => {
    const [stays, stops, goes] = [await boot(`${PUBLIC}1`), await boot(`${PUBLIC}2`), await boot(`${PUBLIC}3`)];
    const agent = await startAgent();
    neutron.muted = true;
    await neutron.touch(stays.id);
    await neutron.stop(stops.id);
    neutron.ports.delete(goes.id);
    const comes = await boot(`${PUBLIC}4`);
    agent.source.resync();
    await until('the count', () => found(agent).length === 3, 20_000);
    expect(found(agent)).toEqual([`deletion ${goes.id}`, `new-port ${comes.id}`, `update ${stops.id}`].toSorted());
  });
});
