/** Our Neutron agent against a real RabbitMQ and our stand-in for Neutron's servers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { BROKER_DEFAULTS, NEUTRON_DEFAULTS, type NeutronSettings, NeutronSource } from '../../src/neutron/neutron-source.ts';
import { Lab, until } from '../lab/lab.ts';
import { type LabNetwork, portObject } from '../lab/neutron-objects.ts';
import { type Fault, type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';
import { RecordingSink, RecordingTelemetry } from '../fakes/recording-sink.ts';

const lab = new Lab('neutron-source');
let rabbit: RabbitNode;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
});
afterAll(() => lab.close());

type Agent = {
  readonly source: NeutronSource;
  readonly sink: RecordingSink;
  readonly telemetry: RecordingTelemetry;
  /** Every line that was logged, fields included. */
  readonly lines: readonly string[];
  readonly stop: () => Promise<void>;
};

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
    reconnect: { firstDelayMs: 50, longestDelayMs: 500, spreadMs: 0 },
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
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const source = new NeutronSource(settingsFor(rabbit.port, change), {
    clock: systemClock,
    log: { debug: write, info: write, warn: write, error: write },
    telemetry,
    configurations: () => ({ version: 'test' }),
    hangsOnNetwork: () => false,
  });
  const stopping = new AbortController();
  const running = source.run(sink, stopping.signal);
  const agent = {
    source,
    sink,
    telemetry,
    lines,
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

const removals = ({ sink }: Agent): string[] =>
  sink.calls.flatMap((call) => (call.kind === 'remove' ? [`${call.portId} ${call.cause}`] : []));
const losses = ({ sink }: Agent): string[] => sink.calls.flatMap((call) => (call.kind === 'lost' ? [call.reason] : []));
const snapshots = ({ sink }: Agent): number => sink.calls.filter(({ kind }) => kind === 'replace').length;
/** The filters of every `bulk_pull` of a type. */
const pulls = (type: 'Port' | 'Agent'): Record<string, unknown>[] =>
  neutron.calls
    .filter(({ method, args }) => method === 'bulk_pull' && args['resource_type'] === type)
    .map(({ args }) => args['filter_kwargs'] as Record<string, unknown>);
const reports = (): Record<string, unknown>[] =>
  neutron.calls
    .filter(({ method }) => method === 'report_state')
    .map(({ args }) => (args as { agent_state: { agent_state: Record<string, unknown> } }).agent_state.agent_state);

/** The server process ends and another begins with the same database. */
async function restartNeutron(): Promise<void> {
  const { ports, networks, agents: rows } = neutron;
  await neutron.close();
  neutron = await startNeutronStandIn({ url: rabbit.url });
  for (const [id, port] of ports) neutron.ports.set(id, port);
  for (const [id, one] of networks) neutron.networks.set(id, one);
  for (const [id, row] of rows) neutron.agents.set(id, row);
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
      'bulk_pull', // our own row
      'get_ports_by_vnic_type_and_host',
      'get_ports_by_vnic_type_and_host',
      'bulk_pull',
    ]);
    expect(neutron.calls[1]?.args['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/);
    expect(reports()).toEqual([
      {
        agent_type: 'BGP host route agent',
        binary: 'neutron-bgp-agent',
        host: 'hv1',
        topic: 'N/A',
        start_flag: true,
        resource_versions: { Port: '1.7' },
        configurations: { version: 'test' },
        uuid: expect.any(String) as string,
      },
    ]);
  });

  test('looks up the ports that it held before, wherever they are now', async () => {
    const mine = await boot('198.51.100.10');
    const moved = await boot('198.51.100.11', 'hv2');
    const sink = new RecordingSink();
    sink.stored.add(moved.id).add('00000000-0000-4000-8000-000000000000');
    await startInSync({}, sink);
    expect([...sink.ports].map(([id, port]) => [id, port.bindings[0]?.host])).toEqual([
      [mine.id, 'hv1'],
      [moved.id, 'hv2'],
    ]);
  });

  test('asks for a hundred ports at a time', async () => {
    neutron.muted = true;
    for (let n = 0; n < 250; n += 1) await boot(`198.51.100.${n}`);
    neutron.muted = false;
    const { sink } = await startInSync();
    expect(sink.ports.size).toBe(250);
    expect(pulls('Port')).toHaveLength(3);
  });

  test('creates nothing that others share but the exchange of its pushes, as the server would, and takes its queues with it', async () => {
    const list = async (): Promise<string[]> =>
      [
        ...(await rabbit.ctl('list_exchanges', 'name', 'type', 'durable', 'auto_delete')).split('\n'),
        ...(await rabbit.ctl('list_queues', 'name', 'durable', 'exclusive', 'auto_delete')).split('\n'),
      ].toSorted();
    const before = await list();
    const agent = await startInSync();
    const made = (await list()).filter((line) => !before.includes(line)).map((line) => line.replace(/[0-9a-f]{32}/, 'ID'));
    expect(made).toEqual([
      'bgp-agent.hv1.vo-port.ID\tfalse\ttrue\ttrue',
      'neutron-vo-Port-1.7_fanout\tfanout\tfalse\ttrue',
      'reply_bgp.hv1.ID\tfalse\ttrue\ttrue',
    ]);
    await agent.stop();
    expect(await list()).toEqual(before);
  });

  test('waits for a server, says so, and begins when there is one', async () => {
    await neutron.close();
    const agent = startAgent();
    // The dead server's queues are still there, so the request waits until it expires; a new server serves it.
    await restartNeutron();
    const port = await boot('198.51.100.10');
    await until('the agent to be in sync', () => agent.sink.inSync);
    await until('the port', () => agent.sink.ports.has(port.id));
  });

  test('without a control exchange it says that no server was ever started', async () => {
    const agent = startAgent({ controlExchange: 'neutron-elsewhere' });
    await until('a reason', () => losses(agent).some((reason) => reason.includes('no exchange "neutron-elsewhere"')));
    expect(agent.sink.inSync).toBe(false);
  });

  test('a wrong password is said, without the password', async () => {
    const agent = startAgent({
      broker: {
        ...settingsFor(rabbit.port).broker,
        hosts: [{ host: '127.0.0.1', port: rabbit.port, username: 'guest', password: 's3cret' }],
      },
    });
    await until('two reasons', () => losses(agent).length >= 2);
    expect(losses(agent)[0]).toContain('refused user "guest"');
    expect([...agent.lines, ...losses(agent)].join()).not.toContain('s3cret');
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

  test('a port that was evacuated is told although nothing names this host any more', async () => {
    const port = await boot('198.51.100.22');
    const { sink } = await startInSync();
    await neutron.evacuate(port.id, 'hv2');
    await until('the new host', () => sink.ports.get(port.id)?.bindings[0]?.host === 'hv2' && sink.ports.get(port.id)?.status === 'ACTIVE');
  });

  test('a live migration away, as the old host sees it', async () => {
    const port = await boot('198.51.100.23');
    const { sink } = await startInSync();
    await neutron.liveMigrate(port.id, 'hv2');
    await until('four pushes', () => sink.calls.length === 5);
    expect(
      sink.calls
        .slice(1)
        .map(
          (call) =>
            call.kind === 'upsert' &&
            [call.port.status, ...call.port.bindings.map(({ host, vifType, status }) => `${host}:${vifType}:${status}`)].join(' '),
        ),
    ).toEqual([
      'DOWN hv1:unbound:ACTIVE hv2:ovs:INACTIVE',
      'DOWN hv1:ovs:ACTIVE hv2:ovs:INACTIVE',
      'DOWN hv1:unbound:INACTIVE hv2:ovs:ACTIVE',
      'ACTIVE hv1:unbound:INACTIVE hv2:ovs:ACTIVE',
    ]);
  });

  test('the same message twice counts once, and nonsense changes nothing', async () => {
    const port = await boot('198.51.100.24');
    const { sink, telemetry } = await startInSync();
    const body = neutron.pushBody(portObject(port, '1.7'), 'updated');
    for (const raw of [body, body, body.subarray(0, 2_000), Buffer.from('hv1')]) await neutron.publishRaw(raw);
    await until('all four', () => telemetry.messages('duplicate') === 1 && telemetry.messages('malformed') === 2);
    expect(sink.kinds()).toEqual(['replace', 'upsert']);
  });
});

