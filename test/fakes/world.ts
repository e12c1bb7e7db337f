/** The core with a fake speaker and a fake clock: what most tests of core/ run. */
import { BindingTable } from '../../src/core/binding-table.ts';
import type { BindingSink, LocalRoutes, TelemetryEvent } from '../../src/core/ports.ts';
import type { ReconcileReport, ReconcilerSettings } from '../../src/core/reconciler-types.ts';
import { Reconciler } from '../../src/core/reconciler.ts';
import { FakeClock } from './clock.ts';
import { settings, speakerSettings } from './ports.ts';
import { FakeSpeaker } from './speaker.ts';

export type World = {
  readonly clock: FakeClock;
  readonly speaker: FakeSpeaker;
  readonly table: BindingTable;
  readonly reconciler: Reconciler;
  readonly sink: BindingSink;
  readonly events: TelemetryEvent[];
  readonly reports: ReconcileReport[];
  snapshotsWanted(): number;
  stop(): Promise<void>;
};

export function reconcilerSettings(change: Partial<ReconcilerSettings> = {}): ReconcilerSettings {
  return { decision: settings(), speaker: speakerSettings, resyncIntervalMs: 15_000, ...change };
}

/** Starts the core; it runs until `stop()`. */
export function startWorld(
  options: { speaker?: FakeSpeaker; settings?: ReconcilerSettings; stored?: LocalRoutes; clock?: FakeClock } = {},
): World {
  const clock = options.clock ?? new FakeClock();
  const speaker = options.speaker ?? new FakeSpeaker();
  const events: TelemetryEvent[] = [];
  const reports: ReconcileReport[] = [];
  const telemetry = { count: (event: TelemetryEvent) => void events.push(event), observe: () => {} };
  const used = options.settings ?? reconcilerSettings();
  let wanted = 0;
  const table = new BindingTable({ settings: used.decision, clock, telemetry, onChange: () => reconciler.trigger() });
  const reconciler: Reconciler = new Reconciler({
    table,
    speaker,
    settings: used,
    clock,
    telemetry,
    onReport: (report) => reports.push(report),
    wantSnapshot: () => (wanted += 1),
    ...(options.stored && { stored: options.stored }),
  });
  const sink = table.sink('neutron');
  const end = new AbortController();
  const ran = reconciler.run(end.signal);
  return {
    clock,
    speaker,
    table,
    reconciler,
    sink,
    events,
    reports,
    snapshotsWanted: () => wanted,
    async stop() {
      end.abort();
      await clock.advance(0);
      await ran;
    },
  };
}
