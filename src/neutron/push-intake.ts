/**
 * What becomes of each push. A push that concerns us goes on at once, in the consumer's own turn of the event loop.
 * While a snapshot is taken, all others are kept as well, until it has shown which ports are ours: one that moved away
 * meanwhile names neither our host nor a port that we know.
 */
import type { BindingSink, BusOutcome, Telemetry, TelemetryEvent } from '../core/ports.ts';
import type { PortBinding } from '../domain/port-binding.ts';
import type { Cast } from '../oslo/fanout.ts';
import type { Deletions } from './deletions.ts';
import type { LostMessages } from './lost-messages.ts';
import type { Networks } from './networks.ts';
import { decodePush, type PortPush } from './push.ts';
import { relevanceFor } from './relevance.ts';

/** How many ports may wait to be known as one of an external network, or not. */
const MAX_WAITING = 1_000;

/** Beyond it pushes are forgotten, and another snapshot has to make up for them. */
const MAX_KEPT = 50_000;

export type IntakeOptions = {
  readonly source: string;
  readonly host: string;
  readonly sink: BindingSink;
  readonly deletions: Deletions;
  readonly telemetry: Telemetry;
  readonly networks: Networks;
  readonly lostMessages: LostMessages;
  /** Told when a push cannot be taken for what it says, and a snapshot has to make up for it. */
  readonly needsSnapshot: () => void;
  /** Aborted when the session is over: what still waits then is told by nobody. */
  readonly signal: AbortSignal;
};

/** The pushes of one session. */
export class PushIntake {
  readonly #options: IntakeOptions;
  readonly #relevance: ReturnType<typeof relevanceFor>;
  readonly #foreign: TelemetryEvent;
  #inSync = false;
  /** The newest state that a push told of each port since the snapshot began; undefined while none is taken. */
  #kept: Map<string, PortBinding> | undefined = new Map();
  #deleted = new Set<string>();
  #overflowed = false;
  /** The newest state of each port whose network is being asked for. */
  readonly #waiting = new Map<string, PortBinding>();

