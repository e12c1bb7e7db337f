/** A binding sink that remembers what it was told, in order, and holds ports as the core's table would. */
import type { BindingSink, RemovalCause, SourceWarning, TelemetryEvent } from '../../src/core/ports.ts';
import type { PortBinding } from '../../src/domain/port-binding.ts';

export type SinkCall =
  | { readonly kind: 'replace'; readonly ports: readonly PortBinding[] }
  | { readonly kind: 'upsert'; readonly port: PortBinding }
  | { readonly kind: 'remove'; readonly portId: string; readonly cause: RemovalCause }
  | { readonly kind: 'lost'; readonly reason: string };

export class RecordingSink implements BindingSink {
  readonly calls: SinkCall[] = [];
  readonly ports: Map<string, PortBinding> = new Map<string, PortBinding>();
  /** Ids that are held besides those that were told. */
  readonly stored: Set<string> = new Set<string>();
  addresses: readonly string[] = [];
  readonly warnings: Map<SourceWarning, string> = new Map<SourceWarning, string>();
  inSync = false;

  readonly interest = {
    hasPort: (portId: string): boolean => this.ports.has(portId) || this.stored.has(portId),
    portIds: (): readonly string[] => [...new Set([...this.ports.keys(), ...this.stored])],
    port: (portId: string): PortBinding | undefined => this.ports.get(portId),
    addresses: (): readonly string[] => this.addresses,
  };

  replace(ports: readonly PortBinding[]): void {
    this.calls.push({ kind: 'replace', ports });
    this.ports.clear();
    for (const port of ports) this.ports.set(port.portId, port);
    this.inSync = true;
  }

  upsert(port: PortBinding): void {
    this.calls.push({ kind: 'upsert', port });
    const known = this.ports.get(port.portId);
    if (known === undefined || known.revisionNumber <= port.revisionNumber) this.ports.set(port.portId, port);
  }

  remove(portId: string, cause: RemovalCause): void {
    this.calls.push({ kind: 'remove', portId, cause });
  }

  lost(reason: string): void {
    this.calls.push({ kind: 'lost', reason });
    this.inSync = false;
  }

  warn(warning: SourceWarning, text: string | undefined): void {
    if (text === undefined) this.warnings.delete(warning);
    else this.warnings.set(warning, text);
  }

  kinds(): readonly string[] {
    return this.calls.map(({ kind }) => kind);
  }
}

/** Counts of bus messages by outcome, and calls by method and outcome. */
export class RecordingTelemetry {
  readonly events: TelemetryEvent[] = [];

  count(event: TelemetryEvent): void {
    this.events.push(event);
  }

  observe(): void {}

  messages(outcome: string): number {
    return this.events.filter((event) => event.kind === 'bus-message' && event.outcome === outcome).length;
  }
}
