/**
 * Brings GoBGP's peers to the configured ones. No setting of a peer can be changed in place: GoBGP drops the session for any
 * of them. So a changed peer is deleted and added, and an established session is given up only while those with all other
 * configured peers are established: two routers never lose us together.
 *
 * GoBGP 3 keeps the MD5 key of a deleted peer on its listening socket. A peer that loses its password comes back when we
 * connect to it; a passive one does not before gobgpd is restarted. A new password is no such trouble.
 */
import type { PeerOutcome } from '../core/ports.ts';
import { type PeerSettings, peerName } from '../domain/settings.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { GobgpClient } from './client.ts';
import { canonicalText, type ListedPeer } from './peers.ts';

export type PeerChangeSettings = {
  readonly clock: Clock;
  /** How long to wait for the sessions with the other peers. */
  readonly waitMs: number;
  readonly linkLocalRouter: (interfaceName: string, signal?: AbortSignal) => Promise<string>;
};

const POLL_INTERVAL_MS = 200;

export class PeerChanges {
  readonly #client: GobgpClient;
  readonly #settings: PeerChangeSettings;

  constructor(client: GobgpClient, settings: PeerChangeSettings) {
    this.#client = client;
    this.#settings = settings;
  }

  /** One outcome per configured peer, and one per deleted one. */
  async apply(wanted: readonly PeerSettings[], signal: AbortSignal): Promise<readonly PeerOutcome[]> {
    const listed = await this.#list(signal);
    const names = new Set(wanted.map(nameOf));
    const outcomes: PeerOutcome[] = [];
    // routers that wait for us come first, and a session that is up is given up last
    const established = (peer: PeerSettings): number => (listed.get(nameOf(peer))?.status.state === 'established' ? 1 : 0);
    for (const peer of wanted.toSorted((a, b) => established(a) - established(b))) {
      const present = listed.get(nameOf(peer));
      outcomes.push(await this.#open(peer, present, names, signal));
    }
    for (const [name, present] of listed) if (!names.has(name)) outcomes.push(await this.#close(name, present, names, signal));
    return outcomes;
  }

  async #open(peer: PeerSettings, present: ListedPeer | undefined, names: ReadonlySet<string>, signal: AbortSignal): Promise<PeerOutcome> {
    const name = nameOf(peer);
    if (present?.isConfiguredAs(peer) === true) return { name, result: 'unchanged' };
    const { bfd, ...withoutBfd } = peer;
    if (bfd !== undefined && !(await this.#client.has('bfd', signal))) {
      // better a session that notices a dead router late than none
      const opened = await this.#open(withoutBfd, present, names, signal);
      return opened.result === 'failed' ? opened : { name, result: 'failed', error: 'opened without BFD, which needs GoBGP 4.6 or newer' };
    }
    if (present === undefined) return outcome(name, 'added', async () => (await this.#addition(peer, true, signal))());
    if (present.status.state === 'established') {
      const waitingFor = await this.#waitForOthers(name, names, signal);
      if (waitingFor !== undefined)
        return { name, result: 'failed', error: `changed, but not replaced before the session with ${waitingFor} is established` };
    }
    return outcome(name, 'replaced', async () => {
      // the router drops our routes with the session: it must get them at once, not after the deferral time
      const add = await this.#addition(peer, false, signal);
      await this.#client.deletePeer(present.address, signal);
      await add();
    });
  }

  /** A peer that is no longer configured goes last: until those that take its place have the routes, its router forwards to us. */
  async #close(name: string, present: ListedPeer, names: ReadonlySet<string>, signal: AbortSignal): Promise<PeerOutcome> {
    if (present.status.state === 'established') {
      const waitingFor = await this.#waitForOthers(name, names, signal);
      if (waitingFor !== undefined)
        return { name, result: 'failed', error: `not configured any more, but kept until the session with ${waitingFor} is established` };
    }
    return outcome(name, 'deleted', () => this.#client.deletePeer(present.address, signal));
  }

  /** What adds the peer: whatever has to be found out for it is known before anything is deleted. */
  async #addition(peer: PeerSettings, localRestarting: boolean, signal: AbortSignal): Promise<() => Promise<void>> {
    const linkLocal = 'interface' in peer.neighbor ? await this.#settings.linkLocalRouter(peer.neighbor.interface, signal) : undefined;
    return () => this.#client.addPeer(peer, { localRestarting, ...(linkLocal === undefined ? {} : { linkLocal }) }, signal);
  }

  /** Waits until every other configured peer is established and has our routes. @returns one that has not */
  async #waitForOthers(name: string, names: ReadonlySet<string>, signal: AbortSignal): Promise<string | undefined> {
    const { clock, waitMs } = this.#settings;
    const endMs = clock.monotonicMs() + waitMs;
    for (;;) {
      const listed = await this.#list(signal);
      const down = [...names].find((other) => other !== name && listed.get(other)?.isServed !== true);
      if (down === undefined || clock.monotonicMs() >= endMs || signal.aborted) return down;
      await sleep(clock, POLL_INTERVAL_MS, signal);
    }
  }

  async #list(signal: AbortSignal): Promise<ReadonlyMap<string, ListedPeer>> {
    return new Map((await this.#client.listPeers(signal)).map((peer) => [peer.name, peer]));
  }
}

function nameOf(peer: PeerSettings): string {
  return canonicalText(peerName(peer));
}

async function outcome(name: string, result: 'added' | 'replaced' | 'deleted', change: () => Promise<void>): Promise<PeerOutcome> {
  try {
    await change();
    return { name, result };
  } catch (error) {
    return { name, result: 'failed', error: messageOf(error) };
  }
}
