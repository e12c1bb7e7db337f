/** The process that drains its queue: the Neutron source as the daemon runs it, or a bare amqplib consumer. */
import { connect } from 'amqplib';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { BROKER_DEFAULTS, NEUTRON_DEFAULTS, NeutronSource } from '../../src/neutron/neutron-source.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { fanOut, telemetryLog } from '../../src/ops/telemetry-log.ts';
import { RecordingSink } from '../fakes/recording-sink.ts';
import { until } from '../lab/lab.ts';
import { monotonicMs, serve, workerSettings } from './worker.ts';

export type BusConsumerSettings = {
  readonly kind: 'bare' | 'agent';
  readonly port: number;
  /** How many a round has. */
  readonly messages: number;
};

const { kind, port, messages } = workerSettings() as BusConsumerSettings;
let seen = 0;
let lastMs = 0;
const count = (): void => {
  seen += 1;
  if (seen === messages) lastMs = monotonicMs();
};

await (kind === 'bare' ? consumeBare() : consumeAsAgent());
serve({
  cpu: async () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  drained: async () => {
    await until(`${messages} messages`, () => seen === messages, 60_000);
    seen = 0;
    return lastMs;
  },
});

async function consumeBare(): Promise<void> {
  const channel = await (await connect(`amqp://guest:guest@127.0.0.1:${port}/`)).createChannel();
  await channel.assertExchange('bare_fanout', 'fanout', { durable: false, autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true, durable: false, autoDelete: true });
  await channel.bindQueue(queue, 'bare_fanout', '');
  await channel.consume(queue, count, { noAck: true });
}

async function consumeAsAgent(): Promise<void> {
  const metrics = createMetrics({
    version: 'bench',
    sources: ['neutron'],
    snapshot: () => {
      throw new Error('nobody asks for metrics');
    },
  });
  const sink = new RecordingSink();
  const source = new NeutronSource(
    {
      ...NEUTRON_DEFAULTS,
      host: 'hv1',
      vnicTypes: ['normal'],
      broker: {
        ...BROKER_DEFAULTS,
        hosts: [{ host: '127.0.0.1', port, username: 'guest', password: 'guest' }],
        virtualHost: '/',
        connectionName: 'bench',
      },
    },
    {
      clock: systemClock,
      log: silentLog,
      telemetry: fanOut(metrics.telemetry, telemetryLog(silentLog, systemClock), {
        count: (event) => event.kind === 'bus-message' && count(),
        observe: () => {},
      }),
      configurations: () => ({}),
      hangsOnNetwork: () => false,
    },
  );
  void source.run(sink, new AbortController().signal);
  await until('the agent to be in sync', () => sink.inSync);
}
