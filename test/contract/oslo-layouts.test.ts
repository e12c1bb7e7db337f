/**
 * Every layout that oslo.messaging's options make, with its server's side declared as oslo declares it by a plain AMQP
 * client: what our agent adds to the broker, and that afterwards servers and agents of that layout can still declare and
 * publish. A fanout exchange that an agent made wrongly would silently end all pushes of the cloud.
 */
import { writeFileSync } from 'node:fs';
import { type Channel, type ChannelModel, connect, type ConsumeMessage } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { type BrokerConnection, openConnection } from '../../src/oslo/connection.ts';
import { exchangeExists, subscribeFanout } from '../../src/oslo/fanout.ts';
import { openRpcClient } from '../../src/oslo/rpc-client.ts';
import { BUS_LAYOUTS, type BusLayout } from '../lab/bus-layouts.ts';
import { Lab, until } from '../lab/lab.ts';
import { unwrap } from '../lab/neutron-rpc.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const TOPIC = 'neutron-vo-Port-1.7';
const SERVER_TOPICS = ['q-plugin', 'q-reports-plugin', 'q-server-resource-versions'];

const lab = new Lab('layouts');
let rabbit: RabbitNode;

/** A vhost of its own for each layout, twice: with and without an agent of the layout that was there before ours. */
const places = BUS_LAYOUTS.flatMap((layout) => [
  { layout, vhost: layout.name, isFirst: true },
  { layout, vhost: `${layout.name} after another agent`, isFirst: false },
]);

type Found = { readonly exchanges: readonly string[]; readonly queues: readonly string[] };
type Parties = { readonly server: Channel; readonly ours: BrokerConnection; readonly casts: object[]; readonly answer: unknown };

const models: ChannelModel[] = [];
const parties = new Map<string, Parties>();
let before: Readonly<Record<string, Found>>;
let after: Readonly<Record<string, Found>>;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  const definitions = lab.path('vhosts.json');
  const permission = { user: 'guest', configure: '.*', write: '.*', read: '.*' };
  writeFileSync(
    definitions,
    JSON.stringify({
      vhosts: places.map(({ vhost }) => ({ name: vhost })),
      permissions: places.map(({ vhost }) => ({ ...permission, vhost })),
    }),
  );
  await rabbit.ctl('import_definitions', definitions);
  const servers = new Map<string, Channel>();
  for (const { layout, vhost, isFirst } of places) {
    const server = await channelIn(vhost);
    await listenAsServer(server, layout);
    if (!isFirst) await listen(server, layout, TOPIC, () => undefined);
    servers.set(vhost, server);
  }
  before = await everything();
  for (const { vhost } of places) parties.set(vhost, await joinAsOurs(vhost, servers.get(vhost) as Channel));
  after = await everything();
}, 120_000);

afterAll(async () => {
  for (const { ours } of parties.values()) await ours.close();
  for (const model of models) await model.close();
  await lab.close();
});

async function channelIn(vhost: string): Promise<Channel> {
  const model = await connect(`${rabbit.url}${encodeURIComponent(vhost)}`);
  model.on('error', () => undefined);
  models.push(model);
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  return channel;
}

/** What an RPC server of oslo declares for each of its topics. */
async function listenAsServer(channel: Channel, layout: BusLayout): Promise<void> {
  await channel.assertExchange('neutron', 'topic', layout.control);
  for (const topic of SERVER_TOPICS) {
    await channel.assertQueue(topic, layout.topicQueue);
    await channel.bindQueue(topic, 'neutron', topic);
    await consume(channel, layout, topic, (message) => {
      const { _reply_q: replyQueue, _msg_id: id } = unwrap(message) as Record<string, string>;
      const reply = {
        'oslo.version': '2.0',
        'oslo.message': JSON.stringify({ _msg_id: id, result: layout.name, failure: null, ending: true }),
      };
      channel.publish('', replyQueue ?? '', Buffer.from(JSON.stringify(reply)));
    });
    await listen(channel, layout, topic, () => undefined);
  }
}

/** How any of oslo's listeners, server or agent, joins a fanout. */
async function listen(channel: Channel, layout: BusLayout, topic: string, onMessage: (message: ConsumeMessage) => void): Promise<void> {
  await channel.assertExchange(`${topic}_fanout`, 'fanout', { durable: layout.fanoutDurable, autoDelete: true });
  const { name, options } = layout.fanoutQueue(topic);
  await channel.assertQueue(name, options);
  await channel.bindQueue(name, `${topic}_fanout`, topic);
  await consume(channel, layout, name, onMessage);
}

async function consume(channel: Channel, layout: BusLayout, queue: string, onMessage: (message: ConsumeMessage) => void): Promise<void> {
  if (layout.prefetch > 0) await channel.prefetch(layout.prefetch);
  // A stream's argument is none of a quorum queue's.
  const isStream = queue.endsWith('_fanout');
  const { arguments: given } = layout.consume;
  const options = layout.prefetch > 0 && !isStream ? {} : { arguments: given };
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      channel.ack(message);
      onMessage(message);
    },
    options,
  );
}

