/**
 * Counts messages that were lost: what a snapshot shows and no push had told. A push may still be on its way when the
 * snapshot arrives, so a finding counts only when none has come for a while.
 */
import type { BindingSink, ResyncFinding, Telemetry } from '../core/ports.ts';
import { activeBinding, type PortBinding } from '../domain/port-binding.ts';
import type { Clock } from '../lib/clock.ts';
import { Alarms } from './alarms.ts';

export type LostMessagesOptions = {
  readonly source: string;
  readonly host: string;
  readonly interest: BindingSink['interest'];
  readonly telemetry: Telemetry;
  readonly clock: Clock;
};

/** How much later than the database a push may be. */
const LATEST_MS = 10_000;

type Suspicion = { readonly found: ResyncFinding; readonly revisionNumber: number; readonly sinceMs: number };

export class LostMessages {
  readonly #options: LostMessagesOptions;
  /** By port id. */
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #alarms: Alarms<'due'>;

  constructor(options: LostMessagesOptions) {
    this.#options = options;
    this.#alarms = new Alarms(options.clock);
  }

  /** Compares a snapshot with what the sink knew before it. `told`: the ports of pushes that came while it was taken. */
  suspect(snapshot: readonly PortBinding[], told: ReadonlyMap<string, PortBinding>, isDeleted: (portId: string) => boolean): void {
    const { interest } = this.#options;
    const shown = new Set<string>();
    for (const port of snapshot) {
      shown.add(port.portId);
      const found = this.#finding(port);
      const pushed = told.get(port.portId)?.revisionNumber ?? -1;
      if (found !== undefined && pushed < port.revisionNumber) this.#suspect(port.portId, found, port.revisionNumber);
    }
    for (const id of interest.portIds())
      if (!shown.has(id) && !isDeleted(id) && interest.port(id) !== undefined) this.#suspect(id, 'deletion', Number.POSITIVE_INFINITY);
  }

  /** A push has come after all. */
  told(portId: string, revisionNumber: number): void {
    const suspicion = this.#suspicions.get(portId);
    if (suspicion !== undefined && suspicion.revisionNumber <= revisionNumber) this.#suspicions.delete(portId);
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, source, telemetry } = this.#options;
    for (await this.#alarms.next(signal); !signal.aborted; await this.#alarms.next(signal)) {
      const dueMs = clock.monotonicMs() - LATEST_MS;
      for (const [portId, { found, sinceMs }] of this.#suspicions) {
        if (sinceMs > dueMs) continue;
        this.#suspicions.delete(portId);
        telemetry.count({ kind: 'resync-found', source, found, portId });
      }
      if (this.#suspicions.size > 0) this.#alarms.in('due', LATEST_MS);
    }
  }

  #finding(port: PortBinding): ResyncFinding | undefined {
    const { interest, host } = this.#options;
    const known = interest.port(port.portId);
    // An INACTIVE binding comes and goes without a push (a live migration that begins).
    if (known === undefined) return !interest.hasPort(port.portId) && activeBinding(port)?.host === host ? 'new-port' : undefined;
    return known.revisionNumber < port.revisionNumber && pushedPart(known) !== pushedPart(port) ? 'update' : undefined;
  }

  #suspect(portId: string, found: ResyncFinding, revisionNumber: number): void {
    if (this.#suspicions.has(portId)) return;
    this.#suspicions.set(portId, { found, revisionNumber, sinceMs: this.#options.clock.monotonicMs() });
    if (this.#suspicions.size === 1) this.#alarms.in('due', LATEST_MS);
  }
}

/** What of a port never changes without a push, as a value to compare. */
function pushedPart(port: PortBinding): string {
  const { status, adminStateUp, deviceOwner, networkId, fixedIps, allowedAddressPairs } = port;
  const { host, vifType, vnicType } = activeBinding(port) ?? {};
  return JSON.stringify([
    [status, adminStateUp, deviceOwner, networkId, host, vifType, vnicType],
    fixedIps.toSorted(),
    allowedAddressPairs.toSorted(),
  ]);
}
