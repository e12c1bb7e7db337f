import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CAPABILITIES,
  type CapabilityName,
  hasCapability,
  KNOWN_BAD,
  parseRelease,
  type Release,
  releaseText,
  releaseWarning,
} from '../../../src/gobgp/capabilities.ts';
import { isLocalAddress } from '../../../src/gobgp/installed.ts';

describe('a release', () => {
  test.each([
    ['gobgpd version 3.36.0', [3, 36, 0]],
    ['GoBGP/4.8.0', [4, 8, 0]],
    ['4.10.11', [4, 10, 11]],
    ['gobgpd version unknown', undefined],
    ['', undefined],
  ])('%j is %j', (text, release) => {
    expect(parseRelease(text)).toEqual(release);
  });

  const bad: readonly [release: Release, words: RegExp | undefined][] = [
    [[3, 10, 0], undefined],
    [[3, 37, 0], undefined],
    [[4, 0, 0], /crash/],
    [[4, 2, 0], /crash/],
    [[4, 3, 0], undefined],
    [[4, 4, 0], undefined],
    [[4, 5, 0], /withdrawn route/],
    [[4, 6, 0], /deferral/],
    [[4, 7, 0], undefined],
    [[4, 8, 0], undefined],
    [[4, 10, 0], undefined],
  ];
  test.each(bad)('%j is known to be bad, or not', (release, words) => {
    const warning = releaseWarning(release);
    if (words === undefined) expect(warning).toBeUndefined();
    else expect(warning).toMatch(words);
  });
});

describe('a capability', () => {
  const rows: readonly [name: CapabilityName, api: 'v3' | 'v4', release: Release | undefined, has: boolean][] = [
    ['bfd', 'v3', [3, 36, 0], false],
    ['bfd', 'v4', [4, 5, 0], false],
    ['bfd', 'v4', [4, 6, 0], true],
    ['bfd', 'v4', [4, 10, 0], true],
    ['bfd', 'v4', undefined, false],
    ['gracefulStop', 'v3', undefined, false],
    ['gracefulStop', 'v4', undefined, true],
    ['listBatches', 'v3', undefined, false],
    ['listBatches', 'v3', [3, 36, 0], true],
  ];
  test.each(rows)('%s of API %s, release %j: %s', (name, api, release, has) => {
    expect(hasCapability(name, api, release)).toBe(has);
  });
});

describe('docs/gobgp.md', () => {
  const text = readFileSync(new URL('../../../docs/gobgp.md', import.meta.url), 'utf8');

  test('shows the table of capabilities as it is in the code', () => {
    for (const { since, what, without } of Object.values(CAPABILITIES))
      expect(text).toContain(`| ${what} | ${releaseText(since).replace(/\.0$/, '')} | ${without} |`);
  });

  test('shows the releases to stay away from', () => {
    for (const { from, why } of KNOWN_BAD) expect(text).toMatch(new RegExp(`\\| ${releaseText(from)}[^|]* \\| ${escaped(why)} \\|`));
  });
});

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

test.each([
  ['unix:///run/gobgp/api.sock', true],
  ['127.0.0.1:50051', true],
  ['localhost:50051', true],
  ['[::1]:50051', true],
  ['192.0.2.7:50051', false],
  ['[2001:db8::1]:50051', false],
])('%s is an address of this machine: %s', (address, isLocal) => {
  expect(isLocalAddress(address)).toBe(isLocal);
});
