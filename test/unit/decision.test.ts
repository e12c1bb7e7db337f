import { describe, expect, it } from 'vitest';
import {
  type Claim,
  decide,
  hangsOnNetwork,
  type PrefixFacts,
  REASONS,
  type Reason,
  reasonAgainst,
  type Restraint,
  type World,
} from '../../src/domain/decision.ts';
import type { Shape } from '../../src/domain/route.ts';
import { shapeOf } from '../../src/domain/route.ts';
import { binding, claim, host, port, route, settings } from '../fakes/ports.ts';

const PREFIX = host('203.0.113.10');
const NOW = 1_000_000;

type Row = {
  readonly name: string;
  readonly claims: readonly Claim[];
  readonly prefix?: string;
  readonly own?: Shape;
  readonly facts?: Partial<PrefixFacts>;
  readonly world?: Partial<World>;
  readonly settings?: Parameters<typeof settings>[0];
  /** `yes`, a reason word, or `SHAPE until REASON` for a grace. */
  readonly expect: string;
};

const INACTIVE_ELSEWHERE = [binding(), binding({ host: 'hv2', status: 'INACTIVE' })];
const LEFT = [binding({ status: 'INACTIVE', vifType: 'unbound' }), binding({ host: 'hv2' })];
const MOVED = [binding({ host: 'hv2' })];

function restrained(restraint: Restraint): Partial<World> {
  return { restraint: (source) => (source === 'neutron' ? restraint : undefined) };
}

