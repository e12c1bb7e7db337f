import { describe, expect, it } from 'vitest';
import { guard } from '../../src/domain/guard.ts';
import { planReconcile, prefixOf } from '../../src/domain/plan.ts';
import type { Prefix } from '../../src/domain/prefix.ts';
import { GRACEFUL_SHUTDOWN, isMarked, pathAttributes, type Route, sameAttributes, shapeOf } from '../../src/domain/route.ts';
import { foreignRoute, MARKER, route, settings } from '../fakes/ports.ts';

describe('path attributes', () => {
  it('are the same whatever the order and repetition of communities', () => {
    const a = pathAttributes({ communities: ['65000:2', '65000:1', '65000:2'] });
    expect(sameAttributes(a, pathAttributes({ communities: ['65000:1', '65000:2'] }))).toBe(true);
  });

  it.each([
    ['origin', { origin: 'incomplete' as const }],
    ['next hop', { nextHop: '198.51.100.1' }],
    ['AS_PATH', { asPath: [64512] }],
    ['MED', { med: 0 }],
    ['LOCAL_PREF', { localPref: 0 }],
    ['communities', { communities: [GRACEFUL_SHUTDOWN] }],
    ['large communities', { largeCommunities: [MARKER] }],
    ['an attribute that we never set', { others: ['AIGP'] }],
  ])('differ by %s', (_, change) => {
    expect(sameAttributes(pathAttributes({}), pathAttributes(change))).toBe(false);
    expect(sameAttributes(pathAttributes(change), pathAttributes(change))).toBe(true);
  });

  it('tell ours from others, and the worse shape', () => {
    expect(isMarked(route('203.0.113.1').attributes, ['1:1:1', MARKER])).toBe(true);
    expect(isMarked(foreignRoute('203.0.113.1').attributes, [MARKER])).toBe(false);
    expect([shapeOf(route('203.0.113.1').attributes), shapeOf(route('203.0.113.1', 'worse').attributes)]).toEqual(['normal', 'worse']);
  });
});

describe('guard', () => {
  it.each([
    ['a route of ours', route('203.0.113.1'), undefined],
    ['outside', route('198.51.100.1'), 'outside the configured prefixes'],
    ['denied', route('203.0.113.200'), 'inside a denied prefix'],
    ['without marker', foreignRoute('203.0.113.1'), 'without our marker'],
    ['a whole network', { ...route('203.0.113.1'), prefix: '203.0.113.0/24' as Prefix }, 'not a host route'],
  ])('%s', (_, checked, refusal) => {
    expect(guard(checked, settings())).toBe(refusal);
  });
});

describe('planReconcile', () => {
  const plan = (desired: readonly Route[], local: readonly Route[]): string[] => {
    const find = (routes: readonly Route[]) => (prefix: Prefix) => routes.find((one) => one.prefix === prefix);
    const prefixes = new Set([...desired, ...local].map(({ prefix }) => prefix));
    return planReconcile({ prefixes, desired: find(desired), local: find(local), markers: [MARKER] }).map(
      (operation) => `${operation.kind} ${prefixOf(operation)}`,
    );
  };
  const [a, b] = [route('203.0.113.1'), route('203.0.113.2')];

  it.each([
    ['nothing to do', [a], [a], []],
    ['a missing route', [a], [], ['advertise 203.0.113.1/32']],
    ['a route too many', [], [a], ['withdraw 203.0.113.1/32']],
    ['advertise before withdraw', [b], [a], ['advertise 203.0.113.2/32', 'withdraw 203.0.113.1/32']],
    ['another shape', [route('203.0.113.1', 'worse')], [a], ['advertise 203.0.113.1/32']],
    ['a foreign path that nobody wants stays', [], [foreignRoute('203.0.113.1')], []],
    ['a foreign path on a wanted prefix is replaced', [a], [foreignRoute('203.0.113.1')], ['advertise 203.0.113.1/32']],
  ])('%s', (_, desired, local, expected) => {
    expect(plan(desired, local)).toEqual(expected);
  });
});
