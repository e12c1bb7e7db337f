import { beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { Deletions } from '../../../src/neutron/deletions.ts';
import { decodePort } from '../../../src/neutron/port-object.ts';
import type { PushIntake } from '../../../src/neutron/push-intake.ts';
import { Networks } from '../../../src/neutron/networks.ts';
import { FakeClock, settle } from '../../fakes/clock.ts';
import { pushIntake } from '../../fakes/push-intake.ts';
import { RecordingSink, RecordingTelemetry } from '../../fakes/recording-sink.ts';
import { deletedPortObject, labPort, portObject, pythonJson } from '../../lab/neutron-objects.ts';

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
  intake = pushIntake({ sink, deletions, telemetry });
});

function updated(change: Parameters<typeof labPort>[0]): void {
  intake.receive({ method: 'push', version: '1.1', args: { resource_list: [portObject(labPort(change), '1.7')], event_type: 'updated' } });
}
/** The port's object as its bytes stand in a push. */
function pushOf(change: Parameters<typeof labPort>[0]): string {
  return JSON.stringify(pythonJson({ resource_list: [portObject(labPort(change), '1.7')] }));
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

describe('a port of a network that is not known', () => {
  let answers: { resolve: (external: boolean) => void; reject: (error: Error) => void }[];
  let snapshotsNeeded: number;
  let over: AbortController;

  beforeEach(() => {
    answers = [];
    snapshotsNeeded = 0;
    over = new AbortController();
    const networks = new Networks({
      clock: new FakeClock(),
      log: silentLog,
      matters: ({ fixedIps }) => fixedIps.some((address) => address.startsWith('198.51.100.')),
      ask: () => new Promise((resolve, reject) => answers.push({ resolve, reject })),
    });
    intake = pushIntake({ sink, deletions, telemetry, networks, needsSnapshot: () => (snapshotsNeeded += 1), signal: over.signal });
    snapshot();
  });

  async function answer(external: boolean | Error): Promise<void> {
    const question = answers.shift();
    if (external instanceof Error) question?.reject(external);
    else question?.resolve(external);
    await settle();
  }

  test.each([true, false])('waits for the answer, and is told with it: %s', async (external) => {
    updated({ id: A });
    updated({ id: A, revisionNumber: 4 });
    expect(said()).toEqual(['replace']);
    expect(answers).toHaveLength(1);
    await answer(external);
    expect(said()).toEqual(['replace', 'upsert a4']);
    expect(sink.ports.get(A)?.external).toBe(external);
    updated({ id: B });
    expect(said()).toEqual(['replace', 'upsert a4', 'upsert b3']);
  });

  test('is told at once when its addresses are none that might be announced', () => {
    updated({ id: A, fixedIps: ['10.0.0.1'] });
    expect(said()).toEqual(['replace', 'upsert a3']);
    expect(answers).toHaveLength(0);
  });

  test('that moves away while it waits is not taken for ours when the answer comes', async () => {
    updated({ id: A });
    const away = pushOf({ id: A, revisionNumber: 4, bindings: elsewhere });
    // Neither our host nor a port that is held: only that it waits makes it matter.
    expect(intake.wants(Buffer.from(away))).toBe(true);
    updated({ id: A, revisionNumber: 4, bindings: elsewhere });
    await answer(true);
    expect(sink.ports.get(A)?.bindings[0]?.host).toBe('hv2');
  });

  test('that is deleted while it waits is looked up, not told', async () => {
    updated({ id: A });
    deleted(A);
    expect(deletions.covers(A)).toBe(true);
    await answer(true);
    expect(said()).toEqual(['replace']);
  });

  test('whose question fails is told by nobody, and a snapshot is asked for', async () => {
    updated({ id: A });
    await answer(new Error('no answer'));
    expect(said()).toEqual(['replace']);
    expect(snapshotsNeeded).toBe(1);
  });

  test('that a snapshot has told meanwhile is not told again', async () => {
    updated({ id: A });
    intake.snapshotBegins();
    snapshot({ id: A, revisionNumber: 5, bindings: elsewhere });
    await answer(true);
    expect(said()).toEqual(['replace', 'replace a5']);
  });

  test('that we hold is told at once, for an order does not wait, and again with the answer', async () => {
    sink.stored.add(A);
    updated({ id: A, revisionNumber: 4, bindings: elsewhere });
    expect(said()).toEqual(['replace', 'upsert a4']);
    await answer(true);
    expect(said()).toEqual(['replace', 'upsert a4', 'upsert a4']);
    expect(sink.ports.get(A)?.external).toBe(true);
  });

  test('is not told after the end of its session', async () => {
    updated({ id: A });
    over.abort();
    await answer(true);
    expect(said()).toEqual(['replace']);
  });

  test('does not come by the thousand: a flood is bounded, and asks for a snapshot', () => {
    for (let n = 0; n < 1_100; n += 1) updated({ id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` });
    expect(said()).toEqual(['replace']);
    expect(snapshotsNeeded).toBe(100);
    expect(answers).toHaveLength(1);
  });
});

test.each<[string, string[], string]>([
  ['in order', ['a2 hv1', 'a3 hv1', 'a4 hv2'], 'a4 hv2'],
  ['backwards', ['a4 hv2', 'a3 hv1', 'a2 hv1'], 'a4 hv2'],
  ['twice each', ['a2 hv1', 'a2 hv1', 'a3 hv1', 'a3 hv1'], 'a3 hv1'],
  ['a late one after a newer', ['a3 hv1', 'a5 hv2', 'a4 hv1'], 'a5 hv2'],
])('pushes %s leave the newest state', (_, pushes, expected) => {
  snapshot({ id: A, revisionNumber: 1 });
  for (const one of pushes) {
    const [revision = '', name = ''] = one.slice(1).split(' ');
    updated({ id: A, revisionNumber: Number(revision), bindings: [{ ...elsewhere[0], host: name } as (typeof elsewhere)[number]] });
  }
  const port = sink.ports.get(A);
  expect(`a${port?.revisionNumber} ${port?.bindings[0]?.host}`).toBe(expected);
});

test('an updated push after a deleted one is looked up and not believed', () => {
  snapshot({ id: A });
  deleted(A);
  updated({ id: A, revisionNumber: 9 });
  expect(said()).toEqual(['replace a3']);
  expect(deletions.covers(A)).toBe(true);
});
