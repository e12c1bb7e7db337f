import { expect, test } from 'vitest';
import { AgentError } from '../../../src/lib/errors.ts';
import { isLasting, refusalOf } from '../../../src/neutron/refusal.ts';
import { type ServerApi, serverApi } from '../../../src/neutron/server-api.ts';
import { RemoteError } from '../../../src/oslo/remote-error.ts';
import type { RpcRequest } from '../../../src/oslo/rpc-client.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { RecordingTelemetry } from '../../fakes/recording-sink.ts';

type Answer = (request: RpcRequest) => unknown;

function apiWith(answer: Answer): { api: ServerApi; requests: RpcRequest[]; clock: FakeClock; telemetry: RecordingTelemetry } {
  const requests: RpcRequest[] = [];
  const clock = new FakeClock();
  const telemetry = new RecordingTelemetry();
  const client = {
    lost: new Promise<AgentError>(() => {}),
    call: async (request: RpcRequest) => {
      requests.push(request);
      return answer(request);
    },
  };
  const options = {
    controlExchange: 'neutron',
    clock,
    telemetry,
    signal: new AbortController().signal,
    timeoutMs: 60_000,
    random: () => 0.5,
  };
  return { api: serverApi(client, options), requests, clock, telemetry };
}

const timeout: Answer = () => {
  throw new AgentError('rpc-timeout', 'retryable', 'no answer');
};

test('a timeout doubles the next one of the method up to ten times the first, and waits at random', async () => {
  const { api, requests, clock } = apiWith(timeout);
  for (let round = 0; round < 6; round += 1) {
    const began = clock.monotonicMs();
    const call = api.pullPorts(['p'], '1.7').catch(() => clock.monotonicMs() - began);
    await clock.advance(60_000);
    expect(await call).toBe(30_000);
  }
  expect(requests.map(({ timeoutMs }) => timeoutMs / 1_000)).toEqual([60, 120, 240, 480, 600, 600]);
});

test('other methods keep theirs, and a report has its own', async () => {
  const { api, requests, clock } = apiWith(timeout);
  const failed = [
    api.pullPorts(['p'], '1.7'),
    api.listPortIds('hv1', 'normal'),
    api.reportState({}, 'now', 30_000),
    api.reportState({}, 'now', 30_000),
  ].map((call) => call.catch(() => undefined));
  await clock.advance(60_000);
  await Promise.all(failed);
  expect(requests.map(({ timeoutMs }) => timeoutMs)).toEqual([60_000, 60_000, 30_000, 30_000]);
});

test.each<[string, string, boolean]>([
  ['NoSuchMethod', 'unknown-method', true],
  ['UnsupportedVersion', 'unsupported-version', true],
  ['InvalidTargetVersion', 'unsupported-version', true],
  ['InvalidInput', 'invalid-request', true],
  ['CallbackNotFound', 'invalid-request', true],
  ['InvalidResourceTypeClass', 'invalid-request', true],
  ['NetworkNotFound', 'not-found', false],
  ['DBError', 'database', false],
  ['DBConnectionError', 'database', false],
  ['DBDeadlock', 'database', false],
  ['OperationalError', 'database', false],
  ['KeyError', 'server', false],
  ['Anything', 'server', false],
])('%s means %s', async (remoteClass, refusal, lasting) => {
  const { api, telemetry } = apiWith(() => {
    throw new RemoteError(remoteClass, 'bulk_pull', 'x');
  });
  const error: unknown = await api.pullPorts(['p'], '1.7').catch((caught: unknown) => caught);
  expect([refusalOf(error), isLasting(refusalOf(error))]).toEqual([refusal, lasting]);
  expect(telemetry.events).toEqual([{ kind: 'bus-call', method: 'bulk_pull', outcome: 'refused', refusal }]);
});

test('what is no refusal of the server has none', () => {
  expect(refusalOf(new AgentError('rpc-timeout', 'retryable', 'x'))).toBeUndefined();
  expect(isLasting(undefined)).toBe(false);
});

test.each<[string, unknown]>([
  ['null', null],
  ['another network', { id: 'other', 'router:external': true }],
  ['no word on it', { id: 'net' }],
  ['a word that is no boolean', { id: 'net', 'router:external': 'True' }],
])('%s is no answer to whether a network is external', async (_, answer) => {
  await expect(apiWith(() => answer).api.isNetworkExternal('net', 'hv1')).rejects.toThrow('no answer to it');
});

test.each([true, false])('a network that is external: %s', async (external) => {
  const { api, requests } = apiWith(() => ({ id: 'net', 'router:external': external }));
  expect(await api.isNetworkExternal('net', 'hv1')).toBe(external);
  expect(requests[0]).toMatchObject({
    topic: 'q-plugin',
    method: 'get_network_details',
    version: '1.6',
    args: { network: 'net', host: 'hv1' },
  });
});
