/** How long what a source told took until GoBGP acknowledged it: promise P5, as measured on every host. */
import type { Prefix } from '../domain/prefix.ts';
import type { Telemetry } from './ports.ts';

export class EventLatency {
  readonly #telemetry: Telemetry;
  readonly #receivedMs = new Map<Prefix, number>();

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** @param dirty prefixes with the time of the first change that is not yet carried out */
  received(dirty: ReadonlyMap<Prefix, number>): void {
    for (const [prefix, receivedMs] of dirty) if (!this.#receivedMs.has(prefix)) this.#receivedMs.set(prefix, receivedMs);
  }

  /** The change needs no advertisement. */
  settled(prefix: Prefix): void {
    this.#receivedMs.delete(prefix);
  }

  advertised(prefix: Prefix, nowMs: number): void {
    const receivedMs = this.#receivedMs.get(prefix);
    if (receivedMs !== undefined) this.#telemetry.observe({ kind: 'event-to-advertise', ms: nowMs - receivedMs });
    this.#receivedMs.delete(prefix);
  }
}
