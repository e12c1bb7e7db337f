/**
 * The last word per port and source, tombstones of what is gone, and whether each source is in sync.
 * It remembers and indexes; what follows from it is decided elsewhere (domain/decision.ts).
 *
 * INVARIANTS
 * - A state older than the one known (revision_number) changes nothing; an equal one is accepted.
 * - A port of another host is kept only if it was ours, or if it speaks of an address that we announce in doubt.
 * - What is gone stays as a tombstone while it explains a withdrawal, and `TOMBSTONE_MS` longer for `explain`.
 */
import type { Claim, Restraint } from '../domain/decision.ts';
import type { PortBinding } from '../domain/port-binding.ts';
import { hostPrefix, type Prefix } from '../domain/prefix.ts';
import type { Clock } from '../lib/clock.ts';
import type { BindingSink, Interest, RemovalCause, SourceWarning, Telemetry } from './ports.ts';

const TOMBSTONE_MS = 10 * 60_000;

/** Far more than a host has. Whoever can write to the bus can invent ports; they must not fill the memory. */
const MOST_PORTS = 50_000;

/** A snapshot that insists on an older state for this long is believed: Neutron's database was set back. */
const INSIST_MS = 60_000;

/** What the table knows of one port. `stored`: only from the state store, so nobody has spoken of it in this process. */
export type PortEntry = {
  readonly source: string;
  readonly state: Claim['state'] | 'stored';
  readonly port: PortBinding;
  /** When this state, its addresses or their place here began, on the monotonic clock. */
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
  /** By source and port id (`keyOf`): two sources may know ports of one id. */
  readonly #ports = new Map<string, PortEntry>();
  /** Older states that snapshots tell, by the same key. */
  readonly #insisting = new Map<string, { readonly revisionNumber: number; readonly sinceMs: number }>();
  readonly #portsByPrefix = new Map<Prefix, Set<string>>();
  readonly #sources = new Map<string, SourceStatus>();
  readonly #warnings = new Map<string, Map<SourceWarning, string>>();
  #dirty = new Map<Prefix, number>();
  #sourcesChanged = false;
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
        this.#upsert(name, binding, false);
        this.#onChange();
      },
      remove: (portId, cause) => {
        this.#remove(name, portId, cause);
        this.#onChange();
      },
      lost: (reason) => this.#lost(name, reason),
      warn: (warning, text) => this.#warn(name, warning, text),
    };
  }

  /** Puts in what the state store held: ids to look up, and what a port was should nobody know it any more. */
  seed(source: string, ports: readonly PortBinding[]): void {
    for (const port of ports) {
      if (!this.#ports.has(keyOf(source, port.portId))) this.#set(this.#entry(source, 'stored', port, []));
    }
  }

  configure(settings: TableSettings): void {
    this.#settings = settings;
    for (const entry of this.#ports.values())
      this.#set({ ...this.#entry(entry.source, entry.state, entry.port, allPrefixes(entry)), sinceMs: entry.sinceMs });
  }

  /** Addresses that are announced in doubt: from now on a push that names one is of interest. */
  setDoubts(prefixes: Iterable<Prefix>): void {
    this.#doubtedAddresses = [...prefixes].map((prefix) => prefix.slice(0, prefix.indexOf('/')));
  }

  /** Whether a source came in sync, told a snapshot or was lost since the last call. */
  takeSourcesChanged(): boolean {
    const isChanged = this.#sourcesChanged;
    this.#sourcesChanged = false;
    return isChanged;
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

  /** What an operator has to end, of each source. */
  warnings(source: string): ReadonlyMap<SourceWarning, string> {
    return this.#warnings.get(source) ?? new Map();
  }

  /** Why no new address of a source may be announced. */
  restraint(source: string): Restraint | undefined {
    const warnings = this.#warnings.get(source);
    return (['agent-disabled', 'host-name-twice'] as const).find((restraint) => warnings?.has(restraint));
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
      hasPort: (portId) => this.#ports.has(keyOf(source, portId)),
      portIds: () => [...this.#ports.values()].filter((entry) => entry.source === source).map(({ port }) => port.portId),
      port: (portId) => {
        const entry = this.#ports.get(keyOf(source, portId));
        return entry?.state === 'present' ? entry.port : undefined;
      },
      addresses: () => this.#doubtedAddresses,
    };
  }

  #replace(source: string, bindings: readonly PortBinding[]): void {
    const told = new Set<string>();
    for (const binding of bindings) {
      told.add(binding.portId);
      this.#upsert(source, binding, true);
    }
    for (const entry of this.#ports.values()) {
      if (entry.source !== source || told.has(entry.port.portId)) continue;
      if (entry.state === 'unconfirmed') this.#enter(entry, 'deleted');
      else if (entry.state !== 'deleted' && entry.state !== 'not-found') this.#enter(entry, 'not-found');
    }
    this.#sourcesChanged = true;
    this.#sources.set(source, { name: source, inSync: true, inSyncOnce: true, snapshotMs: this.#clock.monotonicMs() });
    this.#telemetry.count({ kind: 'source-in-sync', source, ports: bindings.length });
    this.#onChange();
  }

  #upsert(source: string, port: PortBinding, isSnapshot: boolean): void {
    const known = this.#ports.get(keyOf(source, port.portId));
    if (known !== undefined && isOlder(port, known, isSnapshot) && !this.#insists(known, port, isSnapshot)) {
      this.#telemetry.count({ kind: 'bus-message', source, outcome: 'stale' });
      // It is there at least, and what the last process knew of it is newer.
      if (known.state === 'stored') this.#enter(known, 'present');
      return;
    }
    this.#insisting.delete(keyOf(source, port.portId));
    if (known === undefined && !this.#concernsUs(port)) return;
    if (known === undefined && this.#ports.size >= MOST_PORTS)
      return this.#telemetry.count({ kind: 'bus-message', source, outcome: 'unsupported', detail: `more than ${MOST_PORTS} ports` });
    const before = known === undefined ? [] : allPrefixes(known);
    const entry = this.#entry(source, 'present', withKnownNetwork(port, known?.port), before);
    this.#set(known !== undefined && this.#isSameLife(known, entry) ? { ...entry, sinceMs: known.sinceMs } : entry);
  }

  /** Whether a snapshot tells an older state again after a while: then it is not a replica that lags. */
  #insists({ source }: PortEntry, { portId, revisionNumber }: PortBinding, isSnapshot: boolean): boolean {
    if (!isSnapshot) return false;
    const key = keyOf(source, portId);
    const first = this.#insisting.get(key);
    if (first?.revisionNumber === revisionNumber) return this.#clock.monotonicMs() >= first.sinceMs + INSIST_MS;
    this.#insisting.set(key, { revisionNumber, sinceMs: this.#clock.monotonicMs() });
    return false;
  }

  #remove(source: string, portId: string, cause: RemovalCause): void {
    const entry = this.#ports.get(keyOf(source, portId));
    if (entry === undefined || entry.state === 'deleted') return;
    this.#enter(entry, cause);
  }

  #lost(source: string, reason: string): void {
    const status = this.#sources.get(source);
    if (status === undefined) return;
    this.#sources.set(source, { ...status, inSync: false, lostReason: reason });
    if (status.inSync || status.lostReason !== reason) this.#telemetry.count({ kind: 'source-lost', source, reason });
    this.#onChange();
  }

  #warn(source: string, warning: SourceWarning, text: string | undefined): void {
    const warnings = this.#warnings.get(source) ?? new Map<SourceWarning, string>();
    if (warnings.get(warning) === text) return;
    if (text === undefined) warnings.delete(warning);
    else warnings.set(warning, text);
    this.#warnings.set(source, warnings);
    this.#telemetry.count({ kind: 'source-warning', source, warning, text });
    for (const entry of this.#ports.values()) if (entry.source === source) for (const prefix of entry.prefixes) this.#markDirty(prefix);
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
    const before = this.#ports.get(keyOf(entry.source, entry.port.portId));
    if (before !== undefined) this.#unindex(before);
    this.#ports.set(keyOf(entry.source, entry.port.portId), entry);
    this.#index(entry);
  }

  #delete(entry: PortEntry): void {
    this.#unindex(entry);
    this.#ports.delete(keyOf(entry.source, entry.port.portId));
    this.#insisting.delete(keyOf(entry.source, entry.port.portId));
  }

  #index(entry: PortEntry): void {
    for (const prefix of allPrefixes(entry)) {
      const keys = this.#portsByPrefix.get(prefix);
      if (keys === undefined) this.#portsByPrefix.set(prefix, new Set([keyOf(entry.source, entry.port.portId)]));
      else keys.add(keyOf(entry.source, entry.port.portId));
      this.#markDirty(prefix);
    }
  }

  #unindex(entry: PortEntry): void {
    for (const prefix of allPrefixes(entry)) {
      const keys = this.#portsByPrefix.get(prefix);
      keys?.delete(keyOf(entry.source, entry.port.portId));
      if (keys?.size === 0) this.#portsByPrefix.delete(prefix);
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

  #isSameLife(a: PortEntry, b: PortEntry): boolean {
    const isSame = a.state === b.state && this.#isLive(a) === this.#isLive(b);
    return isSame && allPrefixes(a).toString() === allPrefixes(b).toString();
  }

  #isLive({ state, port }: PortEntry): boolean {
    return state === 'stored' || (state === 'present' && port.bindings.some(({ host }) => host === this.#settings.host));
  }
}

function keyOf(source: string, portId: string): string {
  return `${source} ${portId}`;
}

/** A deletion that was confirmed is not undone by a snapshot of the state it deleted, only by a look-up of the port itself. */
function isOlder(port: PortBinding, { state, port: known }: PortEntry, isSnapshot: boolean): boolean {
  const isRevival = isSnapshot && state === 'deleted' && port.revisionNumber === known.revisionNumber;
  return isRevival || port.revisionNumber < known.revisionNumber;
}

/** A port never changes its network: what was known of the network once is not forgotten because a message does not say it. */
function withKnownNetwork(port: PortBinding, known: PortBinding | undefined): PortBinding {
  if (port.external !== undefined || known?.external === undefined || known.networkId !== port.networkId) return port;
  return { ...port, external: known.external };
}

function allPrefixes({ prefixes, formerPrefixes }: PortEntry): readonly Prefix[] {
  return formerPrefixes.length === 0 ? prefixes : [...prefixes, ...formerPrefixes];
}