describe('a deleted push', () => {
  test('is confirmed by a look-up', async () => {
    const port = await boot('198.51.100.30');
    const agent = await startInSync();
    await neutron.deletePort(port.id);
    await until('the removal', () => removals(agent).length === 1);
    expect(removals(agent)).toEqual([`${port.id} deleted`]);
  });

  test('is refuted by a look-up', async () => {
    const port = await boot('198.51.100.31');
    const agent = await startInSync();
    await neutron.pushDeleted(port.id);
    await until('the port again', () => agent.sink.calls.length === 2);
    expect(agent.sink.kinds()).toEqual(['replace', 'upsert']);
  });

  test('that nobody confirms within a second is told as unconfirmed, and as deleted when somebody does', async () => {
    const port = await boot('198.51.100.32');
    const agent = await startInSync({ callTimeoutMs: 1_500 });
    neutron.faults.set('bulk_pull', { kind: 'silence' });
    await neutron.deletePort(port.id);
    await until('the removal', () => removals(agent).length === 1);
    expect(removals(agent)).toEqual([`${port.id} unconfirmed`]);
    neutron.faults.clear();
    await until('the confirmation', () => removals(agent).length === 2);
    expect(removals(agent)[1]).toBe(`${port.id} deleted`);
  });

  test('a late updated push brings the port back only if it is there', async () => {
    const port = await boot('198.51.100.33');
    const agent = await startInSync();
    await neutron.deletePort(port.id);
    await until('the removal', () => removals(agent).length === 1);
    await neutron.push(port);
    await until('another look-up', () => removals(agent).length === 2);
    expect(agent.sink.kinds()).toEqual(['replace', 'remove', 'remove']);
    neutron.ports.set(port.id, port);
    await neutron.push(port);
    await until('the port', () => agent.sink.kinds().at(-1) === 'upsert');
  });
});

