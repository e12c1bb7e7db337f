/**
 * The agent's `Speaker` on GoBGP: the bring-up in managed and attached mode (docs/design.md part 7). Managed means that
 * gobgpd has no configuration but what is given to it here.
 */
import type { LocalRoutes, Outcome, PeerOutcome, PeerStatus, Speaker, SpeakerFacts, WatchHandlers } from '../core/ports.ts';
import type { Operation } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import type { Route } from '../domain/route.ts';
import { type PeerSettings, peerName, type SpeakerSettings } from '../domain/settings.ts';
import { systemClock } from '../lib/clock.ts';
import { AgentError, messageOf } from '../lib/errors.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { parseRelease, releaseWarning } from './capabilities.ts';
import { checkGlobal, checkPeer } from './checks.ts';
import { connectGobgp, type GobgpClient, type GobgpGlobal, type GobgpOptions } from './client.ts';
import type { ApiVersion } from './dialect.ts';
import { linkLocalRouter } from './link-local.ts';
import { PeerChanges } from './peer-changes.ts';
import { canonicalText } from './peers.ts';
import { planPolicies } from './policy.ts';

export type GobgpSpeakerOptions = GobgpOptions & {
  readonly log?: Log;
  /** How long a replaced peer may take to be Established before the next one is touched; default 60,000. */
  readonly replacedPeerWaitMs?: number;
  /** Finds the router of an unnumbered session; default: the kernel's neighbour table. */
  readonly linkLocalRouter?: (interfaceName: string, signal?: AbortSignal) => Promise<string>;
};

export class GobgpSpeaker implements Speaker {
  readonly #client: GobgpClient;
  readonly #log: Log;
  readonly #peerChanges: PeerChanges;
  /** BGP was started by us, but `prepare` has not come to its end since. */
  #startedAnew = false;
  #peers: readonly PeerSettings[] = [];
  #facts: SpeakerFacts = { warnings: [] };

