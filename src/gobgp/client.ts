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
  /** How often `watch` asks the daemon whether it is alive, in milliseconds; default 2,000. */
  readonly heartbeatIntervalMs?: number;
  /** How long it may take to answer, in milliseconds; default 3,000. */
  readonly heartbeatDeadlineMs?: number;
};

/** What BGP was started with (GoBGP's message Global). */
export type GobgpGlobal = Pick<SpeakerSettings, 'asn' | 'routerId' | 'listenPort' | 'listenAddresses'>;

/**
 * Connects at the first call, and again within about a second whenever the daemon comes back. Close it, or it keeps the
 * process alive.
 */
export function connectGobgp(options: GobgpOptions): GobgpClient {
  return new GobgpClient(options);
}

/**
 * Every call takes an AbortSignal, and rejects with an `AgentError`: `code` is a `GobgpErrorCode`, `kind` says whether to try
 * again. A refusal (`gobgp-refused`) changed nothing; after a missing answer (`gobgp-timeout`, `gobgp-unavailable`,
 * `gobgp-aborted`) only reading tells. Settings that GoBGP would take and that make no sense are `invalid-settings`, and
 * nothing is sent. Calls that carry or list a table have `bulkDeadlineMs`, all others `deadlineMs`.
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

  /** Ends the connection; what is under way is given up, and nothing is withdrawn. */
  close(): void {
    this.#channel.close();
  }

  /**
   * Asks the daemon anew which API it serves. Other calls do so by themselves after each reconnect, since an upgrade of the
   * package swaps the version under us.
   * Source: GetBgp of both services.
   * @param waitMs how long to wait for a daemon that is not there yet
   * @throws terminal `gobgp-version-unsupported` when what answers is no GoBGP 3 or 4
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

  /** What BGP was started with; undefined when it was not started. Source: GetBgp. */
  async global(signal?: AbortSignal): Promise<GobgpGlobal | undefined> {
    const { global = {} } = await ask(await this.#connected(signal), 'GetBgp', {}, { signal });
    const { asn = 0, routerId = '', listenPort = 0, listenAddresses = [] } = global;
    return asn === 0 ? undefined : { asn, routerId, listenPort, listenAddresses };
  }

  /**
   * Starts BGP (StartBgp).
   * @throws `bgp-already-running` when it runs: a second StartBgp without listener would silently empty the table
   */
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

  /** The routes of the Loc-RIB that no peer sent, worst and best alike, both families. Source: ListPath of the global table. */
  async listLocal(signal?: AbortSignal): Promise<readonly Route[]> {
    return listRoutes(await this.#connected(signal), { tableType: 'GLOBAL' }, ({ isLocal }) => isLocal, { signal });
  }

  /** Every path of the Loc-RIB, both families. Source: ListPath of the global table. */
  async listLocRib(signal?: AbortSignal): Promise<readonly Route[]> {
    return listRoutes(await this.#connected(signal), { tableType: 'GLOBAL' }, () => true, { signal });
  }

  /**
   * What the export policy lets through to a peer, as it is sent: GoBGP computes it, also for a peer that is down. It is no
   * proof that the peer has it. Source: ListPath of ADJ_OUT.
   * @param address the peer's address as GoBGP knows it (`ListedPeer.address`)
   */
  async listAdjRibOut(address: string, signal?: AbortSignal): Promise<readonly Route[]> {
    const table = { tableType: 'ADJ_OUT', name: address } as const;
    return listRoutes(await this.#connected(signal), table, ({ isFiltered }) => !isFiltered, { signal });
  }

  /**
   * One outcome per operation, in order; a refused one does not stop the others. One goes as AddPath or DeletePath, more as
   * AddPathStream in messages of 100. `unknown`: the answer is missing, and what follows was not sent.
   * @throws only when the daemon cannot be reached to begin with
   */
  async apply(operations: readonly Operation[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return operations.length === 0 ? [] : applyOperations(await this.#connected(signal), operations, this.#check, { signal });
  }

  /** Adds routes, or replaces those of the same prefixes; what is there already causes no UPDATE. Share `attributes` between routes. See `apply`. */
  advertise(routes: readonly Route[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return this.apply(
      routes.map((route) => ({ kind: 'advertise', route })),
      signal,
    );
  }

  /** Withdraws local routes by their prefixes; one that is not there is done. See `apply`. */
  withdraw(prefixes: readonly Prefix[], signal?: AbortSignal): Promise<readonly Outcome[]> {
    return this.apply(
      prefixes.map((prefix) => ({ kind: 'withdraw', prefix })),
      signal,
    );
  }

  /** Peers and their sessions, without passwords. Source: ListPeer. */
  async listPeers(signal?: AbortSignal): Promise<readonly ListedPeer[]> {
    const replies = await collect(await this.#connected(signal), 'ListPeer', {}, { signal });
    return replies.flatMap(({ peer }) => (peer === undefined || isReleaseProbe(peer) ? [] : [readPeer(peer, this.#clock.wallTime())]));
  }

  /**
   * Adds a peer (AddPeer); it connects by itself.
   * @param options `localRestarting`: its router may still hold our routes from before a restart (RFC 4724), default false.
   * `linkLocal`: the router of an unnumbered session, `fe80::1%eth0`; GoBGP before 4.8 does not look it up
   */
  async addPeer(
    peer: PeerSettings,
    { localRestarting = false, linkLocal }: { readonly localRestarting?: boolean; readonly linkLocal?: string } = {},
    signal?: AbortSignal,
  ): Promise<void> {
    checkPeer(peer);
    await ask(
      await this.#connected(signal),
      'AddPeer',
      { peer: peerToWire(peer, { localRestarting, ...(linkLocal === undefined ? {} : { linkLocal }) }) },
      { signal },
    );
  }

  /**
   * Deletes a peer and ends its session (DeletePeer).
   * @param address the peer's address as GoBGP knows it (`ListedPeer.address`)
   */
  async deletePeer(address: string, signal?: AbortSignal): Promise<void> {
    await ask(await this.#connected(signal), 'DeletePeer', { address }, { signal });
  }

  /**
   * Makes the global policies these rules; what no rule accepts is rejected. `planPolicies` makes those of the agent.
   * @returns the directions that had to be changed; nothing is sent again because of it
   */
  async applyPolicies(rules: PolicyRules, signal?: AbortSignal): Promise<readonly ('export' | 'import')[]> {
    return applyPolicies(await this.#connected(signal), rules, { signal });
  }

  /** Deletes policies and sets that `applyPolicies` made and nothing uses any more. */
  async deleteUnusedPolicies(signal?: AbortSignal): Promise<void> {
    await deleteUnusedPolicies(await this.#connected(signal), { signal });
  }

  /**
   * Tells every change of a local route and of a session. Source: WatchEvent, with GetBgp as the heartbeat.
   * @returns when `signal` aborts
   * @throws when the daemon is gone (`gobgp-unavailable`), hangs (`gobgp-timeout`) or lost its BGP (`gobgp-restarted`)
   */
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
