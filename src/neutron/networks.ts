/**
 * Which networks are external, as Neutron says: asked once, kept, and asked again now and then. What is known stays known
 * when asking fails; a network of which nothing is known is never taken for either.
 */
import type { PortBinding } from '../domain/port-binding.ts';
import type { Clock } from '../lib/clock.ts';
import { AgentError, codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

export type NetworksOptions = {
  /** Whether what becomes of the port hangs on its network being external; false asks nothing. Live. */
  readonly matters: (port: PortBinding) => boolean;
  readonly ask: (networkId: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
};

/** An operator changes it about never. */
const REFRESH_MS = 600_000;

/** Who can write to the bus can name any network: no more than this many questions at once. */
const MAX_ASKED_AT_ONCE = 20;

export class Networks {
  readonly #options: NetworksOptions;
  readonly #known = new Map<string, { readonly external: boolean; readonly askedMs: number }>();
  readonly #asked = new Map<string, Promise<void>>();

  constructor(options: NetworksOptions) {
    this.#options = options;
  }

  /** The port with what is known of its network; undefined: that matters, and is not known. */
  completed(port: PortBinding): PortBinding | undefined {
    const known = this.#known.get(port.networkId);
    if (known !== undefined) return { ...port, external: known.external };
    return this.#options.matters(port) ? undefined : port;
  }

  /**
   * Resolves when it is known whether the network is external. Those who ask at the same time share one question.
   * @throws what asking threw, or AgentError `too-many-networks`
   */
  learn(networkId: string): Promise<void> {
    if (!this.#asked.has(networkId) && this.#asked.size >= MAX_ASKED_AT_ONCE)
      return Promise.reject(new AgentError('too-many-networks', 'retryable', 'too many networks are asked for at once'));
    return this.#learn(networkId);
  }

  /** The ports, completed, one question after the other. @throws what asking threw */
  async complete(ports: Iterable<PortBinding>): Promise<readonly PortBinding[]> {
    const completed: PortBinding[] = [];
    for (const port of ports) {
      let whole = this.completed(port);
      if (whole === undefined) {
        await this.#learn(port.networkId);
        whole = this.completed(port);
      }
      completed.push(whole ?? port);
    }
    return completed;
  }

  /**
   * Forgets the networks of none of `ports`, and asks again for what was asked long ago.
   * @returns whether an answer is another one than before
   */
  async refresh(ports: readonly PortBinding[]): Promise<boolean> {
    const { clock, log, matters } = this.#options;
    const used = new Set(ports.filter(matters).map(({ networkId }) => networkId));
    let changed = false;
    for (const [id, { external, askedMs }] of this.#known) {
      if (!used.has(id)) {
        this.#known.delete(id);
        continue;
      }
      if (askedMs + REFRESH_MS > clock.monotonicMs()) continue;
      try {
        await this.#learn(id);
        changed ||= this.#known.get(id)?.external !== external;
      } catch (error) {
        log.warn({ network: id, external, code: codeOf(error), error: messageOf(error) }, 'network could not be asked for again');
        break;
      }
    }
    return changed;
  }

  #learn(networkId: string): Promise<void> {
    const under = this.#asked.get(networkId);
    if (under !== undefined) return under;
    const asked = this.#ask(networkId).finally(() => this.#asked.delete(networkId));
    this.#asked.set(networkId, asked);
    return asked;
  }

  async #ask(networkId: string): Promise<void> {
    const external = await this.#options.ask(networkId);
    if (this.#known.get(networkId)?.external !== external) this.#options.log.info({ network: networkId, external }, 'network');
    this.#known.set(networkId, { external, askedMs: this.#options.clock.monotonicMs() });
  }
}