  constructor(options: GobgpSpeakerOptions) {
    this.#client = connectGobgp(options);
    this.#log = options.log ?? silentLog;
    this.#peerChanges = new PeerChanges(this.#client, {
      clock: options.clock ?? systemClock,
      waitMs: options.replacedPeerWaitMs ?? 60_000,
      linkLocalRouter: options.linkLocalRouter ?? linkLocalRouter,
    });
  }

  close(): void {
    this.#client.close();
  }

  async prepare(settings: SpeakerSettings, signal: AbortSignal): Promise<'empty' | 'running'> {
    this.#peers = settings.peers;
    const api = await this.#client.detect(signal);
    const running = await this.#client.global(signal);
    if (settings.mode === 'attached') {
      checkAttached(running, settings);
      await this.#learnRelease(api, false, signal);
      return 'running';
    }
    checkGlobal(settings);
    for (const peer of settings.peers) checkPeer(peer);
    if (running === undefined) {
      await this.#client.start(settings, signal);
      this.#startedAnew = true;
    } else checkSameGlobal(running, settings);
    await this.#learnRelease(api, true, signal);
    const changed = await this.#client.applyPolicies(planPolicies(settings), signal);
    if (changed.length > 0) this.#log.info({ directions: changed }, 'GoBGP policies set');
    await this.#deleteUnusedPolicies(signal);
    const found = this.#startedAnew ? 'empty' : 'running';
    this.#startedAnew = false;
    return found;
  }

  /** What a running GoBGP has otherwise than `settings`, and cannot change. */
  async fixedDifferences(settings: SpeakerSettings, signal: AbortSignal): Promise<readonly string[]> {
    const running = await this.#client.global(signal);
    return running === undefined ? [] : globalDifferences(running, settings);
  }

  /** Whether gobgpd has to be restarted once `stop` was called. */
  needsRestartAfterStop(signal: AbortSignal): Promise<boolean> {
    return this.#client.has('gracefulStop', signal);
  }

  /** Stops BGP: every session ends, every route and peer is gone. */
  async stop(signal: AbortSignal): Promise<void> {
    await this.#client.stop(signal);
  }

  facts(): SpeakerFacts {
    return this.#facts;
  }

  async listLocalRoutes(signal: AbortSignal): Promise<LocalRoutes> {
    const routes = new Map<Prefix, Route>();
    for (const route of await this.#client.listLocal(signal)) {
      // two local paths of a prefix: the one with an ADD-PATH identifier is somebody else's
      if (route.attributes.others.length === 0 || !routes.has(route.prefix)) routes.set(route.prefix, route);
    }
    return routes;
  }

  apply(operations: readonly Operation[], signal: AbortSignal): Promise<readonly Outcome[]> {
    return this.#client.apply(operations, signal);
  }

  async openPeers(settings: SpeakerSettings, signal: AbortSignal): Promise<readonly PeerOutcome[]> {
    if (settings.mode === 'attached') return [];
    this.#peers = settings.peers;
    return this.#peerChanges.apply(settings.peers, signal);
  }

  async listPeers(signal: AbortSignal): Promise<readonly PeerStatus[]> {
    const labels = new Map(this.#peers.map((peer) => [canonicalText(peerName(peer)), peer.description]));
    return (await this.#client.listPeers(signal)).map(({ status }) => {
      const description = labels.get(status.name);
      return description === undefined ? status : { ...status, description };
    });
  }

  async listAdvertised(peer: string, signal: AbortSignal): Promise<readonly Route[]> {
    const listed = (await this.#client.listPeers(signal)).find(({ name }) => name === canonicalText(peer));
    if (listed === undefined) throw new AgentError('unknown-peer', 'terminal', `GoBGP has no peer ${peer}`);
    return this.#client.listAdjRibOut(listed.address, signal);
  }

  watch(handlers: WatchHandlers, signal: AbortSignal): Promise<void> {
    return this.#client.watch(handlers, signal);
  }

  async #learnRelease(api: ApiVersion, mayProbe: boolean, signal: AbortSignal): Promise<void> {
    // Nothing that matters hangs on it: what is wrong with the daemon shows in the calls that follow.
    const text = await this.#client.release(mayProbe, signal).catch((error: unknown) => {
      this.#log.warn({ error: messageOf(error) }, 'the release of GoBGP cannot be learnt');
      return undefined;
    });
    const version = `GoBGP ${text ?? (api === 'v3' ? '3.x' : '4.x')}`;
    const release = text === undefined ? undefined : parseRelease(text);
    const warning = release === undefined ? undefined : releaseWarning(release);
    if (version !== this.#facts.version) {
      this.#log.info({ version, api }, 'GoBGP found');
      if (warning !== undefined) this.#log.warn({ warning }, 'a release of GoBGP to stay away from');
    }
    this.#facts = { version, warnings: warning === undefined ? [] : [warning] };
  }

  /** Leftovers do no harm, so that a refusal is only told. */
  async #deleteUnusedPolicies(signal: AbortSignal): Promise<void> {
    try {
      await this.#client.deleteUnusedPolicies(signal);
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'unused GoBGP policies of ours could not be deleted');
    }
  }
}

function checkAttached(running: GobgpGlobal | undefined, { asn }: SpeakerSettings): void {
  if (running === undefined)
    throw new AgentError('bgp-not-started', 'retryable', 'GoBGP has not started BGP; in attached mode its own configuration has to do so');
  if (running.asn !== asn)
    throw new AgentError('other-asn', 'terminal', `GoBGP runs with ASN ${running.asn}, the configuration says ${asn}; correct gobgp.asn`);
}

/** None of these can change on a running GoBGP. */
function globalDifferences(running: GobgpGlobal, wanted: SpeakerSettings): readonly string[] {
  const addresses = (list: readonly string[]): string => list.map(canonicalText).toSorted().join(', ');
  // what GoBGP fills in for an empty list
  const everyAddress = ['0.0.0.0', '::'];
  const wantedAddresses = wanted.listenAddresses.length === 0 ? everyAddress : wanted.listenAddresses;
  const pairs: readonly (readonly [string, string | number, string | number])[] = [
    ['ASN', running.asn, wanted.asn],
    ['router id', running.routerId, wanted.routerId],
    ['listen port', running.listenPort, wanted.listenPort],
    ['listen addresses', addresses(running.listenAddresses), addresses(wantedAddresses)],
  ];
  return pairs.filter(([, is, should]) => is !== should).map(([name, is, should]) => `${name} ${is}, configured ${should}`);
}

function checkSameGlobal(running: GobgpGlobal, wanted: SpeakerSettings): void {
  const differences = globalDifferences(running, wanted);
  if (differences.length > 0)
    throw new AgentError(
      'rebuild-needed',
      'terminal',
      `GoBGP runs with ${differences.join('; ')}. A running GoBGP cannot change this: go back, or run "neutron-bgp-agent rebuild", which says what it would interrupt`,
    );
}
