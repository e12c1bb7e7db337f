/**
 * Our stand-in for Neutron against what real Neutron servers were recorded to send: for the same event, the same AMQP
 * properties, envelope, context and fields, with the same types at every level. Values differ, shapes do not.
 */
import { randomUUID } from 'node:crypto';
import { type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { innerOf, readRecording, type RECORDINGS, type Recorded } from '../fixtures/recordings.ts';
import { Lab, until } from '../lab/lab.ts';
import type { LabPort } from '../lab/neutron-objects.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { startRabbit } from '../lab/rabbitmq.ts';

const lab = new Lab('stand-in');
let url: string;
let connection: ChannelModel;

beforeAll(async () => {
  ({ url } = await startRabbit(lab));
  connection = await connect(url);
});
afterAll(async () => {
  await connection.close();
  await lab.close();
});

/** The types of a value at every level. A list is the set of its elements' shapes; text that holds a JSON object counts as what it holds. */
function shapeOf(value: unknown): unknown {
  if (value === null) return 'null';
  if (Array.isArray(value)) return { list: [...new Set(value.map((element) => JSON.stringify(shapeOf(element))))].toSorted() };
  if (typeof value === 'object')
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, element]) => [key, shapeOf(element)]),
    );
  if (typeof value === 'string' && value.startsWith('{')) return { text: shapeOf(JSON.parse(value)) };
  return typeof value;
}

type Message = { readonly properties: Readonly<Record<string, unknown>>; readonly body: string };

function shapeOfMessage({ properties, body }: Message): unknown {
  return { properties, outer: shapeOf(JSON.parse(body)), inner: shapeOf(innerOf(body)) };
}

