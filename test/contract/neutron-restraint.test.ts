/**
 * Everything that our agent publishes in a whole life, as the broker itself records it (rabbitmqctl trace_on): reading calls and
 * reports, to the two queues that serve them, and nothing else. Other calls that agents make change the state of ports.
 */
import { type Channel, connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Lab, until } from '../lab/lab.ts';
import { type LabSource, startSourceInSync } from '../lab/neutron-agent.ts';
import { unwrap } from '../lab/neutron-rpc.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

/** A user of its own tells our messages from the server's. */
const USER = { name: 'bgp-agent', password: 'for-the-lab' };

type Published = {
  readonly exchange: string;
  readonly key: string;
  readonly inner: { readonly method?: string; readonly args?: Record<string, unknown> };
};

const lab = new Lab('neutron-restraint');
const published: Published[] = [];
let rabbit: RabbitNode;
let neutron: NeutronStandIn;
let agent: LabSource;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  await rabbit.ctl('add_user', USER.name, USER.password);
  await rabbit.ctl('set_permissions', USER.name, '.*', '.*', '.*');
  await rabbit.ctl('trace_on');
  const connection = await connect(rabbit.url);
  lab.onClose(() => connection.close());
  await record(await connection.createChannel());
  neutron = await startNeutronStandIn({ url: rabbit.url });
  lab.onClose(() => neutron.close());
});
afterAll(async () => {
  await agent?.stop();
  await lab.close();
});

async function record(channel: Channel): Promise<void> {
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'amq.rabbitmq.trace', 'publish.#');
  await channel.consume(
    queue,
    (message) => {
      const headers = message?.properties.headers ?? {};
      if (message === null || headers['user'] !== USER.name) return;
      const keys = headers['routing_keys'] as readonly string[];
      published.push({ exchange: String(headers['exchange_name']), key: keys.join(), inner: unwrap(message) as Published['inner'] });
    },
    { noAck: true },
  );
}

test('a whole life: start, pushes, deletions, snapshots, errors, timeouts, disabled, another server, a lost queue', async () => {
  const network = neutron.createNetwork();
  const boot = (address: string) => neutron.bootPort({ host: 'hv1', networkId: network.id, fixedIps: [address] });
  const [a, b] = [await boot('198.51.100.1'), await boot('198.51.100.2')];
  agent = await startSourceInSync({
    port: rabbit.port,
    user: USER,
    settings: { reportIntervalMs: 100, resyncIntervalMs: 300, secondSnapshotMs: 200, callTimeoutMs: 300, portVersion: 'ovs-agent' },
    options: { hangsOnNetwork: () => true },
  });
  const { sink } = agent;
  const snapshots = (): number => sink.calls.filter(({ kind }) => kind === 'replace').length;
  const another = async (): Promise<unknown> => {
    const before = snapshots();
    return until('another snapshot', () => snapshots() > before);
  };
  await neutron.liveMigrate(a.id, 'hv2');
  await neutron.evacuate(a.id, 'hv1');
  await neutron.setAdminState(b.id, false);
  await neutron.unbind(b.id);
  await neutron.pushDeleted(a.id);
  await neutron.deletePort(b.id);
  await neutron.push(b);
  await until('the removal', () => sink.calls.some(({ kind }) => kind === 'remove'));
  for (const method of ['bulk_pull', 'get_network_details', 'get_ports_by_vnic_type_and_host', 'report_state']) {
    for (const remoteClass of ['NoSuchMethod', 'DBError', 'InvalidTargetVersion'])
      await withFault(method, { kind: 'error', remoteClass, message: 'x' });
    await withFault(method, { kind: 'silence' });
    await withFault(method, { kind: 'result', result: null });
  }
  await another();
  for (const row of neutron.agents.values()) row.adminStateUp = false;
  await until('the warning', () => sink.warnings.has('agent-disabled'));
  neutron.agents.clear();
  await another();
  const queue = (await rabbit.ctl('list_queues', 'name')).split('\n').find((name) => name.startsWith('bgp-agent.hv1'));
  await rabbit.ctl('delete_queue', queue ?? '');
  await another();
  agent.source.resync();
  await another();
  await agent.stop();

  const allowed: Record<string, string> = {
    has_alive_neutron_server: 'q-reports-plugin',
    report_state: 'q-reports-plugin',
    bulk_pull: 'q-plugin',
    get_ports_by_vnic_type_and_host: 'q-plugin',
    get_network_details: 'q-plugin',
  };
  expect(new Set(published.map(({ inner }) => inner.method))).toEqual(new Set(Object.keys(allowed)));
  for (const { exchange, key, inner } of published) expect([exchange, key]).toEqual(['neutron', allowed[inner.method ?? '']]);
  // Without a filter by id the server would answer with every port of the cloud; of agents only those of this host are asked for.
  for (const { inner } of published.filter((one) => one.inner.method === 'bulk_pull')) {
    const { resource_type: type, filter_kwargs: filter } = inner.args as { resource_type: string; filter_kwargs: Record<string, string[]> };
    if (type === 'Agent') expect(filter['host']).toEqual(['hv1']);
    else expect([type, Object.keys(filter), (filter['id'] ?? []).length > 0]).toEqual(['Port', ['id'], true]);
  }
});

/** Lets the agent meet an answer of this kind at least once. */
async function withFault(method: string, fault: Parameters<NeutronStandIn['faults']['set']>[1]): Promise<void> {
  const asked = (): number => neutron.calls.filter((call) => call.method === method).length;
  const before = asked();
  neutron.faults.set(method, fault);
  agent.source.resync();
  // Only a network that is not known yet is asked for.
  if (method === 'get_network_details') {
    const { id } = await neutron.bootPort({ host: 'hv1', networkId: neutron.createNetwork().id, fixedIps: ['198.51.100.9'] });
    await until(`${method} to be asked`, () => asked() > before, 30_000);
    neutron.ports.delete(id);
  } else await until(`${method} to be asked`, () => asked() > before, 30_000);
  neutron.faults.delete(method);
}