  constructor(options: IntakeOptions) {
    this.#options = options;
    const { interest } = options.sink;
    // What becomes of a port that waits matters as if it were held: it may have moved away when the answer comes.
    this.#foreign = { kind: 'bus-message', source: options.source, outcome: 'foreign' };
    this.#relevance = relevanceFor(options.host, {
      hasPort: (id) => this.#waiting.has(id) || interest.hasPort(id),
      addresses: () => interest.addresses(),
    });
  }

  /** Whether the session has had its first snapshot. */
  get inSync(): boolean {
    return this.#inSync;
  }

  wants(body: Buffer): boolean {
    return this.#kept !== undefined || this.#relevance.mayConcern(body);
  }

  dropped(why: 'foreign' | 'duplicate' | 'malformed', detail?: string): void {
    // By far the most: they share one event.
    if (why === 'foreign') this.#options.telemetry.count(this.#foreign);
    else this.#count(why, detail);
  }

  receive(cast: Cast): void {
    for (const push of decodePush(cast)) this.#take(push);
  }

  /** From now on everything is kept. Before the first snapshot that is so from the beginning. */
  snapshotBegins(): void {
    this.#kept ??= new Map();
  }

  /** Ids told as deleted since this was last called. */
  takeDeleted(): readonly string[] {
    const ids = [...this.#deleted];
    this.#deleted.clear();
    return ids;
  }

  /**
   * Hands over a snapshot, and after it what the pushes said meanwhile, in one turn: nobody sees the one without the other.
   *
   * @returns false when pushes had to be forgotten
   */
  snapshotEnds(ports: readonly PortBinding[]): boolean {
    const { sink, deletions, lostMessages } = this.#options;
    const kept = this.#kept ?? new Map<string, PortBinding>();
    if (this.#inSync) lostMessages.suspect(ports, kept, (id) => deletions.covers(id));
    this.#waiting.clear();
    sink.replace(ports);
    for (const port of kept.values()) if (this.#relevance.concerns(port) && !deletions.covers(port.portId)) this.#tell(port);
    const complete = !this.#overflowed;
    this.#inSync = true;
    this.#stopKeeping();
    return complete;
  }

  /** A snapshot came to nothing. Before the first one, what was kept still waits for it. */
  snapshotFails(): void {
    if (this.#inSync) this.#stopKeeping();
  }

  #stopKeeping(): void {
    this.#kept = undefined;
    this.#deleted.clear();
    this.#overflowed = false;
  }

  #take(push: PortPush): void {
    switch (push.kind) {
      case 'updated':
        return this.#takeUpdated(push.port);
      case 'deleted':
        return this.#takeDeleted(push.portId);
      case 'malformed':
      case 'unsupported':
        return this.#count(push.kind, push.reason);
    }
  }

  #takeUpdated(port: PortBinding): void {
    const { sink, deletions, lostMessages } = this.#options;
    lostMessages.told(port.portId, port.revisionNumber);
    if (deletions.covers(port.portId)) {
      deletions.contradicted(port.portId);
      return this.#count('applied');
    }
    this.#keep(port);
    // A port that is new to us waits for the first snapshot: until then nothing new is told.
    const atOnce = sink.interest.hasPort(port.portId) || (this.#inSync && this.#relevance.concerns(port));
    if (atOnce) this.#tell(port);
    this.#count(atOnce || this.#relevance.concerns(port) ? 'applied' : 'foreign');
  }

  #takeDeleted(portId: string): void {
    const { sink, deletions, lostMessages } = this.#options;
    lostMessages.told(portId, Number.POSITIVE_INFINITY);
    this.#kept?.delete(portId);
    if (this.#kept !== undefined && this.#deleted.size < MAX_KEPT) this.#deleted.add(portId);
    const waited = this.#waiting.delete(portId);
    if (!waited && !sink.interest.hasPort(portId) && !deletions.covers(portId)) return this.#count('foreign');
    deletions.told(portId);
    this.#count('applied');
  }

  /** Tells a port when it is known whether its network is external, if that matters. Orders for a port that we hold do not wait. */
  #tell(port: PortBinding): void {
    const { sink, networks, needsSnapshot } = this.#options;
    const whole = networks.completed(port);
    const waiting = this.#waiting.get(port.portId);
    if (whole !== undefined) {
      if (waiting !== undefined && waiting.revisionNumber <= port.revisionNumber) this.#waiting.delete(port.portId);
      return sink.upsert(whole);
    }
    if (sink.interest.hasPort(port.portId)) sink.upsert(port);
    if (waiting !== undefined && waiting.revisionNumber > port.revisionNumber) return;
    if (waiting === undefined && this.#waiting.size >= MAX_WAITING) return needsSnapshot();
    this.#waiting.set(port.portId, port);
    if (waiting?.networkId !== port.networkId) void this.#learn(port.networkId);
  }

  async #learn(networkId: string): Promise<void> {
    const { sink, networks, deletions, needsSnapshot, signal } = this.#options;
    const isKnown = await networks.learn(networkId).then(
      () => true,
      () => false, // counted and logged where it was asked
    );
    if (signal.aborted) return;
    const waiting = [...this.#waiting.values()].filter((port) => port.networkId === networkId);
    for (const port of waiting) this.#waiting.delete(port.portId);
    if (!isKnown) return needsSnapshot();
    for (const port of waiting) if (!deletions.covers(port.portId)) sink.upsert(networks.completed(port) ?? port);
  }

  #keep(port: PortBinding): void {
    if (this.#kept === undefined) return;
    const known = this.#kept.get(port.portId);
    if (known !== undefined && known.revisionNumber > port.revisionNumber) return;
    if (known === undefined && this.#kept.size >= MAX_KEPT) this.#overflowed = true;
    else this.#kept.set(port.portId, port);
  }

  #count(outcome: BusOutcome, detail?: string): void {
    const { telemetry, source } = this.#options;
    telemetry.count({ kind: 'bus-message', source, outcome, ...(detail === undefined ? {} : { detail }) });
  }
}
