/** The whole agent on a RabbitMQ that allows it little, or nothing for a while. */
import { readFileSync } from 'node:fs';
import { type Channel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RecordingSink } from '../fakes/recording-sink.ts';
import { Lab, until } from '../lab/lab.ts';
import { type LabSource, type LabSourceOptions, startSource } from '../lab/neutron-agent.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const EXCHANGE = 'neutron-vo-Port-1.7_fanout';
const USER = { name: 'neutron-bgp-agent', password: 'lab' };

const lab = new Lab('neutron-bus');
let rabbit: RabbitNode;
let neutron: NeutronStandIn;
const agents: LabSource[] = [];

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  await rabbit.ctl('add_user', USER.name, USER.password);
});
afterAll(() => lab.close());
beforeEach(async () => {
  neutron = await startNeutronStandIn({ url: rabbit.url });
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  await neutron.close();
});

function start(options: Omit<LabSourceOptions, 'port'> = {}): LabSource {
  const agent = startSource({ port: rabbit.port, ...options }, new RecordingSink());
  agents.push(agent);
  return agent;
}

const losses = ({ sink }: LabSource): string => sink.calls.flatMap((call) => (call.kind === 'lost' ? [call.reason] : [])).join('\n');

describe('a RabbitMQ user with the rights of docs/neutron.md', () => {
  const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  const patternsIn = (text: string, command: string): readonly string[] => {
    const [line = ''] = text
      .slice(text.indexOf(`rabbitmqctl ${command} `))
      .replaceAll('\\\n', '')
      .split('\n');
    return [...line.matchAll(/'([^']*)'/g)].map((match) => match[1] ?? '');
  };
  /** Configure, write and read, as the documentation has them. */
  const documented = patternsIn(read('docs/neutron.md'), 'set_permissions');
  const topics = patternsIn(read('docs/neutron.md'), 'set_topic_permissions');

  async function permit(permissions: readonly string[]): Promise<void> {
    await rabbit.ctl('set_permissions', '-p', '/', USER.name, ...permissions);
    await rabbit.ctl('set_topic_permissions', '-p', '/', USER.name, 'neutron', ...topics);
  }

  beforeAll(async () => {
    expect([documented.length, topics.length]).toEqual([3, 2]);
    expect(patternsIn(read('README.md'), 'set_permissions')).toEqual(documented);
    expect(patternsIn(read('README.md'), 'set_topic_permissions')).toEqual(topics);
    await permit(documented);
  });

  test('is enough: the exchange is made, and a boot and a deletion arrive', async () => {
    const { sink } = start({ user: USER });
    await until('the agent to be in sync', () => sink.inSync);
    expect(await rabbit.ctl('list_exchanges', 'name', 'durable')).toContain(`${EXCHANGE}\tfalse`);
    const network = neutron.createNetwork();
    const { id } = await neutron.bootPort({ host: 'hv1', networkId: network.id, fixedIps: ['198.51.100.7'] });
    await until('the port', () => sink.ports.get(id)?.status === 'ACTIVE');
    await neutron.deletePort(id);
    await until('its deletion', () => sink.calls.some((call) => call.kind === 'remove' && call.portId === id));
  });

  test('is enough for no more than that', async () => {
    const connection = await connect(rabbit.url.replace('guest:guest', `${USER.name}:${USER.password}`));
    connection.on('error', () => undefined);
    const refused = async (work: (channel: Channel) => Promise<unknown>): Promise<unknown> => {
      const channel = await connection.createChannel();
      const closed = new Promise<unknown>((resolve) => channel.on('error', resolve));
      return Promise.race([work(channel).catch((error: unknown) => error), closed]);
    };
    const isRefusal = expect.objectContaining({ code: 403 }) as object;
    expect(await refused((channel) => channel.consume('q-plugin', () => undefined))).toEqual(isRefusal);
    expect(await refused((channel) => channel.assertQueue('q-l3-plugin', { durable: false }))).toEqual(isRefusal);
    expect(await refused((channel) => channel.assertExchange('neutron', 'topic', { durable: false }))).toEqual(isRefusal);
    expect(await refused((channel) => channel.deleteExchange('neutron'))).toEqual(isRefusal);
    // The answer to a publish is the end of its channel.
    const published = (exchange: string, key: string): Promise<unknown> =>
      refused(async (channel) => {
        channel.publish(exchange, key, Buffer.from('x'));
        return new Promise(() => undefined);
      });
    expect(await published('neutron', 'q-l3-plugin')).toEqual(isRefusal);
    expect(await published(EXCHANGE, '')).toEqual(isRefusal);
    await connection.close();
  });

  test('without the right to ask how servers declare, says so; fanoutDurable makes up for it', async () => {
    await rabbit.ctl('eval', `rabbit_exchange:delete(rabbit_misc:r(<<"/">>, exchange, <<"${EXCHANGE}">>), false, <<"test">>).`);
    await permit(documented.map((pattern) => pattern.replace(/\|q-.*?_fanout\$/, '')));
    const refused = start({ user: USER });
    await until('the refusal', () => losses(refused).includes('q-plugin_fanout'));
    expect(losses(refused)).toContain('the permissions of the RabbitMQ user do not allow it');
    await refused.stop();
    const told = start({ user: USER, settings: { fanout: { durable: false } } });
    await until('the agent to be in sync', () => told.sink.inSync);
    await permit(documented);
  });
});

test('while RabbitMQ takes no messages the source is not in sync; afterwards it takes a snapshot', async () => {
  const agent = start({ settings: { reportIntervalMs: 500 } });
  await until('the agent to be in sync', () => agent.sink.inSync);
  try {
    await rabbit.ctl('set_vm_memory_high_watermark', '0.0001');
    await until('the loss to be told', () => losses(agent).includes('RabbitMQ takes no messages: low on memory'));
    const snapshots = agent.sink.calls.length;
    await rabbit.ctl('set_vm_memory_high_watermark', '0.4');
    await until('a snapshot', () => agent.sink.inSync && agent.sink.calls.length > snapshots);
  } finally {
    await rabbit.ctl('set_vm_memory_high_watermark', '0.4');
  }
});
