import { describe, expect, it } from 'vitest';
import { nearestWord } from '../../../src/lib/suggest.ts';

const KEYS = ['address', 'asn', 'holdTimeSeconds', 'keepaliveSeconds', 'passwordFile', 'routerId'];

describe('nearestWord', () => {
  it.each([
    ['adress', 'address'],
    ['router_id', 'routerId'],
    ['hold_time', 'holdTimeSeconds'],
    ['password', 'passwordFile'],
    ['ASN', 'asn'],
    ['ans', 'asn'],
    ['neighbor', undefined],
    ['x', undefined],
    ['', undefined],
  ])('%s -> %s', (word, expected) => {
    expect(nearestWord(word, KEYS)).toBe(expected);
  });
});
