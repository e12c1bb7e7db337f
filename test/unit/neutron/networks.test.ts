import { beforeEach, expect, test } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { Networks } from '../../../src/neutron/networks.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { port } from '../../fakes/ports.ts';

let asked: string[];
let answers: Map<string, boolean>;
let clock: FakeClock;
let networks: Networks;

beforeEach(() => {
  asked = [];
  answers = new Map([
    ['ext', true],
    ['tenant', false],
  ]);
  clock = new FakeClock();
  networks = new Networks({
    clock,
    log: silentLog,
    matters: ({ networkId }) => networkId !== 'unimportant',
    ask: async (id) => {
      asked.push(id);
      const answer = answers.get(id);
      if (answer === undefined) throw new Error(`no ${id}`);
      return answer;
    },
  });
});

test('a network is asked for once, and shared by those who ask at the same time', async () => {
  await Promise.all([networks.learn('ext'), networks.learn('ext')]);
  await networks.complete([port({ networkId: 'ext' })]);
  expect(asked).toEqual(['ext']);
});

test('what matters and is not known is neither external nor not', async () => {
  expect(networks.completed(port({ networkId: 'ext' }))).toBeUndefined();
  expect(networks.completed(port({ networkId: 'unimportant' }))?.external).toBeUndefined();
  await networks.learn('ext');
  expect(networks.completed(port({ networkId: 'ext' }))?.external).toBe(true);
});

test('one question without an answer fails the whole', async () => {
  await expect(networks.complete([port({ networkId: 'ext' }), port({ networkId: 'nowhere' })])).rejects.toThrow('no nowhere');
});

test('an old answer is asked for again, and stands when asking fails', async () => {
  const ports = [port({ networkId: 'ext' })];
  await networks.complete(ports);
  expect(await networks.refresh(ports)).toBe(false);
  expect(asked).toHaveLength(1);
  await clock.advance(600_000);
  answers.delete('ext');
  expect(await networks.refresh(ports)).toBe(false);
  expect(networks.completed(port({ networkId: 'ext' }))?.external).toBe(true);
  answers.set('ext', false);
  expect(await networks.refresh(ports)).toBe(true);
  expect(networks.completed(port({ networkId: 'ext' }))?.external).toBe(false);
});

test('networks of no port are forgotten', async () => {
  await networks.complete([port({ networkId: 'ext' }), port({ networkId: 'tenant' })]);
  await networks.refresh([port({ networkId: 'ext' })]);
  expect(networks.completed(port({ networkId: 'tenant' }))).toBeUndefined();
});

test('a flood of network ids does not become a flood of questions', async () => {
  const flood = Array.from({ length: 500 }, (_, n) => networks.learn(`forged-${n}`).catch((error: Error) => error.message));
  const outcomes = await Promise.all(flood);
  expect(asked).toHaveLength(20);
  expect(outcomes.filter((outcome) => outcome === 'too many networks are asked for at once')).toHaveLength(480);
});
