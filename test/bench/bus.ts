/**
 * 50,000 pushes of the cloud's ports, one in a thousand of them ours, drained from a queue: by the whole Neutron source, and by
 * a bare amqplib consumer that looks at nothing. Each stands still while its queue is filled.
 */
import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { innerOf, readRecording } from '../fixtures/recordings.ts';
import { startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { startRabbit } from '../lab/rabbitmq.ts';
import type { Benchmark, Rounds } from './benchmark.ts';
import type { BusConsumerSettings } from './bus-consumer.ts';
import { startWorker, type Worker } from './worker.ts';

const PUSHES = 50_000;
const OURS = PUSHES / 1_000;
const ROUNDS = 7;
/** Different enough that no cache of the processor holds them all. */
const DIFFERENT = 2_000;

export const bus: Benchmark = {
  name: 'bus',
  rows: [
    { name: 'bus-push-rate', unit: 'messages/s', target: { atLeast: 0.8 } },
    { name: 'bus-push-cpu', unit: 'us/message', target: { atMost: 1.3 } },
  ],
  async measure(lab, say) {
    const rabbit = await startRabbit(lab);
    const neutron = await startNeutronStandIn({ url: rabbit.url });
    lab.onClose(() => neutron.close());
    const model = await connect(rabbit.url);
    lab.onClose(() => model.close());
    const publisher = await model.createConfirmChannel();
    const start = async (kind: BusConsumerSettings['kind']): Promise<Worker> =>
      startWorker(lab, './bus-consumer.ts', { kind, port: rabbit.port, messages: PUSHES } satisfies BusConsumerSettings);
    const bare = await start('bare');
    const ours = await start('agent');
    const foreign = Array.from({ length: DIFFERENT }, (_, index) => push(`cmp-${1_000 + index}`));

    const drain = async (worker: Worker, exchange: string): Promise<{ rate: number; cpuUs: number }> => {
      const cpuBefore = await worker.order('cpu');
      worker.pause();
      for (let sent = 0; sent < PUSHES; sent += 1) {
        publisher.publish(exchange, '', sent % (PUSHES / OURS) === 0 ? push('hv1') : (foreign[sent % DIFFERENT] as Buffer));
        if (sent % 500 === 0) await publisher.waitForConfirms();
      }
      await publisher.waitForConfirms();
      const startedMs = Number(process.hrtime.bigint()) / 1e6;
      worker.resume();
      const seconds = ((await worker.order('drained')) - startedMs) / 1_000;
      return { rate: PUSHES / seconds, cpuUs: ((await worker.order('cpu')) - cpuBefore) / PUSHES };
    };

    const rates: Rounds = { ours: [], baseline: [] };
    const cpu: Rounds = { ours: [], baseline: [] };
    // the first round warms up
    for (let round = 0; round <= ROUNDS; round += 1) {
      const baseline = await drain(bare, 'bare_fanout');
      const own = await drain(ours, 'neutron-vo-Port-1.7_fanout');
      say(
        `round ${round} of ${ROUNDS}: ${Math.round(own.rate)}/s at ${own.cpuUs.toFixed(1)} us, ` +
          `baseline ${Math.round(baseline.rate)}/s at ${baseline.cpuUs.toFixed(1)} us`,
      );
      if (round === 0) continue;
      rates.ours.push(own.rate);
      rates.baseline.push(baseline.rate);
      cpu.ours.push(own.cpuUs);
      cpu.baseline.push(baseline.cpuUs);
    }
    return { 'bus-push-rate': rates, 'bus-push-cpu': cpu };
  },
};

const RECORDED = readRecording('neutron-21-zed-pushes').find(
  ({ exchange, body }) => exchange.startsWith('neutron-vo-Port-') && body.includes('ACTIVE'),
);

/** A recorded push as another port of another host would have it, about 4.4 kB. */
function push(host: string): Buffer {
  const body = RECORDED?.body ?? '';
  const inner: Readonly<Record<string, unknown>> = innerOf(body);
  const { resource_list: resources } = inner['args'] as { resource_list: { 'versioned_object.data': { id: string } }[] };
  const id = resources[0]?.['versioned_object.data'].id ?? '';
  const renamed = body.replaceAll(id, randomUUID()).replaceAll(/\bhv[12]\b/g, host);
  return Buffer.from(renamed.replaceAll(String(inner['_unique_id']), randomUUID().replaceAll('-', '')));
}
