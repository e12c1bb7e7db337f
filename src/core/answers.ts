/** What the daemon answers when it is asked about itself: read from the tables and from GoBGP at that moment, never from a copy. */
import type { Reason } from '../domain/decision.ts';
import { type Family, familyOf, hostPrefix, type Prefix } from '../domain/prefix.ts';
import { isMarked, type Route, shapeOf } from '../domain/route.ts';
import { peerName } from '../domain/settings.ts';
import type { Clock } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import type { BindingTable } from './binding-table.ts';
import { explain } from './explain.ts';
import type { PeerStatus, Speaker } from './ports.ts';
import type { Reconciler } from './reconciler.ts';
import type { ExplainAnswer, PeerRow, RouteRow, SourceRow, StatusAnswer } from './status.ts';

/** How long an answer waits for GoBGP before it says what it knows without it. */
const SPEAKER_TIMEOUT_MS = 5_000;

export type RouteCounts = Readonly<Record<Family, Readonly<Record<'desired' | 'own' | 'held' | 'rejected', number>>>>;

export type Identity = { readonly version: string; readonly host: string; readonly instanceId: string; readonly startedAt: Date };

export class Answers {
  readonly #parts: { readonly table: BindingTable; readonly reconciler: Reconciler; readonly speaker: Speaker; readonly clock: Clock };
  readonly #identity: Identity;
  readonly #warnings: () => readonly string[];

  constructor(options: {
    table: BindingTable;
    reconciler: Reconciler;
    speaker: Speaker;
    clock: Clock;
    identity: Identity;
    /** What an operator should know of the configuration. */
    warnings: () => readonly string[];
  }) {
    this.#parts = options;
    this.#identity = options.identity;
    this.#warnings = options.warnings;
  }

  async status(): Promise<StatusAnswer> {
    const { reconciler, clock, speaker } = this.#parts;
    const { version, host, instanceId, startedAt } = this.#identity;
    const state = reconciler.state();
    const counts = this.counts();
    const sum = (set: keyof RouteCounts[Family]): number => counts.ipv4[set] + counts.ipv6[set];
    const last = reconciler.lastCompleteAt();
    const facts = speaker.facts();
    return {
      version,
      host,
      instanceId,
      startedAt: startedAt.toISOString(),
      sources: this.sources(),
      speaker: {
        state: state.kind,
        ...('reason' in state && { reason: state.reason }),
        ...(facts.version !== undefined && { version: facts.version }),
      },
      peers: await this.peers(),
      routes: { desired: sum('desired'), own: sum('own'), held: sum('held'), rejected: sum('rejected') },
      lastReconcileAgeSeconds: last === undefined ? null : (clock.wallTime().getTime() - last.getTime()) / 1_000,
      warnings: [
        ...this.#warnings(),
        ...facts.warnings,
        ...this.#parts.table.sources().flatMap(({ name }) => [...this.#parts.table.warnings(name).values()]),
      ],
    };
  }