describe('snapshots', () => {
  test('repair what no push has told', async () => {
    const agent = await startInSync();
    neutron.muted = true;
    const port = await boot('198.51.100.40');
    agent.source.resync();
    await until('the port', () => agent.sink.ports.has(port.id));
    neutron.ports.delete(port.id);
    agent.source.resync();
    await until('the port to be left out', () => !agent.sink.ports.has(port.id));
    expect(removals(agent)).toEqual([]);
  });

  test('come by themselves', async () => {
    const agent = await startInSync({ resyncIntervalMs: 100 });
    await until('three more', () => snapshots(agent) >= 4);
  });

  test('a port of ours that cannot be read is not absent: the rest is told, and the snapshot is tried again', async () => {
    const [good, bad] = [await boot('198.51.100.41'), await boot('198.51.100.42')];
    const agent = await startInSync();
    neutron.muted = true;
    await neutron.stop(good.id);
    const spoilt = { ...portObject(bad, '1.7'), 'versioned_object.data': { id: bad.id, status: null } };
    neutron.faults.set('bulk_pull', { kind: 'result', result: [portObject(good, '1.7'), spoilt] });
    agent.source.resync();
    await until('the good port', () => agent.sink.ports.get(good.id)?.status === 'DOWN');
    expect(snapshots(agent)).toBe(1);
    expect(agent.sink.ports.has(bad.id)).toBe(true);
    expect(agent.sink.inSync).toBe(true);
    neutron.faults.clear();
    await until('a whole snapshot', () => snapshots(agent) === 2);
    expect(agent.sink.ports.size).toBe(2);
  });

  test.each<[string, Fault]>([
    ['an error', { kind: 'error', remoteClass: 'DBConnectionError', message: 'away' }],
    ['null', { kind: 'result', result: null }],
    ['another type', { kind: 'result', result: { id: 1 } }],
  ])('%s instead of an answer changes nothing, and is asked again', async (_name, fault) => {
    const port = await boot('198.51.100.43');
    const agent = await startInSync();
    for (const method of ['bulk_pull', 'get_ports_by_vnic_type_and_host']) {
      const failures = (): number => agent.lines.filter((line) => line.startsWith('snapshot failed')).length;
      const before = failures();
      neutron.faults.set(method, fault);
      agent.source.resync();
      await until('a failure', () => failures() > before);
      neutron.faults.clear();
      const done = snapshots(agent);
      await until('a snapshot', () => snapshots(agent) > done);
    }
    expect(agent.sink.ports.has(port.id)).toBe(true);
    expect(losses(agent)).toEqual([]);
  });

  test('snapshots that fail for longer than one interval are a loss, although pushes go on', async () => {
    await boot('198.51.100.46');
    const agent = await startInSync({ resyncIntervalMs: 1_000 });
    neutron.faults.set('bulk_pull', { kind: 'error', remoteClass: 'DBConnectionError', message: 'away' });
    await until('the loss', () => losses(agent).length > 0, 20_000);
    neutron.faults.clear();
    const done = snapshots(agent);
    await until('a snapshot', () => snapshots(agent) > done, 40_000);
    expect(agent.sink.inSync).toBe(true);
  });

  test('a move that is pushed while the snapshot is read wins over it', async () => {
    const port = await boot('198.51.100.44', 'hv2');
    const agent = await startInSync();
    neutron.muted = true;
    await neutron.evacuate(port.id, 'hv1');
    neutron.muted = false;
    // The answer is made now and arrives late; meanwhile the port leaves, with pushes that name neither us nor a port of ours.
    const before = pulls('Port').length;
    neutron.faults.set('bulk_pull', { kind: 'delay', ms: 300 });
    agent.source.resync();
    await until('the look-up', () => pulls('Port').length > before);
    await neutron.evacuate(port.id, 'hv3');
    await until('the snapshot', () => snapshots(agent) === 2);
    expect(agent.sink.ports.get(port.id)?.bindings[0]?.host).toBe('hv3');
  });
});