const rows: readonly Row[] = [
  { name: 'an active port here', claims: [claim()], expect: 'yes' },
  { name: 'an IPv6 address', claims: [claim({ fixedIps: ['2001:db8::1'] })], prefix: '2001:db8::1', expect: 'yes' },
  { name: 'a deleted port', claims: [claim({}, { state: 'deleted' })], own: 'normal', expect: 'deleted' },
  { name: 'a deletion that nobody confirmed', claims: [claim({}, { state: 'unconfirmed' })], own: 'normal', expect: 'worse until deleted' },
  {
    name: 'a deletion that nobody confirmed, of a route that is not ours',
    claims: [claim({}, { state: 'unconfirmed' })],
    expect: 'deleted',
  },
  {
    name: 'a deletion that nobody confirmed for a minute',
    claims: [claim({}, { state: 'unconfirmed' })],
    own: 'normal',
    facts: { since: [{ portId: 'port-1', row: 'unconfirmed', sinceMs: NOW - 60_000 }] },
    expect: 'deleted',
  },
  {
    name: 'a port that a look-up did not find',
    claims: [claim({}, { state: 'not-found' })],
    own: 'normal',
    expect: 'held worse not-found',
  },
  {
    name: 'a port that two look-ups a minute apart did not find',
    claims: [claim({}, { state: 'not-found' })],
    own: 'normal',
    facts: { since: [{ portId: 'port-1', row: 'unmentioned', sinceMs: NOW - 60_000 }] },
    expect: 'not-found',
  },
  {
    name: 'a port that was not found once, long ago',
    claims: [claim({}, { state: 'not-found' })],
    own: 'normal',
    facts: { since: [{ portId: 'port-1', row: 'unmentioned', sinceMs: NOW - 600_000 }] },
    world: { snapshotMs: () => NOW - 550_000 },
    expect: 'held worse not-found',
  },
  { name: 'an address that was taken from the port', claims: [claim({}, { holds: false })], own: 'normal', expect: 'address-removed' },
  { name: 'a port bound to no host', claims: [claim({ bindings: [binding({ host: '' })] })], own: 'normal', expect: 'unbound' },
  { name: 'a port without bindings', claims: [claim({ bindings: [] })], own: 'normal', expect: 'unbound' },
  { name: 'only an inactive binding here', claims: [claim({ bindings: [binding({ status: 'INACTIVE' })] })], expect: 'unbound' },
  {
    name: 'evacuated: this host has vanished from bindings',
    claims: [claim({ bindings: MOVED })],
    own: 'normal',
    expect: 'bound-elsewhere',
  },
  {
    name: 'a host name that begins like ours',
    claims: [claim({ bindings: [binding({ host: 'hv10' })] })],
    own: 'normal',
    expect: 'bound-elsewhere',
  },
  { name: 'left by live migration', claims: [claim({ bindings: LEFT })], own: 'normal', expect: 'worse until bound-elsewhere' },
  { name: 'left by live migration, never ours', claims: [claim({ bindings: LEFT })], expect: 'bound-elsewhere' },
  {
    name: 'left by live migration, grace over',
    claims: [claim({ bindings: LEFT })],
    own: 'worse',
    facts: { since: [{ portId: 'port-1', row: 'migration', sinceMs: NOW - 2_000 }] },
    expect: 'bound-elsewhere',
  },
  {
    name: 'the destination of a live migration, before the switch',
    claims: [claim({ bindings: [binding({ host: 'hv2' }), binding({ status: 'INACTIVE' })] })],
    expect: 'bound-elsewhere',
  },
  {
    name: 'the destination of a live migration, just activated and still DOWN',
    claims: [claim({ status: 'DOWN', bindings: [binding({ host: 'hv2', status: 'INACTIVE', vifType: 'unbound' }), binding()] })],
    expect: 'yes',
  },
  {
    name: 'binding failed',
    claims: [claim({ bindings: [binding({ vifType: 'binding_failed' })] })],
    own: 'normal',
    expect: 'binding-failed',
  },
  { name: 'not yet wired', claims: [claim({ bindings: [binding({ vifType: 'unbound' })], status: 'DOWN' })], expect: 'vif-unbound' },
  {
    name: 'unbound by a re-wiring agent',
    claims: [claim({ bindings: [binding({ vifType: 'unbound' })] })],
    own: 'normal',
    expect: 'normal until vif-unbound',
  },
  {
    name: 'the start of a live migration away: unbound and DOWN while the guest runs here',
    claims: [
      claim({
        status: 'DOWN',
        bindings: [binding({ vifType: 'unbound', migratingTo: 'hv2' }), binding({ host: 'hv2', status: 'INACTIVE' })],
      }),
    ],
    own: 'normal',
    expect: 'yes',
  },
  {
    name: 'the same, but the address was never ours',
    claims: [claim({ status: 'DOWN', bindings: [binding({ vifType: 'unbound' }), binding({ host: 'hv2', status: 'INACTIVE' })] })],
    expect: 'vif-unbound',
  },
  {
    name: 'DOWN for minutes during a live migration',
    claims: [claim({ status: 'DOWN', bindings: INACTIVE_ELSEWHERE })],
    own: 'normal',
    expect: 'yes',
  },
  { name: 'admin down although ACTIVE', claims: [claim({ adminStateUp: false })], own: 'normal', expect: 'admin-down' },
  { name: 'a router port', claims: [claim({ deviceOwner: 'network:router_gateway' })], expect: 'device-owner' },
  { name: 'no device owner', claims: [claim({ deviceOwner: '' })], expect: 'device-owner' },
  {
    name: 'an exact device owner',
    claims: [claim({ deviceOwner: 'baremetal:x' })],
    settings: { deviceOwners: ['baremetal:x'] },
    expect: 'yes',
  },
  { name: 'a vnic type that is not configured', claims: [claim({ bindings: [binding({ vnicType: 'baremetal' })] })], expect: 'vnic-type' },
  { name: 'a self-service network with an overlapping range', claims: [claim({ networkId: 'net-tenant' })], expect: 'network' },
  { name: 'any network', claims: [claim({ networkId: 'net-tenant' })], settings: { networks: 'any' }, expect: 'yes' },
  { name: 'the file source is not asked for a network', claims: [claim({ networkId: '' }, { source: 'file' })], expect: 'yes' },
  {
    name: 'an external network, when external ones are asked for',
    claims: [claim({ networkId: 'net-other', external: true })],
    settings: { external: true },
    expect: 'yes',
  },
  {
    name: 'an external network, when only listed ones are',
    claims: [claim({ networkId: 'net-other', external: true })],
    expect: 'network',
  },
  {
    name: 'a network that is not external, with an overlapping range',
    claims: [claim({ networkId: 'net-tenant', external: false })],
    settings: { external: true },
    expect: 'network',
  },
  {
    name: 'the same, and the address is ours through another port: a tenant cannot take it from it',
    claims: [claim({ networkId: 'net-tenant', external: false })],
    own: 'normal',
    settings: { external: true },
    expect: 'held worse unmentioned',
  },
  {
    name: 'an overlapping port that was deleted says nothing of our address either',
    claims: [claim({ networkId: 'net-tenant' }, { state: 'deleted' })],
    own: 'normal',
    facts: { isHeld: true },
    world: { inSyncOnce: false },
    expect: 'held normal unmentioned',
  },
  {
    name: 'the network of the port that was announced is not ours any more',
    claims: [claim({ networkId: 'net-tenant' })],
    own: 'normal',
    facts: { spokesman: 'port-1' },
    expect: 'network',
  },
  {
    name: 'an address that was given up before every source has spoken: somebody of this host may have it now',
    claims: [claim({}, { holds: false })],
    own: 'normal',
    facts: { isHeld: true },
    world: { inSyncOnce: false },
    expect: 'held normal unmentioned',
  },
  {
    name: 'of two ports in a grace the newer one, whatever keeps it there',
    claims: [
      claim({ portId: 'a', status: 'DOWN', updatedAt: '2026-01-15T10:00:01Z' }),
      claim({ portId: 'b', bindings: [binding({ vifType: 'unbound' })], updatedAt: '2026-01-15T10:00:02Z' }),
    ],
    own: 'normal',
    expect: 'normal until vif-unbound',
  },
  {
    name: 'a deletion that nobody confirmed, claimed by a newer port of the network on another host',
    claims: [claim({}, { state: 'unconfirmed' }), claim({ portId: 'new', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED })],
    own: 'normal',
    expect: 'claimed-elsewhere',
  },
  {
    name: 'not found, and claimed by a newer port of the network on another host',
    claims: [claim({}, { state: 'not-found' }), claim({ portId: 'new', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED })],
    own: 'normal',
    expect: 'claimed-elsewhere',
  },
  {
    name: 'another row, or another port, does not shorten a window',
    claims: [claim({ status: 'DOWN' })],
    own: 'normal',
    facts: {
      since: [
        { portId: 'other', row: 'inactive', sinceMs: NOW - 30_000 },
        { portId: 'port-1', row: 'migration', sinceMs: NOW - 30_000 },
      ],
    },
    expect: 'normal until not-active',
  },
  {
    name: 'in a grace, claimed in another network of ours',
    claims: [claim({ status: 'DOWN' }), claim({ portId: 'new', networkId: 'net-b', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED })],
    own: 'normal',
    settings: { networks: new Set(['net-public', 'net-b']) },
    expect: 'normal until not-active',
  },
  {
    name: 'bound elsewhere while a third host holds an INACTIVE binding is no migration from here',
    claims: [claim({ bindings: [binding({ host: 'hv2' }), binding({ host: 'hv3', status: 'INACTIVE' })] })],
    own: 'normal',
    expect: 'bound-elsewhere',
  },
  {
    name: 'a listed network that is not external',
    claims: [claim({ external: false })],
    settings: { external: true },
    expect: 'yes',
  },
  {
    name: 'a network of which nobody knows yet whether it is external',
    claims: [claim({ networkId: 'net-other' })],
    settings: { external: true },
    expect: 'network',
  },
  {
    name: 'the same, and the address is ours: what is not known withdraws nothing',
    claims: [claim({ networkId: 'net-other' })],
    own: 'normal',
    settings: { external: true },
    expect: 'yes',
  },
  {
    name: 'moved to another host, on a network known to be external',
    claims: [claim({ networkId: 'net-other', external: true, bindings: MOVED })],
    own: 'normal',
    settings: { external: true },
    expect: 'bound-elsewhere',
  },
  {
    name: 'a network of which nothing is known does not speak of our address from another host',
    claims: [claim({ networkId: 'net-other', bindings: MOVED })],
    own: 'normal',
    facts: { isHeld: true },
    settings: { external: true },
    expect: 'held worse unmentioned',
  },
  {
    name: 'the file source is not asked for an external network either',
    claims: [claim({ networkId: '' }, { source: 'file' })],
    settings: { networks: new Set(), external: true },
    expect: 'yes',
  },
  { name: 'a driver that never reports ACTIVE', claims: [claim({ status: 'DOWN' })], settings: { requireActive: 'never' }, expect: 'yes' },
  {
    name: 'a driver that never reports ACTIVE, and has not wired yet',
    claims: [claim({ status: 'DOWN', bindings: [binding({ vifType: 'unbound' })] })],
    settings: { requireActive: 'never' },
    expect: 'vif-unbound',
  },
  {
    name: 'ACTIVE is asked for once, and was not seen yet',
    claims: [claim({ status: 'DOWN' })],
    settings: { requireActive: 'first' },
    expect: 'not-active',
  },
  {
    name: 'ACTIVE is asked for once, and the address is ours',
    claims: [claim({ status: 'DOWN' })],
    own: 'normal',
    settings: { requireActive: 'first' },
    expect: 'yes',
  },
  { name: 'a new address while the agent is disabled', claims: [claim()], world: restrained('agent-disabled'), expect: 'agent-disabled' },
  {
    name: 'an address that is ours while the agent is disabled',
    claims: [claim()],
    own: 'normal',
    world: restrained('agent-disabled'),
    expect: 'yes',
  },
  {
    name: 'an address that GoBGP lost while the agent is disabled',
    claims: [claim()],
    own: 'worse',
    facts: { isHeld: false },
    world: restrained('agent-disabled'),
    expect: 'yes',
  },
  {
    name: 'a move away while the agent is disabled',
    claims: [claim({ bindings: MOVED })],
    own: 'normal',
    world: restrained('agent-disabled'),
    expect: 'bound-elsewhere',
  },
  {
    name: 'a grace while the agent is disabled',
    claims: [claim({ status: 'DOWN' })],
    own: 'normal',
    world: restrained('agent-disabled'),
    expect: 'normal until not-active',
  },
  {
    name: 'another source is not held back by the agent',
    claims: [claim({ networkId: '' }, { source: 'file' })],
    world: restrained('agent-disabled'),
    expect: 'yes',
  },
  {
    name: 'a new address while another agent has our host name',
    claims: [claim()],
    world: restrained('host-name-twice'),
    expect: 'host-name-twice',
  },
  {
    name: 'an address that is ours while another agent has our host name',
    claims: [claim()],
    own: 'normal',
    world: restrained('host-name-twice'),
    expect: 'yes',
  },
  {
    name: 'outside the prefixes',
    claims: [claim({ fixedIps: ['198.51.100.1'] })],
    prefix: '198.51.100.1',
    own: 'normal',
    expect: 'outside-prefixes',
  },
  {
    name: 'a denied prefix',
    claims: [claim({ fixedIps: ['203.0.113.200'] })],
    prefix: '203.0.113.200',
    own: 'normal',
    expect: 'denied-prefix',
  },
  { name: 'a port that is DOWN', claims: [claim({ status: 'DOWN' })], expect: 'not-active' },
  { name: 'stopped', claims: [claim({ status: 'DOWN' })], own: 'normal', expect: 'normal until not-active' },
  { name: 'stopped, and already worse', claims: [claim({ status: 'DOWN' })], own: 'worse', expect: 'worse until not-active' },
  {
    name: 'stopped half a minute ago',
    claims: [claim({ status: 'DOWN' })],
    own: 'normal',
    facts: { since: [{ portId: 'port-1', row: 'inactive', sinceMs: NOW - 30_000 }] },
    expect: 'not-active',
  },
  {
    name: 'DOWN followed by unbound is one window',
    claims: [claim({ status: 'DOWN', bindings: [binding({ vifType: 'unbound' })] })],
    own: 'normal',
    facts: { since: [{ portId: 'port-1', row: 'inactive', sinceMs: NOW - 30_000 }] },
    expect: 'vif-unbound',
  },
  {
    name: 'stopped, in a prefix that is denied by now',
    claims: [claim({ status: 'DOWN', fixedIps: ['203.0.113.200'] })],
    prefix: '203.0.113.200',
    own: 'normal',
    expect: 'denied-prefix',
  },
  {
    name: 'no next hop for the family',
    claims: [claim()],
    settings: { attributes: { ipv4: undefined, ipv6: undefined } },
    expect: 'no-next-hop',
  },
  {
    name: 'the newer of two ports here',
    claims: [claim({ portId: 'a', updatedAt: '2026-01-15T10:00:01Z' }), claim({ portId: 'b' })],
    expect: 'yes b',
  },
  { name: 'two ports of one age: the first id', claims: [claim({ portId: 'b' }), claim({ portId: 'a' })], expect: 'yes a' },
  {
    name: 'a passing port before a newer one in its grace',
    claims: [claim({ portId: 'a', updatedAt: '2026-01-15T09:00:00Z' }), claim({ portId: 'b', status: 'DOWN' })],
    own: 'normal',
    expect: 'yes a',
  },
  {
    name: 'in a grace, claimed by a newer port of the network on another host',
    claims: [claim({ status: 'DOWN' }), claim({ portId: 'new', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED })],
    own: 'normal',
    expect: 'claimed-elsewhere',
  },
  {
    name: 'in a grace, claimed by an older port on another host',
    claims: [claim({ status: 'DOWN' }), claim({ portId: 'old', updatedAt: '2026-01-15T10:00:06Z', bindings: MOVED })],
    own: 'normal',
    expect: 'normal until not-active',
  },
  {
    name: 'in a grace, claimed in another network',
    claims: [
      claim({ status: 'DOWN' }),
      claim({ portId: 'new', networkId: 'net-tenant', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED }),
    ],
    own: 'normal',
    expect: 'normal until not-active',
  },
  {
    name: 'passing, although a newer port on another host has the address',
    claims: [claim(), claim({ portId: 'new', updatedAt: '2026-01-15T10:00:08Z', bindings: MOVED })],
    own: 'normal',
    expect: 'yes port-1',
  },
  {
    name: 'somebody else holds the prefix in an attached GoBGP',
    claims: [claim()],
    facts: { foreign: true },
    settings: { mode: 'attached' },
    expect: 'foreign-route',
  },
  { name: 'drift in a managed GoBGP is repaired', claims: [claim()], facts: { foreign: true }, expect: 'yes' },
  {
    name: 'nobody speaks of it, not in sync yet',
    claims: [],
    own: 'normal',
    facts: { isHeld: true },
    world: { inSyncOnce: false },
    expect: 'held normal unmentioned',
  },
  {
    name: 'nobody speaks of it, not in sync yet, and GoBGP lost it',
    claims: [],
    own: 'normal',
    world: { inSyncOnce: false },
    expect: 'held worse unmentioned',
  },
  { name: 'nobody speaks of it', claims: [], own: 'normal', facts: { isHeld: true }, expect: 'held worse unmentioned' },
  {
    name: 'nobody spoke of it in two snapshots',
    claims: [],
    own: 'normal',
    facts: { since: [{ portId: '', row: 'unmentioned', sinceMs: NOW - 60_000 }] },
    expect: 'unmentioned',
  },
  {
    name: 'nobody speaks of it, and it is outside our prefixes',
    claims: [],
    prefix: '198.51.100.1',
    own: 'normal',
    world: { inSyncOnce: false },
    expect: 'outside-prefixes',
  },
  {
    name: 'only a tenant network on another host speaks of the address',
    claims: [claim({ networkId: 'net-tenant', bindings: MOVED })],
    own: 'normal',
    facts: { isHeld: true },
    expect: 'held worse unmentioned',
  },
  {
    name: 'a public port on another host has it',
    claims: [claim({ portId: 'other', bindings: MOVED })],
    own: 'normal',
    expect: 'bound-elsewhere',
  },
];

