/**
 * One gobgpd over its gRPC API: connect, detect, list, watch, advertise, withdraw, peers, policies. Usable without the agent.
 * It decides nothing: what GoBGP should be is decided in `speaker.ts`.
 */
import type { Outcome, WatchHandlers } from '../core/ports.ts';
import type { Operation } from '../domain/plan.ts';
import type { Prefix } from '../domain/prefix.ts';
import type { Route } from '../domain/route.ts';
import type { PeerSettings, SpeakerSettings } from '../domain/settings.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import { type CapabilityName, releaseText } from './capabilities.ts';
import { Channel, type ChannelOptions } from './channel.ts';
import { checkGlobal, checkPeer, type OperationCheck, operationCheck } from './checks.ts';
import { detectDialect } from './detect.ts';
import type { ApiVersion, Dialect } from './dialect.ts';
import { type ListedPeer, peerToWire, readPeer } from './peers.ts';
import { applyPolicies, deleteUnusedPolicies, type PolicyRules } from './policy.ts';
import { findRelease, isReleaseProbe } from './release.ts';
import { applyOperations, listRoutes } from './routes.ts';
import { ask, collect, has, type Session } from './session.ts';
import { watchEvents } from './watch.ts';

export type GobgpOptions = ChannelOptions & {
  readonly clock?: Clock;
  /** How often `watch` asks the daemon whether it is alive; default 2,000. */
  readonly heartbeatIntervalMs?: number;
  /** How long it may take to answer; default 3,000. */
  readonly heartbeatDeadlineMs?: number;
};

/** What BGP was started with. */
export type GobgpGlobal = Pick<SpeakerSettings, 'asn' | 'routerId' | 'listenPort' | 'listenAddresses'>;

/** Connects at the first call, and again within about a second whenever the daemon comes back. */
export function connectGobgp(options: GobgpOptions): GobgpClient {
  return new GobgpClient(options);
}

/**
 * Every call throws `AgentError`s: `gobgp-unavailable`, `gobgp-timeout`, `gobgp-refused`, ... (`errors.ts`). A refusal changed
 * nothing; after a missing answer only reading tells.
 */
export class GobgpClient {
  readonly address: string;
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #heartbeat: { readonly heartbeatIntervalMs: number; readonly heartbeatDeadlineMs: number };
  readonly #check: OperationCheck = operationCheck();
  #session: Session | undefined;

