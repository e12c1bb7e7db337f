/**
 * `rebuild`: the one way to change what a running GoBGP cannot (its ASN, router id, port, addresses). It stops BGP, which ends
 * every session, and lets the reconciler bring GoBGP up anew from the configuration file, routes before peers.
 */
import type { Config } from './config/config.ts';
import type { Reconciler } from './core/reconciler.ts';
import type { ReconcilerSettings } from './core/reconciler-types.ts';
import type { RebuildAnswer } from './core/status.ts';
import type { SpeakerSettings } from './domain/settings.ts';
import type { GobgpSpeaker } from './gobgp/speaker.ts';
import { AgentError } from './lib/errors.ts';
import type { Log } from './lib/log.ts';

/** What GoBGP cannot change while it runs, and we in no other way either. */
const FIXED = ['asn', 'routerId', 'listenPort', 'listenAddresses'] as const;

/** The keys of `gobgp` that a running GoBGP cannot change, among what differs. */
export function fixedInGobgp(now: SpeakerSettings, before: SpeakerSettings): readonly string[] {
  return FIXED.filter((key) => String(now[key]) !== String(before[key])).map(
    (key) => `gobgp.${key} (now ${String(before[key]) || 'none'}, configured ${String(now[key]) || 'none'})`,
  );
}

/**
 * @param isSure without it nothing is done but to say what would be interrupted
 * @param load reads the configuration file
 * @throws what `load` throws, and a terminal `AgentError` in attached mode
 */
export async function rebuild(options: {
  readonly isSure: boolean;
  readonly load: () => Config;
  readonly use: (config: Config) => ReconcilerSettings;
  readonly speaker: GobgpSpeaker;
  readonly reconciler: Reconciler;
  readonly log: Log;
}): Promise<RebuildAnswer> {
  const { isSure, load, use, speaker, reconciler, log } = options;
  const config = load();
  const before = reconciler.settings().speaker;
  if (config.speaker.mode === 'attached' || before.mode === 'attached')
    throw new AgentError(
      'attached',
      'terminal',
      'in attached mode GoBGP belongs to its own configuration: change it there, and restart gobgpd',
    );
  const signal = AbortSignal.timeout(10_000);
  const peers = await speaker.listPeers(signal);
  const answer = {
    changes: await speaker.fixedDifferences(config.speaker, signal),
    interrupts: {
      peers: peers.filter(({ state }) => state === 'established').map(({ name }) => name),
      routes: reconciler.ownRoutes().size,
    },
  };
  const restart = await speaker.needsRestartAfterStop(signal);
  if (!isSure) return { ...answer, isDone: false, needsRestart: restart };
  log.warn(answer, 'an operator rebuilds GoBGP: every session ends');
  await speaker.stop(signal);
  reconciler.configure(use(config));
  return { ...answer, isDone: true, needsRestart: restart };
}