/** As oslo sends a fanout: the exchange is declared before each. */
async function pushAsServer(channel: Channel, layout: BusLayout): Promise<void> {
  await channel.assertExchange(`${TOPIC}_fanout`, 'fanout', { durable: layout.fanoutDurable, autoDelete: true });
  const inner = { method: 'push', version: '1.1', args: { n: 1 }, _unique_id: layout.name };
  channel.publish(`${TOPIC}_fanout`, '', Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(inner) })));
}

async function joinAsOurs(vhost: string, server: Channel): Promise<Parties> {
  const host = { host: '127.0.0.1', port: rabbit.port, username: 'guest', password: 'guest' };
  const settings = { hosts: [host], virtualHost: vhost, heartbeatSeconds: 15, connectTimeoutMs: 5_000, connectionName: vhost };
  const ours = await openConnection(settings, host, silentLog);
  expect(await exchangeExists(ours, 'neutron')).toBe(true);
  const client = await openRpcClient(ours, { queuePrefix: 'reply_bgp.hv1', clock: systemClock });
  const request = { exchange: 'neutron', topic: 'q-plugin', method: 'm', version: '1.0', args: {}, timeoutMs: 10_000 };
  const answer = await client.call(request, new AbortController().signal);
  const casts: object[] = [];
  await subscribeFanout(ours, {
    topic: TOPIC,
    queuePrefix: 'bgp-agent.hv1.vo-port',
    serverTopics: ['q-plugin', 'q-server-resource-versions'],
    wants: () => true,
    onCast: (cast) => casts.push(cast),
    onDropped: () => undefined,
  });
  return { server, ours, casts, answer };
}

/** Exchanges and queues of all vhosts with their properties, in one question: rabbitmqctl takes its time. */
async function everything(): Promise<Readonly<Record<string, Found>>> {
  const program = `
    Text = fun(Fields) -> iolist_to_binary(lists:join(<<" ">>, [io_lib:format(case is_binary(F) of true -> "~s"; _ -> "~0p" end, [F]) || F <- Fields])) end,
    Row = fun(Info) -> Text([case V of {resource, _, _, Name} -> Name; _ -> V end || {_, V} <- Info]) end,
    io:put_chars(rabbit_json:encode(maps:from_list([{V, #{
      exchanges => [Row(I) || I <- rabbit_exchange:info_all(V, [name, type, durable, auto_delete, internal, arguments])],
      queues => [Row(I) || I <- rabbit_amqqueue:info_all(V, [name, durable, auto_delete, exclusive, arguments])]
    }} || V <- rabbit_vhost:list_names()]))).`;
  const found = JSON.parse((await rabbit.ctl('eval', program)).replace(/ok\s*$/, '')) as Record<string, Found>;
  return Object.fromEntries(
    Object.entries(found).map(([vhost, { exchanges, queues }]) => [
      vhost,
      { exchanges: exchanges.filter((row) => !/^(amq\.| direct)/.test(row)).toSorted(), queues: queues.toSorted() },
    ]),
  );
}

describe.each(places)('$vhost', ({ layout, vhost, isFirst }) => {
  const theirs = (): Parties => parties.get(vhost) as Parties;
  const added = (what: keyof Found): readonly string[] =>
    (after[vhost]?.[what] ?? []).filter((row) => !before[vhost]?.[what].includes(row));

  test('our agent adds two private queues, and of exchanges only the one that is missing, as the servers make it', () => {
    expect(before[vhost]?.exchanges).toHaveLength(isFirst ? 4 : 5);
    expect(added('exchanges')).toEqual(isFirst ? [`${TOPIC}_fanout fanout ${layout.fanoutDurable} true false []`] : []);
    expect((before[vhost]?.exchanges ?? []).filter((row) => !after[vhost]?.exchanges.includes(row))).toEqual([]);
    expect(added('queues').map((row) => row.replace(/\w{32}/, 'ID').replace(/\[.*/, ''))).toEqual([
      'bgp-agent.hv1.vo-port.ID false true true ',
      'reply_bgp.hv1.ID false true true ',
    ]);
    expect((before[vhost]?.queues ?? []).filter((row) => !after[vhost]?.queues.includes(row))).toEqual([]);
  });

  test('calls are answered', () => {
    expect(theirs().answer).toBe(layout.name);
  });

  test("another agent of the layout is not refused, and a server's push reaches both", async () => {
    const { server, casts } = theirs();
    const others: unknown[] = [];
    await listen(server, layout, TOPIC, (message) => others.push(unwrap(message)));
    await pushAsServer(server, layout);
    await until('the push at ours', () => casts.length === 1);
    await until('the push at the other', () => others.length >= 1);
  });
});
