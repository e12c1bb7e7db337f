/**
 * The last word per port and source, tombstones of what is gone, and whether each source is in sync.
 * It remembers and indexes; what follows from it is decided elsewhere (domain/decision.ts).
 *
 * INVARIANTS
 * - A state older than the one known (revision_number) changes nothing; an equal one is accepted.
 * - A port of another host is kept only if it was ours, or if it speaks of an address that we announce in doubt.
 * - What is gone stays as a tombstone while it explains a withdrawal, and `TOMBSTONE_MS` longer for `explain`.
 */
import type { Claim } from '../domain/decision.ts';
import type { PortBinding } from '../domain/port-binding.ts';
import { hostPrefix, type Prefix } from '../domain/prefix.ts';
import type { Clock } from '../lib/clock.ts';
import type { BindingSink, Interest, RemovalCause, Telemetry } from './ports.ts';

const TOMBSTONE_MS = 10 * 60_000;

/** What the table knows of one port. `stored`: only from the state store, so nobody has spoken of it in this process. */
export type PortEntry = {
  readonly source: string;
  readonly state: Claim['state'] | 'stored';
  readonly port: PortBinding;
  /** When this state began, on the monotonic clock. */
  readonly sinceMs: number;
  /** The host routes of the addresses that the port holds. */
  readonly prefixes: readonly Prefix[];
  /** Addresses that the port held before and does not hold now. */
  readonly formerPrefixes: readonly Prefix[];
};

export type SourceStatus = {
  readonly name: string;
  readonly inSync: boolean;
  readonly inSyncOnce: boolean;
  /** When the last complete snapshot came, on the monotonic clock; -Infinity: never. */
  readonly snapshotMs: number;
  readonly lostReason?: string;
};

export type TableSettings = { readonly host: string; readonly allowedAddressPairs: boolean };

export class BindingTable {
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #onChange: () => void;
  #settings: TableSettings;
  readonly #ports = new Map<string, PortEntry>();
  readonly #portsByPrefix = new Map<Prefix, Set<string>>();
  readonly #sources = new Map<string, SourceStatus>();
  #dirty = new Map<Prefix, number>();
  #doubtedAddresses: readonly string[] = [];

  /** @param onChange called after every call of a sink; it carries no meaning */
  constructor(options: { settings: TableSettings; clock: Clock; telemetry: Telemetry; onChange?: () => void }) {
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#telemetry = options.telemetry;
    this.#onChange = options.onChange ?? (() => {});
  }

  /** The sink of one source; naming a source here makes everyone wait for it to be in sync once. */
  sink(name: string): BindingSink {
    this.#sources.set(name, { name, inSync: false, inSyncOnce: false, snapshotMs: Number.NEGATIVE_INFINITY });
    return {
      interest: this.#interest(name),
      replace: (bindings) => this.#replace(name, bindings),
      upsert: (binding) => {
        this.#upsert(name, binding);
        this.#onChange();
      },
      remove: (portId, cause) => {
        this.#remove(name, portId, cause);
        this.#onChange();
      },
      lost: (reason) => this.#lost(name, reason),
    };
  }

