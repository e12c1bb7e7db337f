import { describe, expect, it } from 'vitest';
import {
  addressOf,
  canonicalAddress,
  familyOf,
  hostPrefix,
  isHostPrefix,
  lengthOf,
  parsePrefix,
  prefixSet,
} from '../../src/domain/prefix.ts';
import { host } from '../fakes/ports.ts';

describe('hostPrefix', () => {
  it.each([
    ['203.0.113.10', '203.0.113.10/32'],
    ['203.0.113.10/32', '203.0.113.10/32'],
    ['2001:DB8::0:1', '2001:db8::1/128'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1/128'],
    ['2001:db8::1/128', '2001:db8::1/128'],
    ['203.0.113.10/33', undefined],
    ['203.0.113.0/24', undefined],
    ['2001:db8::1/32', undefined],
    ['300.0.2.41', undefined],
    ['203.0.113.010', undefined],
    ['203.0.113', undefined],
    ['::ffff:203.0.113.10', undefined],
    ['::ffff:cb00:710a', undefined],
    ['fe80::1%eth0', undefined],
    ['203.0.113.10/32/32', undefined],
    ['203.0.113.10/', undefined],
    [' 203.0.113.10', undefined],
    ['', undefined],
  ])('%s -> %s', (text, expected) => {
    expect(hostPrefix(text)).toBe(expected);
  });
});

describe('parsePrefix', () => {
  it.each([
    ['203.0.113.0/24', '203.0.113.0/24'],
    ['203.0.113.128/25', '203.0.113.128/25'],
    ['203.0.113.1/24', undefined],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:0DB8::/32', '2001:db8::/32'],
    ['2001:db8::1/64', undefined],
    ['2001:db8::/129', undefined],
    ['64:ff9b::192.0.2.33/128', '64:ff9b::c000:221/128'],
    ['203.0.113.0', undefined],
    ['203.0.113.0/-1', undefined],
  ])('%s -> %s', (text, expected) => {
    expect(parsePrefix(text)).toBe(expected);
  });
});

describe('a prefix', () => {
  it('knows its parts', () => {
    const v6 = host('2001:db8::1');
    expect([familyOf(v6), addressOf(v6), lengthOf(v6), isHostPrefix(v6)]).toEqual(['ipv6', '2001:db8::1', 128, true]);
    expect(familyOf(host('203.0.113.1'))).toBe('ipv4');
    expect(canonicalAddress('2001:DB8::')).toEqual({ address: '2001:db8::', family: 'ipv6' });
  });

  it('is covered by a set of its own family only', () => {
    const set = prefixSet([parsePrefix('203.0.113.0/25'), parsePrefix('2001:db8::/64')].filter((prefix) => prefix !== undefined));
    expect(['203.0.113.127', '203.0.113.128', '2001:db8::ffff', '2001:db8:0:1::1'].map((address) => set.covers(host(address)))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(prefixSet([]).covers(host('203.0.113.1'))).toBe(false);
  });

  it.each([
    ['::/0', false, true],
    ['::/64', false, false],
    ['0.0.0.0/0', true, false],
    ['203.0.113.10/32', true, false],
    ['203.0.113.0/29', false, false],
  ])('of %s says nothing of the other family', (text, coversIpv4, coversIpv6) => {
    const set = prefixSet([parsePrefix(text)].filter((prefix) => prefix !== undefined));
    expect([set.covers(host('203.0.113.10')), set.covers(host('2001:db8::1'))]).toEqual([coversIpv4, coversIpv6]);
  });
});
