/** What of the telemetry a person should read, as log lines; what may come by the thousand is told with how often it came. */
import type { ReconcileReport, RouteChange } from '../core/reconciler-types.ts';
import type { Telemetry, TelemetryEvent } from '../core/ports.ts';
import { prefixOf } from '../domain/plan.ts';
import { shapeOf } from '../domain/route.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';

/** One line of a kind in this time; the next one says how many there were. */
const QUIET_MS = 10_000;

/** Tells every event to each of `receivers`. */
export function fanOut(...receivers: readonly Telemetry[]): Telemetry {
  return {
    count: (event) => {
      for (const receiver of receivers) receiver.count(event);
    },
    observe: (timing) => {
      for (const receiver of receivers) receiver.observe(timing);
    },
  };
}

/** A telemetry that writes log lines. */
export function telemetryLog(log: Log, clock: Clock): Telemetry {
  const inSync = new Map<string, boolean>();
  const rarely = throttle(clock);
  return {
    observe: () => {},
    count(event) {
      switch (event.kind) {
        case 'bus-message':
          if (event.outcome === 'malformed' || event.outcome === 'unsupported')
            rarely(`${event.source} ${event.outcome}`, (times) => log.warn({ ...withoutKind(event), times }, `${event.outcome} message`));
          return;
        case 'bus-call':
          if (event.outcome !== 'answered')
            rarely(`${event.method} ${event.outcome}`, (times) => log.warn({ ...withoutKind(event), times }, 'call without an answer'));
          return;
        case 'resync-found':
          return rarely(`${event.source} ${event.found}`, (times) =>
            log.warn({ ...withoutKind(event), times }, 'a message was lost: the resync found what none had told'),
          );
        case 'source-warning':
          if (event.text === undefined) log.info(withoutKind(event), 'source warning is over');
          else log.warn(withoutKind(event), 'source warning');
          return;
        case 'source-in-sync':
          log[inSync.get(event.source) === true ? 'debug' : 'info'](withoutKind(event), 'source in sync');
          inSync.set(event.source, true);
          return;
        case 'source-lost':
          log.warn(withoutKind(event), 'source lost');
          inSync.set(event.source, false);
          return;
        case 'speaker-state':
          return log[event.to === 'away' ? 'warn' : 'info'](withoutKind(event), 'speaker');
        case 'view-stale':
          return rarely('view-stale', (times) => log.info({ ...withoutKind(event), times }, 'GoBGP is read again'));
        case 'peer-state':
          return log[peerLevel(event)](withoutKind(event), 'peer');
        case 'peer-change':
          return log[event.outcome.result === 'failed' ? 'error' : 'info']({ ...event.outcome }, 'peer configured');
        case 'guard-refusal':
          return log.error(withoutKind(event), 'the guard refused a route: this is a bug');
        case 'state-store-failure':
          return rarely(`state ${event.name}`, (times) => log.warn({ ...withoutKind(event), times }, 'state cannot be kept'));
      }
    },
  };
}

/** One line per route that changed, or that could not be changed. */
export function logRouteChanges(log: Log, report: ReconcileReport): void {
  for (const change of report.changes) {
    const { operation, result } = change.outcome;
    if (result === 'done') log.info(routeFields(change), operation.kind === 'advertise' ? 'advertised' : 'withdrawn');
    else log.warn({ ...routeFields(change), result, error: change.outcome.error }, `${operation.kind} did not succeed`);
  }
}

function routeFields({ outcome: { operation }, decision }: RouteChange): object {
  const port = decision?.claim?.port;
  return {
    prefix: prefixOf(operation),
    ...(operation.kind === 'advertise' ? { shape: shapeOf(operation.route.attributes), nextHop: operation.route.attributes.nextHop } : {}),
    reason: decision?.reason,
    portId: port?.portId,
    revisionNumber: port?.revisionNumber,
    requestId: port?.requestId,
  };
}

function peerLevel({ from, to }: { from: string; to: string }): 'debug' | 'info' | 'warn' {
  if (to === 'established') return 'info';
  return from === 'established' ? 'warn' : 'debug';
}

function withoutKind(event: TelemetryEvent): object {
  const { kind: _, ...fields } = event;
  return fields;
}

/** Lets one call of a key through in `QUIET_MS`, with how many there were since the last one. */
function throttle(clock: Clock): (key: string, tell: (times: number) => void) => void {
  const byKey = new Map<string, { toldMs: number; times: number }>();
  return (key, tell) => {
    const nowMs = clock.monotonicMs();
    const last = byKey.get(key);
    if (last !== undefined && nowMs - last.toldMs < QUIET_MS) last.times += 1;
    else {
      byKey.set(key, { toldMs: nowMs, times: 0 });
      tell((last?.times ?? 0) + 1);
    }
  };
}