describe('reports', () => {
  test('hold the object version once per registration, and the start flag until the first sync', async () => {
    await startInSync({ reportIntervalMs: 50 });
    await until('four reports', () => reports().length >= 4);
    expect(
      reports()
        .map((report) => ['resource_versions' in report, 'start_flag' in report])
        .slice(0, 4),
    ).toEqual([
      [true, true],
      [false, false],
      [false, false],
      [false, false],
    ]);
  });

  test.each(['new', 'revived'])(
    '%s tells the version again, and takes a snapshot now and once more when every API worker knows us',
    async (answer) => {
      const agent = await startInSync({ reportIntervalMs: 50, secondSnapshotMs: 400 });
      await until('the second snapshot of the first registration', () => snapshots(agent) === 2);
      const before = reports().length;
      neutron.faults.set('report_state', { kind: 'result', result: answer });
      await until('reports', () => reports().length >= before + 2);
      neutron.faults.clear();
      expect(
        reports()
          .slice(before)
          .some((report) => 'resource_versions' in report),
      ).toBe(true);
      const registeredAt = snapshots(agent);
      await until('the second snapshot', () => snapshots(agent) > Math.max(registeredAt, 3));
    },
  );

  test('null is a slow clock, and said', async () => {
    neutron.faults.set('report_state', { kind: 'result', result: null });
    const agent = await startInSync({ reportIntervalMs: 50 });
    await until('three reports', () => reports().length >= 3);
    expect(agent.sink.warnings.get('slow-clock')).toContain('the clock of this host is slow');
    expect(reports().every((report) => 'resource_versions' in report)).toBe(true);
    neutron.faults.clear();
    await until('the end of the warning', () => agent.sink.warnings.size === 0);
  });

  test('that nobody answers make the source lost, and the first answer brings a snapshot', async () => {
    const agent = await startInSync({ reportIntervalMs: 100 });
    neutron.faults.set('report_state', { kind: 'silence' });
    await until('the loss', () => losses(agent).includes('Neutron does not answer our reports'));
    neutron.faults.clear();
    await until('a snapshot', () => agent.sink.inSync);
  });
});

