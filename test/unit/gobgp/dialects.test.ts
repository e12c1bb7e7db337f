import { describe, expect, test } from 'vitest';
import { pathAttributes } from '../../../src/domain/route.ts';
import { dialectV3 } from '../../../src/gobgp/dialect-v3.ts';
import { dialectV4 } from '../../../src/gobgp/dialect-v4.ts';
import type { WirePath } from '../../../src/gobgp/wire.ts';
import { prefixOf } from '../../lab/speaker-settings.ts';

const any = (message: string) => ({ typeUrl: `type.googleapis.com/apipb.${message}`, value: Buffer.alloc(0) });

const majors = [
  {
    api: 'v3',
    dialect: dialectV3(),
    service: '/apipb.GobgpApi/',
    noAddress: '<nil>',
    aggregator: any('AggregatorAttribute'),
    evpn: any('EVPNMACIPAdvertisementRoute'),
    capability: { typeUrl: any('SoftwareVersionCapability').typeUrl, value: Buffer.from('\n\x0cGoBGP/3.36.0') },
    release: 'GoBGP/3.36.0',
  },
  {
    api: 'v4',
    dialect: dialectV4(),
    service: '/api.GoBgpService/',
    noAddress: '',
    aggregator: { aggregator: Buffer.alloc(0) },
    evpn: {},
    capability: { softwareVersion: { softwareVersion: 'GoBGP/4.8.0' } },
    release: 'GoBGP/4.8.0',
  },
] as const;

describe.each(majors)('paths of API $api', ({ dialect, service, noAddress, aggregator, evpn, capability, release }) => {
  const { requestSerialize } = dialect.methods.AddPathStream;
  const wireBytes = (path: WirePath): string => requestSerialize({ tableType: 'GLOBAL', paths: [path] }).toString('latin1');

  test('every call has the path of its service', () => {
    expect(Object.values(dialect.methods).every(({ path }) => path.startsWith(service))).toBe(true);
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
    ['no neighbour, as GoBGP prints it', { neighborIp: noAddress, sourceId: noAddress }, true],
    ['a neighbour', { neighborIp: '192.0.2.1', sourceId: '192.0.2.1' }, false],
    ['a source of its own', { neighborIp: noAddress, sourceId: '192.0.2.1' }, false],
  ];
  test.each(local)('with %s', (_name, more, isLocal) => {
    expect(dialect.read({ ...dialect.path(prefixOf('203.0.113.1'), pathAttributes({})), ...more }).isLocal).toBe(isLocal);
  });

  test('of others show what we never set, so that they differ from ours', () => {
    const path = dialect.path(prefixOf('203.0.113.1'), pathAttributes({}));
    const { attributes } = dialect.read({ ...path, pattrs: [...(path.pattrs ?? []), aggregator], identifier: 7 }).route();
    expect(attributes.others).toEqual([expect.stringMatching(/^aggregator/i), 'path identifier 7']);
  });

  test('that are no IP prefixes are told apart', () => {
    expect(dialect.read({ nlri: evpn }).prefix).toBeUndefined();
  });

  test('a release is found among the capabilities of a session', () => {
    expect(dialect.softwareVersion([evpn, capability])).toBe(release);
    expect(dialect.softwareVersion([evpn])).toBeUndefined();
  });
});

describe('API v4', () => {
  test('names the global table by its number: 0 is refused', () => {
    const bytes = dialectV4().methods.AddPathStream.requestSerialize({ tableType: 'GLOBAL', paths: [] });
    expect([...bytes]).toEqual([0x08, 1]);
    expect([...dialectV3().methods.AddPathStream.requestSerialize({ tableType: 'GLOBAL', paths: [] })]).toEqual([0x08, 0]);
  });
});