  constructor(options: GobgpOptions) {
    this.address = options.address;
    this.#channel = new Channel(options);
    this.#clock = options.clock ?? systemClock;
    this.#heartbeat = {
      heartbeatIntervalMs: options.heartbeatIntervalMs ?? 2_000,
      heartbeatDeadlineMs: options.heartbeatDeadlineMs ?? 3_000,
    };
  }

  close(): void {
    this.#channel.close();
  }

  /**
   * Asks the daemon anew which API it serves. Other calls do so by themselves after each reconnect, since an upgrade of the
   * package swaps the version under us.
   * @param waitMs how long to wait for a daemon that is not there yet
   * @throws terminal `gobgp-version-unsupported`
   */
  async detect(signal?: AbortSignal, waitMs = 0): Promise<ApiVersion> {
    this.#session = undefined;
    return (await this.#connected(signal, waitMs)).dialect.version;
  }

  /**
   * The daemon's release, such as `4.8.0`; undefined when it does not tell (before 3.13, or BGP was not started).
   * @param mayProbe adds a peer that can never have a session, and deletes it at once, when no other peer's capabilities tell
   */
  async release(mayProbe: boolean, signal?: AbortSignal): Promise<string | undefined> {
    const session = await this.#connected(signal);
    session.release ??= await findRelease(session, mayProbe, { signal });
    return session.release && releaseText(session.release);
  }

  /** Whether the daemon has something that not every release has; where its release is not known, what its API's first one had. */
  async has(name: CapabilityName, signal?: AbortSignal): Promise<boolean> {
    return has(await this.#connected(signal), name);
  }

  /** What BGP was started with; undefined when it was not started. */
  async global(signal?: AbortSignal): Promise<GobgpGlobal | undefined> {
    const { global = {} } = await ask(await this.#connected(signal), 'GetBgp', {}, { signal });
    const { asn = 0, routerId = '', listenPort = 0, listenAddresses = [] } = global;
    return asn === 0 ? undefined : { asn, routerId, listenPort, listenAddresses };
  }

  /** Starts BGP. Refused when it runs: a second StartBgp without listener would silently empty the table. */
  async start(global: GobgpGlobal, signal?: AbortSignal): Promise<void> {
    checkGlobal(global);
    const running = await this.global(signal);
    if (running !== undefined) throw new AgentError('bgp-already-running', 'bug', `GoBGP runs already, with ASN ${running.asn}`);
    await ask(await this.#connected(signal), 'StartBgp', { global }, { signal });
  }

  /**
   * Stops BGP, which ends every session; from 4.0 on without a NOTIFICATION, so that routers with graceful restart keep the
   * routes for their restart time. All routes and peers are gone.
   * @returns whether the daemon can be started again over the API (3.x), or has to be restarted first (4.x)
   */
  async stop(signal?: AbortSignal): Promise<'startable' | 'restart-needed'> {
    const session = await this.#connected(signal);
    const isGraceful = has(session, 'gracefulStop');
    await ask(session, 'StopBgp', isGraceful ? { allowGracefulRestart: true } : {}, { signal });
    return isGraceful ? 'restart-needed' : 'startable';
  }

  /** The routes of the Loc-RIB that no peer sent, worst and best alike. */
  async listLocal(signal?: AbortSignal): Promise<readonly Route[]> {
    return listRoutes(await this.#connected(signal), { tableType: 'GLOBAL' }, ({ isLocal }) => isLocal, { signal });
  }

  /** Every path of the Loc-RIB. */
  async listLocRib(signal?: AbortSignal): Promise<readonly Route[]> {
    return listRoutes(await this.#connected(signal), { tableType: 'GLOBAL' }, () => true, { signal });
  }

  /**
   * What the export policy lets through to a peer, as it is sent: GoBGP computes it, also for a peer that is down.
   * @param address the peer's address as GoBGP knows it
   */
  async listAdjRibOut(address: string, signal?: AbortSignal): Promise<readonly Route[]> {
    const table = { tableType: 'ADJ_OUT', name: address } as const;
    return listRoutes(await this.#connected(signal), table, ({ isFiltered }) => !isFiltered, { signal });
  }

  /** One outcome per operation, in order; a refused one does not stop the others. */
  async apply(operations: readonly Operation[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return operations.length === 0 ? [] : applyOperations(await this.#connected(signal), operations, this.#check, { signal });
  }

  /** Share `attributes` between routes: they are packed once. */
  advertise(routes: readonly Route[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return this.apply(
      routes.map((route) => ({ kind: 'advertise', route })),
      signal,
    );
  }

  withdraw(prefixes: readonly Prefix[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return this.apply(
      prefixes.map((prefix) => ({ kind: 'withdraw', prefix })),
      signal,
    );
  }

  async listPeers(signal?: AbortSignal): Promise<readonly ListedPeer[]> {
    const replies = await collect(await this.#connected(signal), 'ListPeer', {}, { signal });
    return replies.flatMap(({ peer }) => (peer === undefined || isReleaseProbe(peer) ? [] : [readPeer(peer, this.#clock.wallTime())]));
  }

  /** @param options as `peerToWire` takes them */
  async addPeer(
    peer: PeerSettings,
    options: { readonly localRestarting: boolean; readonly linkLocal?: string },
    signal?: AbortSignal,
  ): Promise<void> {
    checkPeer(peer);
    await ask(await this.#connected(signal), 'AddPeer', { peer: peerToWire(peer, options) }, { signal });
  }

  /** @param address the peer's address as GoBGP knows it */
  async deletePeer(address: string, signal?: AbortSignal): Promise<void> {
    await ask(await this.#connected(signal), 'DeletePeer', { address }, { signal });
  }

  /** Makes the global policies these rules. @returns the directions that had to be changed */
  async applyPolicies(rules: PolicyRules, signal?: AbortSignal): Promise<readonly ('export' | 'import')[]> {
    return applyPolicies(await this.#connected(signal), rules, { signal });
  }

  async deleteUnusedPolicies(signal?: AbortSignal): Promise<void> {
    await deleteUnusedPolicies(await this.#connected(signal), { signal });
  }

  /** Tells every change until `signal` aborts; throws when the daemon is gone, hangs or was restarted. */
  async watch(handlers: WatchHandlers, signal: AbortSignal): Promise<void> {
    const session = await this.#connected(signal);
    await watchEvents(session, handlers, { signal, clock: this.#clock, ...this.#heartbeat });
  }

  async #connected(signal?: AbortSignal, waitMs = 0): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    const dialect: Dialect = await detectDialect(this.#channel, signal, waitMs);
    const session: Session = { channel: this.#channel, dialect };
    this.#session = session;
    this.#channel.onDisconnect(() => {
      if (this.#session === session) this.#session = undefined;
    });
    return session;
  }
}