describe('losses', () => {
  test('a broker that restarts: lost, connected again, in sync again', async () => {
    const port = await boot('198.51.100.50');
    const agent = await startInSync();
    await rabbit.stop('SIGKILL');
    await until('the loss', () => !agent.sink.inSync);
    expect(removals(agent)).toEqual([]);
    await rabbit.start();
    await restartNeutron();
    await neutron.stop(port.id);
    await until('the agent to be in sync', () => agent.sink.inSync);
    await until('the new state', () => agent.sink.ports.get(port.id)?.status === 'DOWN');
  });

  test.each(['bgp-agent.hv1.vo-port', 'reply_bgp.hv1'])(
    'a deleted queue %s: lost, and in sync again on the same connection',
    async (prefix) => {
      const agent = await startInSync();
      const queue = (await rabbit.ctl('list_queues', 'name')).split('\n').find((name) => name.startsWith(prefix));
      await rabbit.ctl('delete_queue', queue ?? '');
      await until('another snapshot', () => snapshots(agent) === 2);
      expect(losses(agent)).toHaveLength(1);
      expect(agent.lines.filter((line) => line.startsWith('connected'))).toHaveLength(1);
      const port = await boot('198.51.100.51');
      await until('a push', () => agent.sink.ports.get(port.id)?.status === 'ACTIVE');
    },
  );

  test('a server that restarts loses nothing', async () => {
    const agent = await startInSync({ reportIntervalMs: 200 });
    await restartNeutron();
    const port = await boot('198.51.100.52');
    await until('a push', () => agent.sink.ports.get(port.id)?.status === 'ACTIVE');
    await until('a report', () => reports().length > 0);
  });

  test('stopping takes less than a second, even when the broker hangs', async () => {
    const [agent, hanging] = [await startInSync(), await startInSync({ host: 'hv2' })];
    const stopMs = async ({ stop }: Agent): Promise<number> => {
      const startedMs = performance.now();
      await stop();
      return performance.now() - startedMs;
    };
    expect(await stopMs(agent)).toBeLessThan(1_000);
    rabbit.pause();
    try {
      expect(await stopMs(hanging)).toBeLessThan(1_000);
    } finally {
      rabbit.resume();
    }
  });
});

describe('restraint', () => {
  test('no call but those of a reader, in a life with everything in it', async () => {
    const port = await boot('198.51.100.60');
    const agent = await startInSync({ reportIntervalMs: 50, resyncIntervalMs: 200 });
    await neutron.liveMigrate(port.id, 'hv2');
    await neutron.evacuate(port.id, 'hv1');
    await neutron.deletePort(port.id);
    await until('the removal', () => removals(agent).length > 0);
    await until('more snapshots', () => snapshots(agent) > 3);
    const methods = new Set(neutron.calls.map(({ method }) => method));
    expect([...methods].toSorted()).toEqual(['bulk_pull', 'get_ports_by_vnic_type_and_host', 'has_alive_neutron_server', 'report_state']);
    expect(pulls('Port').every(({ id }) => (id as string[]).length > 0)).toBe(true);
    expect(new Set(pulls('Agent').map((filter) => JSON.stringify(filter)))).toEqual(
      new Set([JSON.stringify({ host: ['hv1'], agent_type: ['BGP host route agent'] })]),
    );
  });

  test("an API caller's token is nowhere in what is logged or told", async () => {
    const agent = await startInSync();
    const port = await boot('198.51.100.61');
    await neutron.publishRaw(neutron.pushBody({ ...portObject(port, '1.7'), 'versioned_object.data': { id: 1, host: 'hv1' } }, 'updated'));
    await neutron.publishRaw(Buffer.from('{"oslo.version": "2.0", "oslo.message": "{\\"_context_auth_token\\": \\"gAAAAA-canary\\" hv1"}'));
    await until('both', () => agent.telemetry.messages('malformed') === 2);
    expect(JSON.stringify([agent.lines, agent.sink.calls, agent.telemetry.events])).not.toContain('canary');
  });
});
