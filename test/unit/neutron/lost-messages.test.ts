import { afterEach, beforeEach, expect, test } from 'vitest';
import { BindingTable } from '../../../src/core/binding-table.ts';
import type { BindingSink } from '../../../src/core/ports.ts';
import type { PortBinding } from '../../../src/domain/port-binding.ts';
import { LostMessages } from '../../../src/neutron/lost-messages.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { binding, port, settings } from '../../fakes/ports.ts';
import { RecordingTelemetry } from '../../fakes/recording-sink.ts';

let clock: FakeClock;
let telemetry: RecordingTelemetry;
let sink: BindingSink;
let lost: LostMessages;
let stop: () => Promise<void>;

beforeEach(() => {
  clock = new FakeClock();
  telemetry = new RecordingTelemetry();
  sink = new BindingTable({ settings: settings(), clock, telemetry: { count: () => {}, observe: () => {} } }).sink('neutron');
  lost = new LostMessages({ source: 'neutron', host: 'hv1', interest: sink.interest, telemetry, clock });
  const stopping = new AbortController();
  const running = lost.run(stopping.signal);
  stop = async () => {
    stopping.abort();
    await running;
  };
});
afterEach(() => stop());

/** A snapshot of a session in sync, and 10 s later what was found. */
async function found(
  snapshot: readonly PortBinding[],
  told: readonly PortBinding[] = [],
  deleted: readonly string[] = [],
): Promise<string[]> {
  lost.suspect(snapshot, new Map(told.map((one) => [one.portId, one])), (id) => deleted.includes(id));
  sink.replace(snapshot);
  await clock.advance(10_000);
  return telemetry.events.flatMap((event) => (event.kind === 'resync-found' ? [`${event.found} ${event.portId}`] : []));
}

test.each<[string, PortBinding[], PortBinding[], string[]]>([
  ['nothing new', [port()], [port()], []],
  ['a new port', [], [port()], ['new-port port-1']],
  [
    'a port elsewhere with an inactive binding here: a live migration begins',
    [],
    [port({ bindings: [binding({ host: 'hv2' }), binding({ status: 'INACTIVE' })] })],
    [],
  ],
  ['a change of status', [port()], [port({ revisionNumber: 5, status: 'DOWN' })], ['update port-1']],
  ['a move away', [port()], [port({ revisionNumber: 6, bindings: [binding({ host: 'hv2' })] })], ['update port-1']],
  ['another address', [port()], [port({ revisionNumber: 5, fixedIps: ['203.0.113.11'] })], ['update port-1']],
  [
    'addresses in another order',
    [port({ fixedIps: ['203.0.113.10', '203.0.113.11'] })],
    [port({ revisionNumber: 5, fixedIps: ['203.0.113.11', '203.0.113.10'] })],
    [],
  ],
  ['a revision that changed nothing', [port()], [port({ revisionNumber: 5, updatedAt: '2026-01-15T11:00:00Z' })], []],
  [
    'an inactive binding on another host, which is never pushed',
    [port()],
    [port({ revisionNumber: 5, bindings: [binding(), binding({ host: 'hv2', status: 'INACTIVE' })] })],
    [],
  ],
  ['a snapshot that is older than what was pushed', [port({ revisionNumber: 5 })], [port({ status: 'DOWN' })], []],
  ['a port that is gone', [port()], [], ['deletion port-1']],
])('%s', async (_, before, snapshot, expected) => {
  sink.replace(before);
  expect(await found(snapshot)).toEqual(expected);
});

test('what came while the snapshot was taken was not lost', async () => {
  sink.replace([port()]);
  const changed = port({ revisionNumber: 5, status: 'DOWN' });
  expect(await found([changed], [changed])).toEqual([]);
  expect(await found([], [], ['port-1'])).toEqual([]);
});

test('what comes within ten seconds was late, not lost', async () => {
  sink.replace([port(), port({ portId: 'p2' })]);
  const snapshot = [port({ revisionNumber: 5, status: 'DOWN' })];
  lost.suspect(snapshot, new Map(), () => false);
  sink.replace(snapshot);
  await clock.advance(9_000);
  lost.told('port-1', 4);
  lost.told('p2', Number.POSITIVE_INFINITY);
  await clock.advance(1_000);
  expect(telemetry.events).toEqual([{ kind: 'resync-found', source: 'neutron', found: 'update', portId: 'port-1' }]);
});

test('what is gone is counted once, however often it is not found', async () => {
  sink.replace([port()]);
  await found([]);
  expect(await found([])).toEqual(['deletion port-1']);
});