  sources(): readonly SourceRow[] {
    const ports = new Map<string, number>();
    for (const { source, state } of this.#parts.table.ports()) if (state === 'present') ports.set(source, (ports.get(source) ?? 0) + 1);
    return this.#parts.table.sources().map(({ name, inSync, inSyncOnce, lostReason }) => ({
      name,
      inSync,
      everInSync: inSyncOnce,
      ...(lostReason !== undefined && { lostReason }),
      ports: ports.get(name) ?? 0,
    }));
  }

  /** What our row in Neutron shows (`openstack network agent show`); far below its limit of 4,095 characters. */
  configurations(): Readonly<Record<string, unknown>> {
    const { reconciler, table } = this.#parts;
    const states = new Map(reconciler.sessions.all().map(({ name, state }) => [name, state]));
    return {
      version: this.#identity.version,
      instance_id: this.#identity.instanceId,
      routes: reconciler.ownRoutes().size,
      gobgp: reconciler.state().kind,
      in_sync: table.sources().every(({ inSync }) => inSync),
      peers: Object.fromEntries(
        reconciler
          .settings()
          .speaker.peers.slice(0, 16)
          .map((peer) => [peerName(peer), states.get(peerName(peer)) ?? 'unknown']),
      ),
    };
  }

  /** Routes by family and set. `own` is what GoBGP holds of ours, whatever is desired; nothing, as far as we know, while it is away. */
  counts(): RouteCounts {
    const none = { desired: 0, own: 0, held: 0, rejected: 0 };
    const counts = { ipv4: { ...none }, ipv6: { ...none } };
    for (const { prefix, set } of this.#parts.reconciler.decisions.all()) counts[familyOf(prefix)][set] += 1;
    if (!this.#isAway()) for (const prefix of this.#parts.reconciler.ownRoutes().keys()) counts[familyOf(prefix)].own += 1;
    return counts;
  }

  /** Addresses that are rejected now, by reason. */
  rejections(): Readonly<Partial<Record<Reason, number>>> {
    const rejections: Partial<Record<Reason, number>> = {};
    for (const { set, reason } of this.#parts.reconciler.decisions.all())
      if (set === 'rejected' && reason !== undefined) rejections[reason] = (rejections[reason] ?? 0) + 1;
    return rejections;
  }

  async peers(): Promise<readonly PeerRow[]> {
    const { speaker } = this.#parts;
    const peers = await this.#listPeers();
    return Promise.all(
      (peers ?? []).map(async (peer) => {
        const routes = await ask((signal) => speaker.listAdvertised(peer.name, signal));
        return { ...peer, advertised: peer.state === 'established' ? (routes?.length ?? null) : 0 };
      }),
    );
  }

  async routes(): Promise<readonly RouteRow[]> {
    const { reconciler } = this.#parts;
    const advertised = await this.#advertised();
    const advertisedTo = (prefix: Prefix): readonly string[] | null =>
      advertised === undefined ? null : advertised.flatMap(({ status, routes }) => (routes?.has(prefix) === true ? [status.name] : []));
    const rows: RouteRow[] = [];
    const told = new Set<Prefix>();
    for (const { prefix, set, reason, route, claim } of reconciler.decisions.all()) {
      told.add(prefix);
      const local = this.#own(prefix);
      const shown = local ?? route;
      rows.push({
        prefix,
        set,
        ...(shown !== undefined && { shape: shapeOf(shown.attributes), nextHop: shown.attributes.nextHop }),
        ...(reason !== undefined && { reason }),
        ...(claim !== undefined && { portId: claim.port.portId }),
        inLocRib: local !== undefined,
        communities: shown?.attributes.communities ?? [],
        largeCommunities: shown?.attributes.largeCommunities ?? [],
        advertisedTo: advertisedTo(prefix),
      });
    }
    for (const { prefix, attributes } of reconciler.view.routes().values()) {
      if (told.has(prefix) || this.#isAway()) continue;
      const { nextHop, communities, largeCommunities } = attributes;
      rows.push({ prefix, set: 'foreign', inLocRib: true, nextHop, communities, largeCommunities, advertisedTo: advertisedTo(prefix) });
    }
    return rows.toSorted((a, b) => a.prefix.localeCompare(b.prefix, 'en', { numeric: true }));
  }

  /** @throws AgentError `no-address` when `address` is no host address */
  async explain(address: string): Promise<ExplainAnswer> {
    const { table, reconciler, clock } = this.#parts;
    const prefix = hostPrefix(address);
    if (prefix === undefined) throw new AgentError('no-address', 'terminal', `${address} is no IPv4 or IPv6 address`);
    const advertised = await this.#advertised();
    return explain({
      prefix,
      claims: table.claims(prefix),
      decision: reconciler.decisions.get(prefix),
      sources: table.sources(),
      settings: reconciler.settings().decision,
      nowMs: clock.monotonicMs(),
      local: this.#isAway() ? 'away' : reconciler.view.get(prefix),
      peers: advertised?.map(({ status, routes }) => ({ status, advertised: routes?.get(prefix) })),
    });
  }

  #isAway(): boolean {
    return this.#parts.reconciler.state().kind === 'away';
  }

  /** Our route in GoBGP; undefined while GoBGP is away: nobody knows. */
  #own(prefix: Prefix): Route | undefined {
    const { reconciler } = this.#parts;
    if (this.#isAway()) return undefined;
    const route = reconciler.view.get(prefix);
    return route !== undefined && isMarked(route.attributes, reconciler.settings().decision.markers) ? route : undefined;
  }

  #listPeers(): Promise<readonly PeerStatus[] | undefined> {
    return ask((signal) => this.#parts.speaker.listPeers(signal));
  }

  /** Per peer what its export policy lets through; undefined when GoBGP cannot be asked. */
  async #advertised(): Promise<readonly { status: PeerStatus; routes: ReadonlyMap<Prefix, Route> | undefined }[] | undefined> {
    const { speaker } = this.#parts;
    const peers = await this.#listPeers();
    if (peers === undefined) return undefined;
    return Promise.all(
      peers.map(async (status) => {
        if (status.state !== 'established') return { status, routes: undefined };
        const routes = await ask((signal) => speaker.listAdvertised(status.name, signal));
        return { status, routes: routes === undefined ? undefined : new Map(routes.map((route) => [route.prefix, route])) };
      }),
    );
  }
}

/** What GoBGP says, or undefined when it says nothing in time: an answer about ourselves does not fail because of it. */
async function ask<T>(question: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
  try {
    return await question(AbortSignal.timeout(SPEAKER_TIMEOUT_MS));
  } catch {
    // The speaker's state says why; here only the answer is missing.
    return undefined;
  }
}