/** amqplib's names for AMQP properties, back to the protocol's. */
function received(message: ConsumeMessage): Message {
  const entries = Object.entries(message.properties).filter(([, value]) => value !== undefined);
  const properties = Object.fromEntries(
    entries.map(([key, value]) => [key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
  return { properties, body: message.content.toString() };
}

const recordedPushes = (name: (typeof RECORDINGS)[number], mark: string): readonly Recorded[] =>
  readRecording(name).filter((message) => message.mark === mark && message.exchange.startsWith('neutron-vo-Port-'));

/** Steps in the order of a recording's marks; each does on the stand-in what was done on the real server. */
type Steps = readonly (readonly [mark: string, step: (neutron: NeutronStandIn, port: LabPort) => void | Promise<void>])[];

async function play(version: string, steps: Steps): Promise<Map<string, Message[]>> {
  const neutron = await startNeutronStandIn({ url, portVersions: [version] });
  const channel = await connection.createChannel();
  const exchange = `neutron-vo-Port-${version}_fanout`;
  await channel.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
  await channel.bindQueue(queue, exchange, '');
  const pushes: Message[] = [];
  await channel.consume(queue, (message) => void (message && pushes.push(received(message))), { noAck: true });
  const network = neutron.createNetwork();
  const port = await neutron.createPort({ networkId: network.id, fixedIps: ['198.51.100.26', '2001:db8:100::344'] });
  await until('the first push', () => pushes.length === 1);
  const told = new Map([['created', pushes.splice(0)]]);
  for (const [mark, step] of steps) {
    await step(neutron, port);
    // Pushes are confirmed, so one more that is told apart shows that those before it have arrived.
    await neutron.publishRaw('fence');
    await until(`the pushes of ${mark}`, () => pushes.at(-1)?.body === 'fence');
    told.set(mark, pushes.splice(0).slice(0, -1));
  }
  await channel.close();
  await neutron.close();
  return told;
}

const id = (port: LabPort): string => port.id;

const ZED_LIFE: Steps = [
  ['boot_bind_to_hv1', (neutron, port) => neutron.bind(id(port), 'hv1')],
  ['boot_agent_wires_update_device_up', (neutron, port) => neutron.start(id(port))],
  ['instance_stop_update_device_down', (neutron, port) => neutron.stop(id(port))],
  ['instance_start_update_device_up', (neutron, port) => neutron.start(id(port))],
  ['admin_down', (neutron, port) => neutron.setAdminState(id(port), false)],
  ['admin_up', (neutron, port) => neutron.setAdminState(id(port), true)],
  ['allowed_address_pair_add', (neutron, port) => neutron.setAllowedAddressPairs(id(port), ['198.51.100.77'])],
  ['fixed_ip_change', (neutron, port) => neutron.changeFixedIps(id(port), ['198.51.100.250'])],
  ['migration_pre_create_inactive_binding_hv2', (neutron, port) => neutron.addInactiveBinding(id(port), 'hv2')],
  ['migration_activate_hv2', (neutron, port) => neutron.activateBinding(id(port), 'hv2')],
  ['migration_dest_update_device_up', (neutron, port) => neutron.start(id(port))],
  ['migration_post_delete_source_binding_hv1', (neutron, port) => neutron.deleteBinding(id(port), 'hv1')],
  ['evacuate_rebind_hv1', (neutron, port) => neutron.bind(id(port), 'hv1')],
  ['evacuate_up', (neutron, port) => neutron.start(id(port))],
  ['unbind', (neutron, port) => neutron.unbind(id(port))],
  ['rebind', (neutron, port) => neutron.bind(id(port), 'hv1')],
  ['bind_to_unknown_host_binding_failed', (neutron, port) => neutron.bind(id(port), 'hv-unknown', { fails: true })],
  ['delete_port', (neutron, port) => neutron.deletePort(id(port))],
];

const LIVE_MIGRATION: Steps = [
  ['boot_bound_hv1', (neutron, port) => neutron.bind(id(port), 'hv1')],
  ['agent_up_hv1', (neutron, port) => neutron.start(id(port))],
  ['lm_inactive_binding_hv2', (neutron, port) => neutron.addInactiveBinding(id(port), 'hv2')],
  ['lm_migrating_to_hv2', (neutron, port) => neutron.setMigratingTo(id(port), 'hv2')],
  ['lm_activate_hv2', (neutron, port) => neutron.activateBinding(id(port), 'hv2')],
  ['lm_dest_agent_up', (neutron, port) => neutron.start(id(port))],
  ['lm_delete_source_binding', (neutron, port) => neutron.deleteBinding(id(port), 'hv1')],
  ['lm2_inactive_binding_hv1', (neutron, port) => neutron.addInactiveBinding(id(port), 'hv1')],
  ['lm2_migrating_to_hv1', (neutron, port) => neutron.setMigratingTo(id(port), 'hv1')],
  ['lm2_rollback_clear_profile', (neutron, port) => neutron.setMigratingTo(id(port), undefined)],
  ['lm2_rollback_delete_inactive', (neutron, port) => neutron.deleteBinding(id(port), 'hv1')],
  ['lm2_agent_up', (neutron, port) => neutron.start(id(port))],
];

describe.each([
  ['neutron-21-zed-pushes', '1.7', ZED_LIFE],
  ['neutron-26-2025.1-live-migration', '1.10', LIVE_MIGRATION],
] as const)('the life recorded in %s', (recording, version, steps) => {
  let told: Map<string, Message[]>;
  beforeAll(async () => {
    told = await play(version, steps);
  });
  test.each(steps.map(([mark]) => mark))('%s', (mark) => {
    expect(told.get(mark)?.map(shapeOfMessage)).toEqual(recordedPushes(recording, mark).map(shapeOfMessage));
  });
});

describe('answers', () => {
  const recordedReply = (name: (typeof RECORDINGS)[number], mark: string): Recorded | undefined =>
    readRecording(name).find((message) => message.mark === mark && message.exchange === '');

  async function ask(method: string, args: object, prepare: (neutron: NeutronStandIn) => Promise<void>): Promise<Message> {
    const neutron = await startNeutronStandIn({ url });
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
    const replies: Message[] = [];
    await channel.consume(queue, (message) => void (message && replies.push(received(message))), { noAck: true });
    await prepare(neutron);
    const topic = method === 'report_state' ? 'q-reports-plugin' : 'q-plugin';
    const inner = { method, args, version: '1.1', _msg_id: randomUUID(), _reply_q: queue, _timeout: null, _unique_id: randomUUID() };
    channel.publish('neutron', topic, Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(inner) })));
    const reply = await until('a reply', () => replies[0]);
    await channel.close();
    await neutron.close();
    return reply;
  }

  const ID = '00000000-0000-4000-8000-000000000001';
  const report = (host: string, more: object): object => ({
    agent_state: { agent_state: { agent_type: 'X', binary: 'x', topic: 'N/A', host, ...more } },
    time: '2026-01-15T10:00:00.000',
  });
  const bootOnHv1 = async (neutron: NeutronStandIn): Promise<void> => {
    const network = neutron.createNetwork({ external: false });
    const port = await neutron.bootPort({ host: 'hv1', networkId: network.id, fixedIps: ['10.0.0.39'] });
    neutron.ports.set(ID, { ...port, id: ID });
    neutron.ports.delete(port.id);
  };
  const registerTwo = async (neutron: NeutronStandIn): Promise<void> => {
    for (const [agentType, resourceVersions] of [
      ['a', { Port: '1.7' }],
      ['b', undefined],
    ] as const)
      neutron.agents.set(agentType, {
        id: randomUUID(),
        agentType,
        binary: 'x',
        topic: 'N/A',
        host: 'hv1',
        adminStateUp: true,
        startedAt: '2026-01-15T10:00:00Z',
        createdAt: '2026-01-15T10:00:00Z',
        heartbeatTimestamp: '2026-01-15T10:00:00Z',
        configurations: {},
        resourceVersions,
      });
  };

  test.each<[(typeof RECORDINGS)[number], string, string, object, (neutron: NeutronStandIn) => Promise<void>]>([
    [
      'neutron-26-2025.1-rpc',
      'rpc_get_ports_by_vnic_type_and_host',
      'get_ports_by_vnic_type_and_host',
      { vnic_type: 'normal', host: 'hv1' },
      bootOnHv1,
    ],
    [
      'neutron-26-2025.1-rpc',
      'rpc_bulk_pull_port_by_id',
      'bulk_pull',
      { resource_type: 'Port', version: '1.10', filter_kwargs: { id: [ID] } },
      bootOnHv1,
    ],
    [
      'neutron-26-2025.1-rpc',
      'rpc_bulk_pull_port_no_match',
      'bulk_pull',
      { resource_type: 'Port', version: '1.10', filter_kwargs: { id: ['x'] } },
      bootOnHv1,
    ],
    [
      'neutron-26-2025.1-rpc',
      'rpc_bulk_pull_illegal_filter_InvalidInput',
      'bulk_pull',
      { resource_type: 'Port', version: '1.10', filter_kwargs: { host: 'hv1' } },
      bootOnHv1,
    ],
    [
      'neutron-26-2025.1-rpc',
      'rpc_bulk_pull_agent',
      'bulk_pull',
      { resource_type: 'Agent', version: '1.1', filter_kwargs: { host: ['hv1'] } },
      registerTwo,
    ],
    ['neutron-21-zed-pushes', '', 'report_state', report('hv1', {}), async () => undefined],
  ])('%s %s: %s', async (recording, mark, method, args, prepare) => {
    const recorded = recordedReply(recording, mark);
    if (recorded === undefined) throw new Error('the recording has no such reply');
    const spoken = await ask(method, args, prepare);
    expect(shapeOfMessage(withoutConfigurations(spoken))).toEqual(shapeOfMessage(withoutConfigurations(recorded)));
  });

  /** What an agent reports of itself is not the server's doing. */
  function withoutConfigurations({ properties, body }: Message): Message {
    const inner = JSON.stringify(innerOf(body), (key, value: unknown) => (key === 'configurations' ? '{}' : value));
    return { properties, body: JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': inner }) };
  }
});