  /** Puts in what the state store held: ids to look up, and what a port was should nobody know it any more. */
  seed(source: string, ports: readonly PortBinding[]): void {
    for (const port of ports) {
      if (!this.#ports.has(port.portId)) this.#set(this.#entry(source, 'stored', port, []));
    }
  }

  configure(settings: TableSettings): void {
    this.#settings = settings;
    for (const entry of this.#ports.values()) this.#set({ ...entry, prefixes: this.#prefixesOf(entry.port) });
  }

  /** Addresses that are announced in doubt: from now on a push that names one is of interest. */
  setDoubts(prefixes: Iterable<Prefix>): void {
    this.#doubtedAddresses = [...prefixes].map((prefix) => prefix.slice(0, prefix.indexOf('/')));
  }

  /** Prefixes whose claims changed since the last call, each with the time of the first change. */
  takeDirty(): ReadonlyMap<Prefix, number> {
    const dirty = this.#dirty;
    this.#dirty = new Map();
    return dirty;
  }

  /** Every prefix that some port holds or held. */
  prefixes(): Iterable<Prefix> {
    return this.#portsByPrefix.keys();
  }

  claims(prefix: Prefix): readonly Claim[] {
    const ids = this.#portsByPrefix.get(prefix);
    if (ids === undefined) return [];
    const claims: Claim[] = [];
    for (const id of ids) {
      const entry = this.#ports.get(id);
      if (entry === undefined || entry.state === 'stored') continue;
      const { source, state, port, prefixes } = entry;
      claims.push({ source, state, port, holds: prefixes.includes(prefix) });
    }
    return claims;
  }

  ports(): Iterable<PortEntry> {
    return this.#ports.values();
  }

  /** What the next process should know: every port but those that are surely gone. */
  portsToKeep(): readonly Pick<PortEntry, 'source' | 'port'>[] {
    return [...this.#ports.values()].filter(({ state }) => state !== 'deleted').map(({ source, port }) => ({ source, port }));
  }

  sources(): readonly SourceStatus[] {
    return [...this.#sources.values()];
  }

  inSyncOnce(): boolean {
    return this.sources().every(({ inSyncOnce }) => inSyncOnce);
  }

  /** When the last complete snapshot of a source came; without a name: the oldest of all sources' last ones. */
  snapshotMs(source?: string): number {
    const asked = source === undefined ? this.sources() : this.sources().filter(({ name }) => name === source);
    return Math.min(...asked.map(({ snapshotMs }) => snapshotMs));
  }

  /**
   * Forgets tombstones, former addresses and foreign ports that have nothing left to explain.
   * @param isOwn whether a route of ours still holds the prefix
   */
  collect(isOwn: (prefix: Prefix) => boolean): void {
    const old = this.#clock.monotonicMs() - TOMBSTONE_MS;
    for (const entry of this.#ports.values()) {
      if (entry.sinceMs > old) continue;
      const formerPrefixes = entry.formerPrefixes.filter(isOwn);
      if (this.#isLive(entry)) {
        if (formerPrefixes.length !== entry.formerPrefixes.length) this.#set({ ...entry, formerPrefixes });
      } else if (formerPrefixes.length === 0 && !entry.prefixes.some(isOwn)) this.#delete(entry);
    }
  }

  #interest(source: string): Interest {
    return {
      hasPort: (portId) => this.#ports.get(portId)?.source === source,
      portIds: () => [...this.#ports.values()].filter((entry) => entry.source === source).map(({ port }) => port.portId),
      addresses: () => this.#doubtedAddresses,
    };
  }

  #replace(source: string, bindings: readonly PortBinding[]): void {
    const told = new Set<string>();
    for (const binding of bindings) {
      told.add(binding.portId);
      this.#upsert(source, binding);
    }
    for (const entry of this.#ports.values()) {
      if (entry.source !== source || told.has(entry.port.portId)) continue;
      if (entry.state === 'unconfirmed') this.#enter(entry, 'deleted');
      else if (entry.state !== 'deleted' && entry.state !== 'not-found') this.#enter(entry, 'not-found');
    }
    this.#sources.set(source, { name: source, inSync: true, inSyncOnce: true, snapshotMs: this.#clock.monotonicMs() });
    this.#telemetry.count({ kind: 'source-in-sync', source, ports: bindings.length });
    this.#onChange();
  }

  #upsert(source: string, port: PortBinding): void {
    const known = this.#ports.get(port.portId);
    if (known !== undefined && known.state !== 'stored' && port.revisionNumber < known.port.revisionNumber) {
      this.#telemetry.count({ kind: 'bus-message', source, outcome: 'stale' });
      return;
    }
    if (known === undefined && !this.#concernsUs(port)) return;
    this.#set(this.#entry(source, 'present', port, known === undefined ? [] : allPrefixes(known)));
  }

  #remove(source: string, portId: string, cause: RemovalCause): void {
    const entry = this.#ports.get(portId);
    if (entry === undefined || entry.source !== source || entry.state === 'deleted') return;
    this.#enter(entry, cause);
  }

  #lost(source: string, reason: string): void {
    const status = this.#sources.get(source);
    if (status === undefined) return;
    this.#sources.set(source, { ...status, inSync: false, lostReason: reason });
    if (status.inSync || status.lostReason !== reason) this.#telemetry.count({ kind: 'source-lost', source, reason });
    this.#onChange();
  }

  #entry(source: string, state: PortEntry['state'], port: PortBinding, before: readonly Prefix[]): PortEntry {
    const prefixes = this.#prefixesOf(port);
    const formerPrefixes = before.filter((prefix) => !prefixes.includes(prefix));
    return { source, state, port, sinceMs: this.#clock.monotonicMs(), prefixes, formerPrefixes };
  }

  #enter(entry: PortEntry, state: PortEntry['state']): void {
    this.#set({ ...entry, state, sinceMs: this.#clock.monotonicMs() });
  }

  #set(entry: PortEntry): void {
    const before = this.#ports.get(entry.port.portId);
    if (before !== undefined) this.#unindex(before);
    this.#ports.set(entry.port.portId, entry);
    this.#index(entry);
  }

  #delete(entry: PortEntry): void {
    this.#unindex(entry);
    this.#ports.delete(entry.port.portId);
  }

  #index(entry: PortEntry): void {
    for (const prefix of allPrefixes(entry)) {
      const ids = this.#portsByPrefix.get(prefix);
      if (ids === undefined) this.#portsByPrefix.set(prefix, new Set([entry.port.portId]));
      else ids.add(entry.port.portId);
      this.#markDirty(prefix);
    }
  }

  #unindex(entry: PortEntry): void {
    for (const prefix of allPrefixes(entry)) {
      const ids = this.#portsByPrefix.get(prefix);
      ids?.delete(entry.port.portId);
      if (ids?.size === 0) this.#portsByPrefix.delete(prefix);
      this.#markDirty(prefix);
    }
  }

  #markDirty(prefix: Prefix): void {
    if (!this.#dirty.has(prefix)) this.#dirty.set(prefix, this.#clock.monotonicMs());
  }

  #prefixesOf(port: PortBinding): readonly Prefix[] {
    const addresses = this.#settings.allowedAddressPairs ? [...port.fixedIps, ...port.allowedAddressPairs] : port.fixedIps;
    return [...new Set(addresses.flatMap((address) => hostPrefix(address) ?? []))];
  }

  #concernsUs(port: PortBinding): boolean {
    if (port.bindings.some(({ host }) => host === this.#settings.host)) return true;
    return port.fixedIps.some((address) => this.#doubtedAddresses.includes(address));
  }

  #isLive({ state, port }: PortEntry): boolean {
    return state === 'stored' || (state === 'present' && port.bindings.some(({ host }) => host === this.#settings.host));
  }
}

function allPrefixes({ prefixes, formerPrefixes }: PortEntry): readonly Prefix[] {
  return formerPrefixes.length === 0 ? prefixes : [...prefixes, ...formerPrefixes];
}
