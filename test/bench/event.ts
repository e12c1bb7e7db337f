/** One push on the bus, until its UPDATE is at the listener; the baseline is the thinnest agent. Both follow a RabbitMQ of the lab. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Channel, connect } from 'amqplib';
import { startHypervisor } from '../lab/hypervisor.ts';
import type { Lab } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { type LabNetwork, labPort, portObject } from '../lab/neutron-objects.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { startRabbit } from '../lab/rabbitmq.ts';
import { instanceAddress } from './addresses.ts';
import { type Benchmark, percentile, type Rounds } from './benchmark.ts';
import { type StopWatch, startStopWatch } from './stop-watch.ts';
import { benchConfig, routerOf, startBareAgent } from './track.ts';
import { monotonicMs } from './worker.ts';

const EVENTS = 200;
const ROUNDS = 5;
/** Single events: the one before is over when the next one comes. */
const BETWEEN_MS = 5;
const HOST = 'hv1';
const PUSHES = 'neutron-vo-Port-1.7_fanout';
/** The baseline has an exchange of its own, so that neither hears the other's pushes. */
const BARE_PUSHES = 'bench-bare_fanout';

type Side = { readonly exchange: string; readonly stopWatch: StopWatch };

export const event: Benchmark = {
  name: 'event',
  rows: [
    { name: 'event-p50', unit: 'ms', target: { atMost: 2 } },
    { name: 'event-p99', unit: 'ms' },
  ],
  async measure(lab, say) {
    const rabbit = await startRabbit(lab);
    const standIn = await startNeutronStandIn({ url: rabbit.url });
    const network = standIn.createNetwork();
    const connection = await connect(rabbit.url, { noDelay: true });
    lab.onClose(async () => {
      await connection.close();
      await standIn.close();
    });
    const channel = await connection.createChannel();
    await channel.assertExchange(BARE_PUSHES, 'fanout', { durable: false, autoDelete: true });

    const bare = await startBareAgent(lab, { routes: 0, bus: { url: rabbit.url, exchange: BARE_PUSHES, host: HOST } });
    const baseline: Side = { exchange: BARE_PUSHES, stopWatch: bare.stopWatch };
    const ours: Side = { exchange: PUSHES, stopWatch: await startDaemon(lab, rabbit.url, network) };

    const p50: Rounds = { ours: [], baseline: [] };
    const p99: Rounds = { ours: [], baseline: [] };
    const pushes = { channel, standIn, network };
    // the first round warms up
    for (let round = 0; round <= ROUNDS; round++) {
      const [bareMs, oursMs] = [await oneRound(baseline, pushes), await oneRound(ours, pushes)];
      say(`round ${round} of ${ROUNDS}: ${percentiles(oursMs)}, baseline ${percentiles(bareMs)}`);
      if (round === 0) continue;
      for (const [rounds, percent] of [
        [p50, 50],
        [p99, 99],
      ] as const) {
        rounds.baseline.push(percentile(bareMs, percent));
        rounds.ours.push(percentile(oursMs, percent));
      }
    }
    return { 'event-p50': p50, 'event-p99': p99 };
  },
};

async function startDaemon(lab: Lab, url: string, network: LabNetwork): Promise<StopWatch> {
  const stopWatch = await startStopWatch(lab);
  const hypervisor = await startHypervisor(lab, {
    name: HOST,
    address: loopbackAddress(),
    router: routerOf(stopWatch),
    sources: { neutron: { transportUrl: url.replace(/^amqp:/, 'rabbit:') } },
    change: benchConfig([network.id]),
  });
  await hypervisor.ready();
  return stopWatch;
}

/** Instances come up, each a port nobody has heard of, and afterwards move away. @returns milliseconds of each event */
async function oneRound(
  { exchange, stopWatch }: Side,
  { channel, standIn, network }: { channel: Channel; standIn: NeutronStandIn; network: LabNetwork },
): Promise<readonly number[]> {
  const push = (port: ReturnType<typeof labPort>): Buffer => standIn.pushBody(portObject(port, '1.7'), 'updated');
  const ports = Array.from({ length: EVENTS }, (_, index) => labPort({ id: randomUUID(), network, fixedIps: [instanceAddress(index)] }));
  const tookMs: number[] = [];
  for (const port of ports) {
    const body = push(port);
    await pause(BETWEEN_MS);
    const announced = stopWatch.announced(`${port.fixedIps[0]}/32`);
    const publishedMs = monotonicMs();
    channel.publish(exchange, '', body);
    tookMs.push((await announced) - publishedMs);
  }
  for (const port of ports) {
    const bindings = port.bindings.map((binding) => ({ ...binding, host: 'hv2' }));
    channel.publish(exchange, '', push({ ...port, bindings, revisionNumber: port.revisionNumber + 1 }));
  }
  await stopWatch.holds(0);
  return tookMs;
}

function percentiles(values: readonly number[]): string {
  return `p50 ${percentile(values, 50).toFixed(2)} ms, p99 ${percentile(values, 99).toFixed(2)} ms`;
}