function outcomeOf(row: Row): string {
  const prefix = host(row.prefix ?? '203.0.113.10');
  const own = row.own === undefined ? undefined : { ...route('203.0.113.10', row.own), prefix };
  const world = {
    settings: settings(row.settings),
    nowMs: NOW,
    inSyncOnce: true,
    snapshotMs: () => NOW,
    restraint: () => undefined,
    ...row.world,
  };
  const { decision } = decide({ prefix, claims: row.claims, own, isHeld: false, foreign: false, since: [], ...row.facts }, world);
  if (decision === undefined) return 'nothing';
  const { set, reason, untilMs } = decision;
  if (set === 'rejected') return reason ?? 'rejected without a reason';
  const shape = decision.route === undefined ? 'no route' : shapeOf(decision.route.attributes);
  if (set === 'held') return `held ${shape} ${reason}`;
  if (untilMs !== undefined) return `${shape} until ${reason}`;
  return row.claims.length > 1 ? `yes ${decision.claim?.port.portId}` : 'yes';
}

describe('decide', () => {
  it.each(rows.map((row) => [row.name, row] as const))('%s', (_, row) => {
    expect(outcomeOf(row)).toBe(row.expect);
  });

  it('says nothing of a prefix that is neither claimed nor ours', () => {
    const world = { settings: settings(), nowMs: NOW, inSyncOnce: true, snapshotMs: () => NOW, restraint: () => undefined };
    expect(decide({ prefix: PREFIX, claims: [], own: undefined, isHeld: false, foreign: false, since: [] }, world)).toEqual({ since: [] });
  });

  it('opens a window when it has none and keeps the one it has', () => {
    const world = { settings: settings(), nowMs: NOW, inSyncOnce: true, snapshotMs: () => NOW, restraint: () => undefined };
    const facts = {
      prefix: PREFIX,
      claims: [claim({ status: 'DOWN' })],
      own: route('203.0.113.10'),
      isHeld: true,
      foreign: false,
      since: [],
    };
    const first = decide(facts, world);
    expect(first.since).toEqual([{ portId: port().portId, row: 'inactive', sinceMs: NOW }]);
    const later = decide({ ...facts, since: first.since }, { ...world, nowMs: NOW + 29_999 });
    expect(later.decision).toMatchObject({ set: 'desired', untilMs: NOW + 30_000 });
    expect(decide({ ...facts, since: later.since }, { ...world, nowMs: NOW + 30_000 }).decision?.set).toBe('rejected');
  });

  it('has a row for every reason', () => {
    const decidedElsewhere: readonly Reason[] = ['duplicate-address', 'route-limit'];
    const shown = rows.map((row) => row.expect.split(' ').at(-1));
    expect(REASONS.filter((reason) => !shown.includes(reason))).toEqual(decidedElsewhere);
  });
});

