/** The sessions with the routers, as the watch stream told them last; every change is told to telemetry. */
import type { PeerOutcome, PeerStatus, Telemetry } from './ports.ts';

export type PeerSession = Pick<PeerStatus, 'name' | 'asn' | 'state'>;

export class PeerSessions {
  readonly #telemetry: Telemetry;
  readonly #sessions = new Map<string, PeerSession>();

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** Empty while the speaker is away. */
  all(): readonly PeerSession[] {
    return [...this.#sessions.values()];
  }

  told(session: PeerSession): void {
    const from = this.#sessions.get(session.name)?.state ?? 'unknown';
    this.#sessions.set(session.name, session);
    if (from !== session.state) this.#telemetry.count({ kind: 'peer-state', peer: session.name, from, to: session.state });
  }

  configured(outcomes: readonly PeerOutcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.result === 'deleted') this.#sessions.delete(outcome.name);
      if (outcome.result !== 'unchanged') this.#telemetry.count({ kind: 'peer-change', outcome });
    }
  }

  speakerLost(): void {
    this.#sessions.clear();
  }
}
