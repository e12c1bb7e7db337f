/**
 * A BGP speaker in memory that can be made to fail in ways the real one cannot be asked for. It keeps state like GoBGP
 * (one local path per prefix, one watch stream, lost on restart), and reports misuse instead of forgiving it.
 */
import type {
  LocalRoutes,
  Operation,
  Outcome,
  PeerOutcome,
  PeerStatus,
  Speaker,
  SpeakerFacts,
  WatchHandlers,
} from '../../src/core/ports.ts';
import { prefixOf } from '../../src/domain/plan.ts';
import type { Prefix } from '../../src/domain/prefix.ts';
import { isMarked, type Route, sameRoute } from '../../src/domain/route.ts';
import { peerName, type SpeakerSettings } from '../../src/domain/settings.ts';
import { AgentError } from '../../src/lib/errors.ts';
import { MARKER } from './ports.ts';

export class FakeSpeaker implements Speaker {
  /** Every operation that changed something, oldest first. */
  readonly log: Operation[] = [];
  /** What no correct caller does. */
  readonly misuse: string[] = [];
  readonly refused = new Set<Prefix>();
  /** Routes that are acknowledged and silently dropped, as an import policy does. */
  readonly swallowed = new Set<Prefix>();
  /** The next applied operations take effect or not, and nobody is told which. */
  unknownNext: 'applied' | 'lost' | undefined;
  peersAtOpen: number | undefined;
  reads = 0;
  /** How long `openPeers` takes: until this settles. */
  peersTake: Promise<void> = Promise.resolve();
  #isUp = true;
  #isStarted: boolean;
  #peers: readonly string[] = [];
  #routes = new Map<Prefix, Route>();
  #watch: { readonly handlers: WatchHandlers; readonly end: (error?: Error) => void } | undefined;
  /** Prefixes whose last change is still on its way to the watcher. */
  readonly #untold = new Set<Prefix>();
  #applying = 0;
  #isOpening = false;

  constructor(state: 'empty' | 'running' = 'empty') {
    this.#isStarted = state === 'running';
    if (state === 'running') this.#peers = ['running before'];
  }

  routes(): LocalRoutes {
    return this.#routes;
  }

  peers(): readonly string[] {
    return this.#peers;
  }

  ownPrefixes(): string[] {
    return [...this.#routes.values()]
      .filter(({ attributes }) => isMarked(attributes, [MARKER]))
      .map(({ prefix }) => prefix)
      .toSorted();
  }

  /** Somebody else, or a test, changes a path by hand. */
  put(route: Route): void {
    this.#change(route.prefix, route);
  }

  drop(prefix: Prefix): void {
    this.#change(prefix, undefined);
  }

  goAway(): void {
    this.#isUp = false;
    this.#endWatch(new AgentError('unavailable', 'retryable', 'connection refused'));
  }

  comeBack(): void {
    this.#isUp = true;
  }

  /** Loses everything, as gobgpd does. `quietly`: BGP was stopped over the API, which the watch stream does not tell. */
  restart({ quietly = false } = {}): void {
    this.#routes = new Map();
    this.#isStarted = false;
    this.#peers = [];
    this.#isUp = true;
    if (!quietly) this.#endWatch();
  }

  async prepare(): Promise<'empty' | 'running'> {
    await this.#answer();
    const was = this.#isStarted ? 'running' : 'empty';
    this.#isStarted = true;
    return was;
  }

  facts(): SpeakerFacts {
    return { warnings: [] };
  }

  async listLocalRoutes(): Promise<LocalRoutes> {
    await this.#answer();
    this.reads += 1;
    return new Map(this.#routes);
  }

  async apply(operations: readonly Operation[]): Promise<readonly Outcome[]> {
    this.#applying += 1;
    if (this.#applying > 1) this.misuse.push('two runs overlap');
    if (operations.length === 0) this.misuse.push('nothing to apply');
    const kinds = operations.map(({ kind }) => kind).join(' ');
    if (kinds.includes('withdraw advertise')) this.misuse.push('withdraw before advertise');
    await Promise.resolve();
    const unknown = this.unknownNext;
    this.unknownNext = undefined;
    const outcomes = operations.map((operation): Outcome => {
      if (!this.#isUp) return { operation, result: 'unknown', error: 'connection lost' };
      if (unknown !== undefined) {
        if (unknown === 'applied') this.#perform(operation);
        return { operation, result: 'unknown', error: 'deadline exceeded' };
      }
      if (this.refused.has(prefixOf(operation))) return { operation, result: 'failed', error: 'refused' };
      this.#perform(operation);
      return { operation, result: 'done' };
    });
    this.#applying -= 1;
    return outcomes;
  }

  async openPeers(settings: SpeakerSettings): Promise<readonly PeerOutcome[]> {
    if (this.#isOpening) this.misuse.push('peers are opened twice at once');
    this.#isOpening = true;
    try {
      await this.#answer();
      await this.peersTake;
    } finally {
      this.#isOpening = false;
    }
    this.peersAtOpen ??= this.#routes.size;
    const before = this.#peers;
    this.#peers = settings.peers.map(peerName);
    return this.#peers.map((name) => ({ name, result: before.includes(name) ? 'unchanged' : 'added' }));
  }

  async listPeers(): Promise<readonly PeerStatus[]> {
    await this.#answer();
    return this.#peers.map((name) => ({ name, asn: 64500, state: 'established', adminDown: false, families: ['ipv4'] }));
  }

  async listAdvertised(): Promise<readonly Route[]> {
    await this.#answer();
    return [...this.#routes.values()];
  }

  async watch(handlers: WatchHandlers, signal: AbortSignal): Promise<void> {
    await this.#answer();
    if (signal.aborted) return;
    await new Promise<void>((resolve, reject) => {
      const end = (error?: Error): void => {
        if (this.#watch?.end === end) this.#watch = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#watch = { handlers, end };
      signal.addEventListener('abort', () => end(), { once: true });
      handlers.live();
    });
  }

  #perform(operation: Operation): void {
    const prefix = prefixOf(operation);
    const have = this.#routes.get(prefix);
    if (operation.kind === 'advertise') {
      if (sameRoute(have, operation.route)) this.misuse.push(`unchanged ${prefix} advertised again`);
      if (this.swallowed.has(prefix)) return;
      this.log.push(operation);
      this.#change(prefix, operation.route);
    } else {
      // GoBGP cannot delete a path only if it is ours: one that was overwritten a moment ago, unknown to the caller, goes too.
      const isForeign = have !== undefined && !isMarked(have.attributes, [MARKER]);
      if (isForeign && !this.#untold.has(prefix)) this.misuse.push(`foreign ${prefix} withdrawn`);
      if (have !== undefined) this.log.push(operation);
      this.#change(prefix, undefined);
    }
  }

  #change(prefix: Prefix, route: Route | undefined): void {
    if (sameRoute(this.#routes.get(prefix), route)) return;
    if (route === undefined) this.#routes.delete(prefix);
    else this.#routes.set(prefix, route);
    const watch = this.#watch;
    // The stream is another connection: its event may come before or after the acknowledgement.
    if (watch === undefined) return;
    this.#untold.add(prefix);
    setImmediate(() => {
      this.#untold.delete(prefix);
      if (this.#watch === watch) watch.handlers.route(prefix, route);
    });
  }

  #endWatch(error?: Error): void {
    this.#watch?.end(error);
  }

  async #answer(): Promise<void> {
    await Promise.resolve();
    if (!this.#isUp) throw new AgentError('unavailable', 'retryable', 'connection refused');
  }
}