describe('reasonAgainst', () => {
  it('names the port that lost an address to another port of this host', () => {
    const claims = [claim({ portId: 'a' }), claim({ portId: 'b' })];
    const world = { settings: settings(), nowMs: NOW, inSyncOnce: true, snapshotMs: () => NOW, restraint: () => undefined };
    const { decision } = decide({ prefix: PREFIX, claims, own: undefined, isHeld: false, foreign: false, since: [] }, world);
    expect(claims.map((one) => decision && reasonAgainst(one, decision, false, settings()))).toEqual([undefined, 'duplicate-address']);
  });
});

describe('hangsOnNetwork', () => {
  const other = { networkId: 'net-other' };
  it.each<[string, Parameters<typeof port>[0], Parameters<typeof settings>[0], boolean]>([
    ['external networks are not asked for', other, {}, false],
    ['an address inside the prefixes', other, { external: true }, true],
    ['a network that is listed', {}, { external: true }, false],
    ['any network', other, { external: true, networks: 'any' }, false],
    ['no address inside the prefixes', { ...other, fixedIps: ['10.0.0.1'] }, { external: true }, false],
    ['a denied address', { ...other, fixedIps: ['203.0.113.200'] }, { external: true }, false],
    [
      'only a pair inside the prefixes, and pairs do not count',
      { ...other, fixedIps: [], allowedAddressPairs: ['203.0.113.10'] },
      { external: true },
      false,
    ],
    [
      'only a pair inside the prefixes, and pairs count',
      { ...other, fixedIps: [], allowedAddressPairs: ['203.0.113.10'] },
      { external: true, allowedAddressPairs: true },
      true,
    ],
  ])('%s', (_, change, changed, expected) => {
    expect(hangsOnNetwork(port(change), settings(changed))).toBe(expected);
  });
});
