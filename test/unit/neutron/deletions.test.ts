import { describe, expect, test } from 'vitest';
import type { PortBinding } from '../../../src/domain/port-binding.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { Deletions } from '../../../src/neutron/deletions.ts';
import type { LookedUp } from '../../../src/neutron/look-up.ts';
import { FakeClock, settle } from '../../fakes/clock.ts';
import { port } from '../../fakes/ports.ts';
import { RecordingSink } from '../../fakes/recording-sink.ts';

type Question = {
  ids: readonly string[];
  answer: (found: PortBinding[], unreadable?: string[]) => Promise<void>;
  fail: () => Promise<void>;
};

async function started(): Promise<{
  clock: FakeClock;
  sink: RecordingSink;
  deletions: Deletions;
  questions: Question[];
  stop: () => Promise<void>;
}> {
  const clock = new FakeClock();
  const sink = new RecordingSink();
  const questions: Question[] = [];
  const deletions = new Deletions({
    sink,
    clock,
    log: silentLog,
    answerWithinMs: 1_000,
    lookUp: (ids) =>
      new Promise<LookedUp>((resolve, reject) => {
        questions.push({
          ids,
          async answer(found, unreadable = []) {
            resolve({ found: new Map(found.map((one) => [one.portId, one])), unreadable: new Set(unreadable), reasons: [] });
            await settle();
          },
          async fail() {
            reject(new Error('no answer'));
            await settle();
          },
        });
      }),
  });
  const stopping = new AbortController();
  const running = deletions.run(stopping.signal);
  return {
    clock,
    sink,
    deletions,
    questions,
    async stop() {
      stopping.abort();
      await questions.at(-1)?.fail();
      await running;
    },
  };
}

const said = (sink: RecordingSink): string[] =>
  sink.calls.map((call) =>
    call.kind === 'remove' ? `${call.portId} ${call.cause}` : call.kind === 'upsert' ? `${call.port.portId} is there` : call.kind,
  );

describe('a deleted push', () => {
  test('is confirmed by a look-up at once', async () => {
    const { sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    expect(questions[0]?.ids).toEqual(['p1']);
    expect(said(sink)).toEqual([]);
    await questions[0]?.answer([]);
    expect(said(sink)).toEqual(['p1 deleted']);
    await stop();
  });

  test('is refuted by a look-up', async () => {
    const { sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    await questions[0]?.answer([port({ portId: 'p1' })]);
    expect(said(sink)).toEqual(['p1 is there']);
    expect(deletions.covers('p1')).toBe(false);
    await stop();
  });

  test('counts as unconfirmed after a second without an answer, and is asked on until there is one', async () => {
    const { clock, sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await clock.advance(999);
    expect(said(sink)).toEqual([]);
    await clock.advance(1);
    expect(said(sink)).toEqual(['p1 unconfirmed']);
    await questions[0]?.fail();
    await clock.advance(2_000);
    expect(questions).toHaveLength(2);
    await questions[1]?.answer([]);
    expect(said(sink)).toEqual(['p1 unconfirmed', 'p1 deleted']);
    await clock.advance(60_000);
    expect(questions).toHaveLength(2);
    await stop();
  });

  test('that can never be asked counts as unconfirmed all the same', async () => {
    const { clock, sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    await questions[0]?.fail();
    await clock.advance(1_000);
    expect(said(sink)).toEqual(['p1 unconfirmed']);
    await stop();
  });

  test('whose answer cannot be read is neither confirmed nor refuted', async () => {
    const { clock, sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    await questions[0]?.answer([], ['p1']);
    expect(said(sink)).toEqual([]);
    await clock.advance(2_000);
    expect(said(sink)).toEqual(['p1 unconfirmed']);
    await questions[1]?.answer([]);
    expect(said(sink)).toEqual(['p1 unconfirmed', 'p1 deleted']);
    await stop();
  });

  test('that comes while another is asked has its own second', async () => {
    const { clock, sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await clock.advance(600);
    deletions.told('p2');
    await clock.advance(600);
    expect(said(sink)).toEqual(['p1 unconfirmed']);
    await questions[0]?.answer([]);
    expect(questions[1]?.ids).toEqual(['p2']);
    await questions[1]?.answer([]);
    expect(said(sink)).toEqual(['p1 unconfirmed', 'p1 deleted', 'p2 deleted']);
    await stop();
  });
});

describe('a later push about a deleted port', () => {
  test('is looked up again', async () => {
    const { sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    await questions[0]?.answer([]);
    expect(deletions.covers('p1')).toBe(true);
    deletions.contradicted('p1');
    await settle();
    await questions[1]?.answer([port({ portId: 'p1' })]);
    expect(said(sink)).toEqual(['p1 deleted', 'p1 is there']);
    await stop();
  });

  test('makes an answer that was already asked for too old', async () => {
    const { sink, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    deletions.contradicted('p1');
    await questions[0]?.answer([]);
    expect(said(sink)).toEqual([]);
    await questions[1]?.answer([port({ portId: 'p1' })]);
    expect(said(sink)).toEqual(['p1 is there']);
    await stop();
  });

  test('is believed again after ten minutes', async () => {
    const { clock, deletions, questions, stop } = await started();
    deletions.told('p1');
    await settle();
    await questions[0]?.answer([]);
    await clock.advance(600_001);
    deletions.askNow();
    await settle();
    expect(deletions.covers('p1')).toBe(false);
    await stop();
  });
});

test('a hundred are asked at a time', async () => {
  const { sink, deletions, questions, stop } = await started();
  for (let n = 0; n < 250; n += 1) deletions.told(`p${n}`);
  for (let n = 0; n < 3; n += 1) {
    await settle();
    await questions[n]?.answer([]);
  }
  expect(questions.map(({ ids }) => ids.length)).toEqual([100, 100, 50]);
  expect(sink.calls).toHaveLength(250);
  await stop();
});
