import { describe, expect, test } from 'vitest';
import { pathAttributes } from '../../../src/domain/route.ts';
import { dialectV3 } from '../../../src/gobgp/dialect-v3.ts';
import type { WireAny, WirePath } from '../../../src/gobgp/wire.ts';
import { prefixOf } from '../../lab/speaker-settings.ts';

const dialect = dialectV3();
const { requestSerialize } = dialect.methods.AddPathStream;
const wireBytes = (path: WirePath): string => requestSerialize({ tableType: 'GLOBAL', paths: [path] }).toString('latin1');

describe('paths of API v3', () => {
  test('every call has the path of its service', () => {
    expect(Object.values(dialect.methods).every(({ path }) => path.startsWith('/apipb.GobgpApi/'))).toBe(true);
  });

  test('come back as they went', () => {
    const attributes = pathAttributes({
      origin: 'incomplete',
      asPath: [4_294_967_295, 1],
      nextHop: '192.0.2.1',
      med: 4_294_967_295,
      localPref: 0,
      communities: ['65535:65535', '0:0'],
      largeCommunities: ['4294967295:4294967295:4294967295'],
    });
    const { route, ...rest } = dialect.read(dialect.path(prefixOf('203.0.113.1'), attributes));
    expect(rest).toEqual({ prefix: '203.0.113.1/32', isLocal: true, isWithdraw: false, isFiltered: false });
    expect(route()).toEqual({ prefix: '203.0.113.1/32', attributes });
  });

  test('of one attribute set share its packed form', () => {
    const attributes = pathAttributes({ med: 1 });
    const [one, two] = ['203.0.113.1', '203.0.113.2'].map((address) => dialect.path(prefixOf(address), attributes));
    expect(one?.pattrs).toBe(two?.pattrs);
    expect(dialect.path(prefixOf('2001:db8::1'), attributes).pattrs).not.toBe(one?.pattrs);
  });

  test('a withdrawal carries its prefix and family, says what it is, and has no attributes', () => {
    const path = dialect.withdrawal(prefixOf('2001:db8::1'));
    expect(path).toMatchObject({ isWithdraw: true, family: { afi: 'IP6', safi: 'UNICAST' } });
    expect(path.pattrs).toBeUndefined();
    expect(wireBytes(path)).toContain('2001:db8::1');
  });

  const local: readonly [name: string, path: Partial<WirePath>, isLocal: boolean][] = [
    ['no neighbour, as GoBGP 3 prints it', { neighborIp: '<nil>', sourceId: '<nil>' }, true],
    ['a neighbour', { neighborIp: '192.0.2.1', sourceId: '192.0.2.1' }, false],
    ['a source of its own', { neighborIp: '<nil>', sourceId: '192.0.2.1' }, false],
  ];
  test.each(local)('with %s', (_name, more, isLocal) => {
    expect(dialect.read({ ...dialect.path(prefixOf('203.0.113.1'), pathAttributes({})), ...more }).isLocal).toBe(isLocal);
  });

  test('of others show what we never set, so that they differ from ours', () => {
    const path = dialect.path(prefixOf('203.0.113.1'), pathAttributes({}));
    const foreign: WireAny = { typeUrl: 'type.googleapis.com/apipb.AggregatorAttribute', value: Buffer.alloc(0) };
    const { attributes } = dialect.read({ ...path, pattrs: [...(path.pattrs ?? []), foreign], identifier: 7 }).route();
    expect(attributes.others).toEqual(['AggregatorAttribute', 'path identifier 7']);
  });

  test('that are no IP prefixes are told apart', () => {
    const path: WirePath = { nlri: { typeUrl: 'type.googleapis.com/apipb.EVPNMACIPAdvertisementRoute', value: Buffer.alloc(0) } };
    expect(dialect.read(path).prefix).toBeUndefined();
  });
});
