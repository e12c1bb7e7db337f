/** What a round runs on, made alike for the baseline and for ours: a gobgpd of its own with one peer, the stop-watch. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { connectGobgp } from '../../src/gobgp/client.ts';
import { startGobgpd } from '../lab/gobgpd.ts';
import { type ConfigChange, type HypervisorOptions, labConfig, NEXT_HOP_IPV6 } from '../lab/hypervisor.ts';
import type { Lab } from '../lab/lab.ts';
import { INSTANCE_PREFIX } from './addresses.ts';
import type { BareAgentSettings } from './bare-agent.ts';
import { type StopWatch, startStopWatch } from './stop-watch.ts';
import { startWorker, type Worker } from './worker.ts';

/** How the agent of a benchmark differs from the lab's: room for many routes, and a log as in production. */
export function benchConfig(networks: readonly string[] | '*'): ConfigChange {
  return {
    log: { level: 'info' },
    limits: { routes: 20_000 },
    announce: { networks, prefixes: [INSTANCE_PREFIX], nextHop: { ipv6: NEXT_HOP_IPV6 } },
  };
}

/** The listener in the place of a router. */
export function routerOf({ listener }: StopWatch): HypervisorOptions['router'] {
  return { name: 'stop-watch', address: listener.host, port: listener.port };
}

export type Track = { readonly stopWatch: StopWatch; readonly config: Config };

/** A gobgpd that has been told nothing yet, and the configuration of an agent for it. */
export async function startTrack(lab: Lab, name: string): Promise<Track> {
  mkdirSync(lab.path(name));
  const stopWatch = await startStopWatch(lab);
  const gobgpd = await startGobgpd(lab, { name: `${name}-gobgpd` });
  const file = lab.path(name, 'agent.yaml');
  const options = { name, router: routerOf(stopWatch), sources: { file: { path: 'bindings.yaml' } } };
  writeFileSync(file, stringify({ ...labConfig(options, gobgpd, 1), ...benchConfig('*') }));
  return { stopWatch, config: loadConfig(file, {}) };
}

/** The baseline's: its gobgpd has the same global settings and the same peer, and no policies. */
export async function startBareAgent(
  lab: Lab,
  options: Pick<BareAgentSettings, 'routes' | 'bus'>,
): Promise<{ worker: Worker; stopWatch: StopWatch }> {
  const { stopWatch, config } = await startTrack(lab, 'bare');
  const gobgp = connectGobgp({ address: config.gobgp.address });
  await gobgp.start(config.speaker);
  for (const peer of config.speaker.peers) await gobgp.addPeer(peer, { localRestarting: false });
  gobgp.close();
  await stopWatch.listener.established();
  const settings: BareAgentSettings = { gobgp: config.gobgp.address, marker: config.speaker.markers[0], ...options };
  return { worker: await startWorker(lab, './bare-agent.ts', settings), stopWatch };
}
