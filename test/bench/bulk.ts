/** 10,000 bindings that are in memory, until all are at the listener; the baseline streams the same routes. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Lab } from '../lab/lab.ts';
import type { Benchmark, Rounds } from './benchmark.ts';
import type { CoreAgentSettings } from './core-agent.ts';
import type { StopWatch } from './stop-watch.ts';
import { startBareAgent, startTrack } from './track.ts';
import { startWorker, type Worker } from './worker.ts';

const ROUTES = 10_000;
const ROUNDS = 7;
/** What a round leaves behind to be done is done within it. */
const BETWEEN_MS = 300;

export const bulk: Benchmark = {
  name: 'bulk',
  rows: [{ name: 'bulk-rate', unit: 'routes/s', target: { atLeast: 0.7 } }],
  async measure(lab, say) {
    const baseline = await startBareAgent(lab, { routes: ROUTES });
    const ours = await startCore(lab);
    const rates: Rounds = { ours: [], baseline: [] };
    // the first round warms up
    for (let round = 0; round <= ROUNDS; round++) {
      const [bareRate, ourRate] = [await rate(baseline), await rate(ours)];
      say(`round ${round} of ${ROUNDS}: ${Math.round(ourRate)} routes/s, baseline ${Math.round(bareRate)}`);
      if (round === 0) continue;
      rates.baseline.push(bareRate);
      rates.ours.push(ourRate);
    }
    return { 'bulk-rate': rates };
  },
};

async function startCore(lab: Lab): Promise<{ worker: Worker; stopWatch: StopWatch }> {
  const { stopWatch, config } = await startTrack(lab, 'core');
  const settings: CoreAgentSettings = { configFile: config.file, host: config.host, routes: ROUTES };
  const worker = await startWorker(lab, './core-agent.ts', settings);
  await stopWatch.listener.established();
  return { worker, stopWatch };
}

/** Routes a second of one announcement of all, which is taken back afterwards. */
async function rate({ worker, stopWatch }: { worker: Worker; stopWatch: StopWatch }): Promise<number> {
  const startedMs = await worker.order('announce');
  const seconds = ((await stopWatch.holds(ROUTES)) - startedMs) / 1_000;
  await pause(BETWEEN_MS);
  await worker.order('withdraw');
  await stopWatch.holds(0);
  await pause(BETWEEN_MS);
  return ROUTES / seconds;
}
