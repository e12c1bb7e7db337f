import { type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { AgentError } from '../../../src/lib/errors.ts';
import { Channel, grpcTarget } from '../../../src/gobgp/channel.ts';
import { fromGrpc, isRefusal } from '../../../src/gobgp/errors.ts';
import { routerAmong } from '../../../src/gobgp/link-local.ts';

describe('an address', () => {
  test.each([
    ['127.0.0.1:50051', 'dns:127.0.0.1:50051'],
    ['[::1]:50051', 'dns:[::1]:50051'],
    ['localhost:50051', 'dns:localhost:50051'],
    ['unix:///run/gobgp/api.sock', 'unix:///run/gobgp/api.sock'],
  ])('%s is %s to gRPC', (address, target) => {
    expect(grpcTarget(address)).toBe(target);
  });
});

describe('credentials', () => {
  test.each([{ certificate: 'PEM' }, { key: 'PEM' }])('of %j alone are an error', (tls) => {
    expect(() => new Channel({ address: '127.0.0.1:1', tls })).toThrow(/needs its/);
  });
});

describe('a gRPC status', () => {
  const rows: readonly [code: status, errorCode: string, kind: string, refused: boolean][] = [
    [status.UNAVAILABLE, 'gobgp-unavailable', 'retryable', false],
    [status.DEADLINE_EXCEEDED, 'gobgp-timeout', 'retryable', false],
    [status.CANCELLED, 'gobgp-failed', 'retryable', false],
    [status.RESOURCE_EXHAUSTED, 'gobgp-failed', 'retryable', false],
    [status.INTERNAL, 'gobgp-failed', 'retryable', false],
    [status.UNKNOWN, 'gobgp-refused', 'retryable', true],
    [status.INVALID_ARGUMENT, 'gobgp-refused', 'retryable', true],
    [status.UNIMPLEMENTED, 'gobgp-other-version', 'retryable', true],
    [status.PERMISSION_DENIED, 'gobgp-denied', 'terminal', true],
  ];
  test.each(rows)('%s', (code, errorCode, kind, refused) => {
    const error = fromGrpc({ code, details: 'its words' } as ServiceError, 'AddPath', '127.0.0.1:1');
    expect(error).toMatchObject({ code: errorCode, kind });
    expect(error).toBeInstanceOf(AgentError);
    expect(isRefusal(error)).toBe(refused);
  });

  test('after our own abort is an abort', () => {
    const error = fromGrpc({ code: status.CANCELLED, details: '' } as ServiceError, 'AddPath', '127.0.0.1:1', AbortSignal.abort());
    expect(error).toMatchObject({ code: 'gobgp-aborted' });
  });
});

describe('the router of an unnumbered session', () => {
  const neighbour = (dst: string, more: object = {}): object => ({ dst, lladdr: '02:00:00:00:00:01', state: ['REACHABLE'], ...more });
  const rows: readonly [name: string, neighbours: readonly object[], result: string | RegExp][] = [
    ['the only one', [neighbour('fe80::1')], 'fe80::1%eth0'],
    ['the one router of several', [neighbour('fe80::2'), neighbour('fe80::1', { router: null })], 'fe80::1%eth0'],
    ['not one that failed', [neighbour('fe80::2', { state: ['FAILED'] }), neighbour('fe80::1')], 'fe80::1%eth0'],
    ['not one with a global address', [neighbour('2001:db8::1')], /no link-local neighbour/],
    ['none', [], /no link-local neighbour/],
    ['one of two', [neighbour('fe80::1'), neighbour('fe80::2')], /2 link-local neighbours/],
  ];
  test.each(rows)('%s', (_name, neighbours, result) => {
    const find = (): string => routerAmong(neighbours.length === 0 ? '' : JSON.stringify(neighbours), 'eth0');
    if (typeof result === 'string') expect(find()).toBe(result);
    else expect(find).toThrow(result);
  });
});
