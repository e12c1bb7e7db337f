/** Resident memory of the daemon with few and with many routes, after it has come to rest; the baseline idles with the same libraries. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startHypervisor } from '../lab/hypervisor.ts';
import { type Lab, logTail, until } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { startRabbit } from '../lab/rabbitmq.ts';
import { instanceAddress } from './addresses.ts';
import { type Benchmark, median, type Rounds } from './benchmark.ts';
import { startStopWatch } from './stop-watch.ts';
import { benchConfig, routerOf } from './track.ts';

const [FEW, MANY] = [10, 10_000];
const ROUNDS = 3;
/** At rest: for so many samples it stays within this share of itself. */
const SAMPLES = 10;
const SAMPLE_EVERY_MS = 400;
const AT_REST = 0.01;
const REST_TIMEOUT_MS = 30_000;

export const memory: Benchmark = {
  name: 'memory',
  rows: [
    { name: `memory-${FEW}`, unit: 'MB', target: { atMost: 1.5 } },
    { name: `memory-${MANY}`, unit: 'MB' },
  ],
  async measure(lab, say) {
    const rabbit = await startRabbit(lab);
    const standIn = await startNeutronStandIn({ url: rabbit.url });
    standIn.muted = true;
    lab.onClose(() => standIn.close());
    const few: Rounds = { ours: [], baseline: [] };
    const many: Rounds = { ours: [], baseline: [] };
    for (let round = 1; round <= ROUNDS; round++) {
      const [idleMb, fewMb, manyMb] = await Promise.all([
        idle(lab, `idle-${round}`),
        daemon(lab, `hv-${FEW}-${round}`, FEW, { standIn, url: rabbit.url }),
        daemon(lab, `hv-${MANY}-${round}`, MANY, { standIn, url: rabbit.url }),
      ]);
      say(`round ${round} of ${ROUNDS}: ${Math.round(fewMb)} and ${Math.round(manyMb)} MB, baseline ${Math.round(idleMb)} MB`);
      for (const rounds of [few, many]) rounds.baseline.push(idleMb);
      few.ours.push(fewMb);
      many.ours.push(manyMb);
      standIn.ports.clear();
    }
    return { [`memory-${FEW}`]: few, [`memory-${MANY}`]: many };
  },
};

async function idle(lab: Lab, name: string): Promise<number> {
  const started = lab.start(name, process.execPath, [fileURLToPath(new URL('./idle.mjs', import.meta.url))]);
  await until('the idle process', () => logTail(started).includes('loaded'));
  const megabytes = await atRest(started.pid);
  await started.stop();
  return megabytes;
}

/** The daemon of a host with so many ports, as its first snapshot tells them. */
async function daemon(lab: Lab, name: string, routes: number, { standIn, url }: { standIn: NeutronStandIn; url: string }): Promise<number> {
  const network = standIn.createNetwork();
  for (let index = 0; index < routes; index++)
    await standIn.bootPort({ host: name, networkId: network.id, fixedIps: [instanceAddress(index)] });
  const stopWatch = await startStopWatch(lab);
  const hypervisor = await startHypervisor(lab, {
    name,
    address: loopbackAddress(),
    router: routerOf(stopWatch),
    sources: { neutron: { transportUrl: url.replace(/^amqp:/, 'rabbit:') } },
    change: benchConfig([network.id]),
  });
  await stopWatch.holds(routes);
  const megabytes = await atRest(hypervisor.process().pid);
  await hypervisor.process().stop();
  await hypervisor.gobgpd.stop();
  await stopWatch.listener.close();
  return megabytes;
}

/** Resident memory in MB when it no longer moves. */
async function atRest(pid: number): Promise<number> {
  const end = performance.now() + REST_TIMEOUT_MS;
  const samples: number[] = [];
  while (performance.now() < end) {
    samples.push(residentMegabytes(pid));
    const last = samples.slice(-SAMPLES);
    const middle = median(last);
    if (last.length === SAMPLES && last.every((sample) => Math.abs(sample - middle) <= AT_REST * middle)) return middle;
    await pause(SAMPLE_EVERY_MS);
  }
  throw new Error(`the memory of process ${pid} did not come to rest: ${samples.slice(-SAMPLES).map(Math.round).join(' ')} MB`);
}

function residentMegabytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return (Number(kibibytes) * 1024) / 1e6;
}
