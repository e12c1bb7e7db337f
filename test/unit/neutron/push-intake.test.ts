import { beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { Deletions } from '../../../src/neutron/deletions.ts';
import { decodePort } from '../../../src/neutron/port-object.ts';
import { PushIntake } from '../../../src/neutron/push-intake.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { RecordingSink, RecordingTelemetry } from '../../fakes/recording-sink.ts';
import { deletedPortObject, labPort, portObject } from '../../lab/neutron-objects.ts';

const A = '00000000-0000-4000-8000-00000000000a';
const B = '00000000-0000-4000-8000-00000000000b';
const elsewhere = [{ host: 'hv2', status: 'ACTIVE' as const, vifType: 'ovs', vnicType: 'normal', profile: {} }];

let sink: RecordingSink;
let telemetry: RecordingTelemetry;
let deletions: Deletions;
let intake: PushIntake;

beforeEach(() => {
  sink = new RecordingSink();
  telemetry = new RecordingTelemetry();
  deletions = new Deletions({
    sink,
    clock: new FakeClock(),
    log: silentLog,
    answerWithinMs: 1_000,
    lookUp: () => Promise.reject(new Error('unused')),
  });
  intake = new PushIntake({ source: 'neutron', host: 'hv1', sink, deletions, telemetry });
});

function updated(change: Parameters<typeof labPort>[0]): void {
  intake.receive({ method: 'push', version: '1.1', args: { resource_list: [portObject(labPort(change), '1.7')], event_type: 'updated' } });
}
function deleted(id: string): void {
  intake.receive({ method: 'push', version: '1.1', args: { resource_list: [deletedPortObject(id, '1.7')], event_type: 'deleted' } });
}
function snapshot(...changes: Parameters<typeof labPort>[0][]): void {
  intake.snapshotEnds(
    changes.flatMap((change) => {
      const port = decodePort(portObject(labPort(change), '1.7'));
      return port.ok ? [port.value] : [];
    }),
  );
}
const said = (): string[] =>
  sink.calls.map((call) => {
    if (call.kind === 'replace')
      return `replace ${call.ports.map((port) => `${port.portId.at(-1)}${port.revisionNumber}`).join(' ')}`.trim();
    return call.kind === 'upsert' ? `upsert ${call.port.portId.at(-1)}${call.port.revisionNumber}` : call.kind;
  });

describe('before the first snapshot', () => {
  test('everything is wanted, and a new port waits until after it', () => {
    expect(intake.wants(Buffer.from('anything'))).toBe(true);
    updated({ id: A, revisionNumber: 2 });
    updated({ id: A, revisionNumber: 3 });
    expect(said()).toEqual([]);
    snapshot({ id: A, revisionNumber: 2 });
    expect(said()).toEqual(['replace a2', 'upsert a3']);
  });

  test('a port that we hold from before is told at once: an order does not wait', () => {
    sink.stored.add(A);
    updated({ id: A, revisionNumber: 5, bindings: elsewhere });
    expect(said()).toEqual(['upsert a5']);
  });

  test('an older push does not take the place of a newer one', () => {
    updated({ id: A, revisionNumber: 3 });
    updated({ id: A, revisionNumber: 2 });
    snapshot();
    expect(said()).toEqual(['replace', 'upsert a3']);
  });

  test('a snapshot that fails keeps what waits for it', () => {
    updated({ id: A, revisionNumber: 3 });
    intake.snapshotFails();
    intake.snapshotBegins();
    snapshot();
    expect(said()).toEqual(['replace', 'upsert a3']);
  });

  test('what turns out to be foreign is forgotten', () => {
    updated({ id: A, bindings: elsewhere });
    snapshot();
    expect(said()).toEqual(['replace']);
  });
});

describe('in sync', () => {
  beforeEach(() => snapshot());

  test('a push that concerns us is told at once, any other is foreign', () => {
    updated({ id: A });
    updated({ id: B, bindings: elsewhere });
    expect(said()).toEqual(['replace', 'upsert a3']);
    expect([telemetry.messages('applied'), telemetry.messages('foreign')]).toEqual([1, 1]);
  });

  test('a port of another host that holds an address in doubt is told', () => {
    sink.addresses = ['198.51.100.10'];
    updated({ id: B, bindings: elsewhere });
    expect(said()).toEqual(['replace', 'upsert b3']);
  });

  test('a port that moved away while a snapshot showed it as ours is told after it', () => {
    intake.snapshotBegins();
    // Neither our host nor a port that we know: yet the snapshot, read a moment earlier, says that it is ours.
    updated({ id: A, revisionNumber: 4, bindings: elsewhere });
    snapshot({ id: A, revisionNumber: 3 });
    expect(said()).toEqual(['replace', 'replace a3', 'upsert a4']);
    expect(sink.ports.get(A)?.bindings[0]?.host).toBe('hv2');
  });

  test('a push during a periodic snapshot does not wait for it', () => {
    updated({ id: A, revisionNumber: 3 });
    intake.snapshotBegins();
    updated({ id: A, revisionNumber: 4 });
    expect(said()).toEqual(['replace', 'upsert a3', 'upsert a4']);
    snapshot({ id: A, revisionNumber: 3 });
    expect(sink.ports.get(A)?.revisionNumber).toBe(4);
  });

  test('a deletion of a port that we hold is looked up, and the snapshot hears of it', () => {
    updated({ id: A });
    intake.snapshotBegins();
    deleted(A);
    expect(deletions.covers(A)).toBe(true);
    expect(intake.takeDeleted()).toEqual([A]);
    expect(intake.takeDeleted()).toEqual([]);
    updated({ id: A, revisionNumber: 4 });
    expect(said()).toEqual(['replace', 'upsert a3']);
  });

  test('a deletion of a port that we do not hold is foreign', () => {
    deleted(A);
    expect(deletions.covers(A)).toBe(false);
    expect(telemetry.messages('foreign')).toBe(1);
  });
});

test('a flood during a snapshot is bounded, and asks for another snapshot', () => {
  for (let n = 0; n < 50_001; n += 1) updated({ id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`, bindings: elsewhere });
  expect(intake.snapshotEnds([])).toBe(false);
  intake.snapshotBegins();
  expect(intake.snapshotEnds([])).toBe(true);
});
