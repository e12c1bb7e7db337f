import { afterEach, describe, expect, it } from 'vitest';
import { pathAttributes, shapeOf } from '../../src/domain/route.ts';
import { binding, foreignRoute, host, port, route, settings, speakerSettings } from '../fakes/ports.ts';
import { FakeSpeaker } from '../fakes/speaker.ts';
import { reconcilerSettings, startWorld, type World } from '../fakes/world.ts';

const A = host('203.0.113.10');
const B = host('203.0.113.11');
const portA = port();
const portB = port({ portId: 'port-2', fixedIps: ['203.0.113.11'] });

const peer = {
  neighbor: { address: '127.0.0.2' },
  asn: 64500,
  passive: false,
  holdTimeSeconds: 9,
  keepaliveSeconds: 3,
  connectRetrySeconds: 1,
  families: ['ipv4'],
  gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2 },
} as const;

let world: World;

async function start(options: Parameters<typeof startWorld>[0] = {}): Promise<World> {
  world = startWorld(options);
  await world.clock.advance(0);
  return world;
}

/** A speaker that already holds these routes of ours, and has its peers. */
function runningWith(...addresses: string[]): FakeSpeaker {
  const speaker = new FakeSpeaker('running');
  for (const address of addresses) speaker.put(route(address));
  return speaker;
}

function shapes(): Record<string, string> {
  return Object.fromEntries([...world.speaker.routes()].map(([prefix, { attributes }]) => [prefix, shapeOf(attributes)]));
}

afterEach(async () => {
  await world.stop();
  expect(world.speaker.misuse).toEqual([]);
});

describe('a start', () => {
  it('announces what the first snapshot says, and opens the peers only then', async () => {
    await start({ settings: reconcilerSettings({ speaker: { ...speakerSettings, peers: [peer] } }) });
    expect(world.reconciler.state()).toEqual({ kind: 'waiting', reason: 'waiting for neutron' });
    expect(world.speaker.peersAtOpen).toBeUndefined();
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([A, B]);
    expect(world.speaker.peersAtOpen).toBe(2);
    expect(world.reconciler.state()).toEqual({ kind: 'ready' });
  });

  it('opens the peers of an empty GoBGP after half of the restart time, come what may', async () => {
    await start({ settings: reconcilerSettings({ speaker: { ...speakerSettings, peers: [peer] } }) });
    await world.clock.advance(14_900);
    expect(world.speaker.peersAtOpen).toBeUndefined();
    await world.clock.advance(100);
    expect(world.speaker.peersAtOpen).toBe(0);
  });

  it('leaves the routes of a running GoBGP alone until every source was in sync', async () => {
    await start({ speaker: runningWith('203.0.113.10', '203.0.113.11') });
    world.table.sink('file');
    await world.clock.advance(600_000);
    world.sink.replace([portA]);
    await world.clock.advance(600_000);
    expect(shapes()).toEqual({ [A]: 'normal', [B]: 'normal' });
    expect(world.speaker.log).toEqual([]);
  });

  it('lets an unmentioned route go worse, and away after a second snapshot a minute later', async () => {
    await start({ speaker: runningWith('203.0.113.10', '203.0.113.11') });
    world.sink.replace([portA]);
    await world.clock.advance(59_000);
    world.sink.replace([portA]);
    await world.clock.advance(2_000);
    expect(shapes()).toEqual({ [A]: 'normal', [B]: 'worse' });
    expect(world.snapshotsWanted()).toBeGreaterThan(0);
    world.sink.replace([portA]);
    await world.clock.advance(0);
    expect(shapes()).toEqual({ [A]: 'normal' });
  });

  it('withdraws at once what a look-up explains', async () => {
    await start({ speaker: runningWith('203.0.113.10', '203.0.113.11') });
    world.table.seed('neutron', [portA, portB]);
    world.sink.replace([portA, { ...portB, bindings: [binding({ host: 'hv2' })] }]);
    await world.clock.advance(0);
    expect(shapes()).toEqual({ [A]: 'normal' });
  });

  it('waits for a GoBGP that is away and says so', async () => {
    const speaker = new FakeSpeaker();
    speaker.goAway();
    await start({ speaker });
    world.sink.replace([portA]);
    await world.clock.advance(60_000);
    expect(world.reconciler.state()).toEqual({ kind: 'away', reason: 'connection refused' });
    speaker.comeBack();
    await world.clock.advance(3_000);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
  });
});

describe('a change', () => {
  it('costs one operation for one route', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.sink.upsert(portB);
    world.sink.upsert({ ...portB, revisionNumber: 5 });
    await world.clock.advance(60_000);
    expect(world.speaker.log.map(({ kind }) => kind)).toEqual(['advertise', 'advertise']);
  });

  it('ignores a state that is older than the one known', async () => {
    await start();
    world.sink.replace([portA]);
    world.sink.upsert({ ...portA, revisionNumber: 3, status: 'DOWN' });
    await world.clock.advance(60_000);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
    expect(world.events).toContainEqual({ kind: 'bus-message', source: 'neutron', outcome: 'stale' });
  });

  it('withdraws a stopped instance after its grace, and not when it starts again within it', async () => {
    await start();
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    world.sink.upsert({ ...portA, revisionNumber: 5, status: 'DOWN' });
    world.sink.upsert({ ...portB, revisionNumber: 5, status: 'DOWN' });
    await world.clock.advance(29_000);
    expect(world.speaker.log).toHaveLength(2);
    world.sink.upsert({ ...portB, revisionNumber: 6 });
    await world.clock.advance(1_000);
    expect(world.speaker.ownPrefixes()).toEqual([B]);
    expect(world.speaker.log).toHaveLength(3);
  });

  it('goes worse and then away when a live migration leaves', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    const left = [binding({ status: 'INACTIVE', vifType: 'unbound' }), binding({ host: 'hv2' })];
    world.sink.upsert({ ...portA, revisionNumber: 6, status: 'DOWN', bindings: left });
    await world.clock.advance(1_900);
    expect(shapes()).toEqual({ [A]: 'worse' });
    await world.clock.advance(100);
    expect(shapes()).toEqual({});
  });

  it('replaces the address of a port: advertise before withdraw', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.sink.upsert({ ...portA, revisionNumber: 6, fixedIps: ['203.0.113.11'] });
    await world.clock.advance(0);
    expect(world.speaker.log.slice(1).map(({ kind }) => kind)).toEqual(['advertise', 'withdraw']);
    expect(world.speaker.ownPrefixes()).toEqual([B]);
  });

  it('obeys the route limit: own routes first, then by prefix', async () => {
    await start({ settings: reconcilerSettings({ decision: settings({ routeLimit: 1 }) }) });
    world.sink.replace([portB]);
    await world.clock.advance(0);
    world.sink.upsert(portA);
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([B]);
    expect(world.reconciler.decisions.get(A)).toMatchObject({ set: 'rejected', reason: 'route-limit' });
    world.sink.remove(portB.portId, 'deleted');
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
  });

  it('follows a new config', async () => {
    await start();
    world.sink.replace([portA, { ...portB, fixedIps: ['203.0.113.129'] }]);
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
    const open = settings({ deniedPrefixes: settings().prefixes });
    world.reconciler.configure(reconcilerSettings({ decision: open }));
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([]);
  });
});

describe('trouble', () => {
  it('retries a refused route with backoff and lets the others through', async () => {
    await start();
    world.speaker.refused.add(A);
    world.sink.replace([portA, portB]);
    await world.clock.advance(60_000);
    expect(world.speaker.ownPrefixes()).toEqual([B]);
    const tries = world.reports.flatMap(({ changes }) => changes).filter(({ outcome }) => outcome.result === 'failed');
    expect(tries.length).toBeGreaterThan(3);
    expect(tries.length).toBeLessThan(15);
    world.speaker.refused.clear();
    await world.clock.advance(60_000);
    expect(world.speaker.ownPrefixes()).toEqual([A, B]);
    expect(world.reports.at(-1)?.complete).toBe(true);
  });

  it.each(['applied', 'lost'] as const)('reads again after an operation of unknown outcome (%s)', async (truth) => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.speaker.unknownNext = truth;
    world.sink.upsert(portB);
    await world.clock.advance(3_000);
    expect(world.speaker.ownPrefixes()).toEqual([A, B]);
    expect(world.reports.at(-1)?.complete).toBe(true);
  });

  it('repairs drift: a deleted, an altered and an overwritten route', async () => {
    await start();
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    world.speaker.drop(A);
    world.speaker.put(foreignRoute('203.0.113.11'));
    await world.clock.advance(2_000);
    expect(shapes()).toEqual({ [A]: 'normal', [B]: 'normal' });
    expect([...world.speaker.routes().values()]).toEqual([route('203.0.113.11'), route('203.0.113.10')]);
  });

  it('leaves foreign routes alone', async () => {
    const speaker = new FakeSpeaker('running');
    speaker.put(foreignRoute('203.0.113.77'));
    await start({ speaker });
    world.sink.replace([portA]);
    world.speaker.put(foreignRoute('203.0.113.78'));
    await world.clock.advance(300_000);
    expect([...world.speaker.routes().keys()].toSorted()).toEqual([A, host('203.0.113.77'), host('203.0.113.78')].toSorted());
  });

  it('does not overwrite a foreign route in an attached GoBGP', async () => {
    const speaker = new FakeSpeaker('running');
    speaker.put(foreignRoute('203.0.113.10'));
    await start({
      speaker,
      settings: reconcilerSettings({ decision: settings({ mode: 'attached' }), speaker: { ...speakerSettings, mode: 'attached' } }),
    });
    world.sink.replace([portA]);
    await world.clock.advance(60_000);
    expect(world.speaker.log).toEqual([]);
    expect(world.reconciler.decisions.get(A)?.reason).toBe('foreign-route');
  });

  it('notices a route that is acknowledged and swallowed', async () => {
    await start();
    world.speaker.swallowed.add(A);
    world.sink.replace([portA]);
    await world.clock.advance(10_000);
    expect(world.events).toContainEqual({ kind: 'view-stale', reason: `${A} was acknowledged but did not show` });
    world.speaker.swallowed.clear();
    await world.clock.advance(5_000);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
  });

  it('brings everything back after a restart of GoBGP, before its peers, graces included', async () => {
    await start({ settings: reconcilerSettings({ speaker: { ...speakerSettings, peers: [peer] } }) });
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    world.sink.upsert({ ...portB, revisionNumber: 5, status: 'DOWN' });
    await world.clock.advance(10_000);
    world.speaker.peersAtOpen = undefined;
    world.speaker.restart();
    await world.clock.advance(5_000);
    expect(shapes()).toEqual({ [A]: 'normal', [B]: 'normal' });
    expect(world.speaker.peersAtOpen).toBe(2);
    await world.clock.advance(15_000);
    expect(shapes()).toEqual({ [A]: 'normal' });
  });

  it('keeps what GoBGP holds when the source is lost, for as long as it takes', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.sink.lost('the bus is away');
    await world.clock.advance(3_600_000);
    expect(world.speaker.ownPrefixes()).toEqual([A]);
    expect(world.speaker.log).toHaveLength(1);
  });

  it('never cuts a grace by a restart of the agent', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.sink.upsert({ ...portA, revisionNumber: 5, status: 'DOWN' });
    await world.clock.advance(29_000);
    const { speaker, clock } = world;
    await world.stop();
    await start({ speaker, clock });
    world.sink.replace([{ ...portA, revisionNumber: 5, status: 'DOWN' }]);
    await clock.advance(29_000);
    expect(speaker.ownPrefixes()).toEqual([A]);
    await clock.advance(1_000);
    expect(speaker.ownPrefixes()).toEqual([]);
  });

  it('keeps a grace and a hold through a second loss of GoBGP in the middle of the bring-up', async () => {
    await start({ settings: reconcilerSettings({ speaker: { ...speakerSettings, peers: [peer] } }) });
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    world.sink.upsert({ ...portB, revisionNumber: 5, status: 'DOWN' });
    world.speaker.restart();
    world.speaker.refused.add(A);
    await world.clock.advance(1_000);
    world.speaker.restart();
    world.speaker.refused.clear();
    await world.clock.advance(5_000);
    expect(shapes()).toEqual({ [A]: 'normal', [B]: 'normal' });
    expect(world.reconciler.routesToKeep().size).toBe(2);
  });

  it('decides on while GoBGP is away, so that nobody is told of yesterday', async () => {
    await start();
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    world.speaker.goAway();
    world.sink.remove(portA.portId, 'deleted');
    await world.clock.advance(1);
    world.sink.remove(portB.portId, 'deleted');
    await world.clock.advance(1);
    expect([A, B].map((prefix) => world.reconciler.decisions.get(prefix)?.reason)).toEqual(['deleted', 'deleted']);
    expect(world.reconciler.isComplete()).toBe(false);
    world.speaker.comeBack();
    await world.clock.advance(3_000);
    expect(world.speaker.ownPrefixes()).toEqual([]);
    expect(world.reconciler.isComplete()).toBe(true);
  });

  it('injects stored routes in the worse shape when GoBGP is empty and no source has spoken', async () => {
    await start({ stored: new Map([[A, route('203.0.113.10')]]) });
    expect(shapes()).toEqual({ [A]: 'worse' });
    world.sink.replace([portA]);
    await world.clock.advance(0);
    expect(shapes()).toEqual({ [A]: 'normal' });
  });
});

describe('what a tenant, a late word or a ghost must not do', () => {
  it('does not withdraw for a tenant who has the same address, before the first snapshot and after', async () => {
    const tenant = port({ portId: 'tenant', networkId: 'net-tenant' });
    await start({ speaker: runningWith('203.0.113.10') });
    world.table.seed('neutron', [portA, tenant]);
    world.sink.upsert({ ...tenant, revisionNumber: 9 });
    world.sink.remove('tenant', 'deleted');
    await world.clock.advance(60_000);
    expect(shapes()).toEqual({ [A]: 'normal' });
    world.sink.replace([portA, { ...tenant, revisionNumber: 10 }]);
    await world.clock.advance(0);
    expect(shapes()).toEqual({ [A]: 'normal' });
    expect(world.speaker.log).toEqual([]);
  });

  it('withdraws at once when a reload takes the network of a port away', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.reconciler.configure(reconcilerSettings({ decision: settings({ networks: new Set(['net-other']) }) }));
    await world.clock.advance(0);
    expect(shapes()).toEqual({});
  });

  it('waits with an address that moved between ports of this host until everybody has spoken', async () => {
    await start({ speaker: runningWith('203.0.113.10') });
    world.table.seed('neutron', [portA, portB]);
    world.sink.upsert({ ...portA, revisionNumber: 9, fixedIps: [] });
    await world.clock.advance(1_000);
    expect(shapes()).toEqual({ [A]: 'normal' });
    world.sink.replace([
      { ...portA, revisionNumber: 9, fixedIps: [] },
      { ...portB, revisionNumber: 9, fixedIps: ['203.0.113.10'] },
    ]);
    await world.clock.advance(0);
    expect(world.speaker.log).toEqual([]);
  });

  it('does not bring back what was withdrawn after a loss of GoBGP, an hour later', async () => {
    await start();
    world.sink.replace([portA, portB]);
    await world.clock.advance(0);
    for (const prefix of [A, B]) world.speaker.refused.add(prefix);
    world.speaker.restart();
    await world.clock.advance(2_000);
    world.sink.upsert({ ...portA, revisionNumber: 5, bindings: [binding({ host: 'hv2' })] });
    await world.clock.advance(3_600_000);
    world.speaker.refused.delete(A);
    expect(shapes()).toEqual({});
    const inactiveHere = [binding({ host: 'hv2' }), binding({ status: 'INACTIVE' })];
    world.sink.upsert({ ...portA, revisionNumber: 6, bindings: inactiveHere });
    await world.clock.advance(1_500);
    expect(shapes()).toEqual({});
    expect(world.speaker.log.filter(({ kind }) => kind === 'advertise')).toHaveLength(2);
  });

  it('does not let a withdrawal wait for the backoff of an advertisement', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.speaker.refused.add(A);
    const left = [binding({ status: 'INACTIVE', vifType: 'unbound' }), binding({ host: 'hv2' })];
    world.reconciler.configure(reconcilerSettings({ decision: settings({ graceMs: { ...settings().graceMs, migration: 100_000 } }) }));
    world.sink.upsert({ ...portA, revisionNumber: 6, bindings: left });
    await world.clock.advance(90_000);
    world.speaker.refused.clear();
    world.sink.upsert({ ...portA, revisionNumber: 7, bindings: [binding({ host: 'hv2' })] });
    await world.clock.advance(1_100);
    expect(shapes()).toEqual({});
  });

  it('tells the sources which addresses are in doubt, so that a new owner elsewhere is heard', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    expect(world.sink.interest.addresses()).toEqual([]);
    world.sink.upsert({ ...portA, revisionNumber: 5, status: 'DOWN' });
    await world.clock.advance(0);
    expect(world.sink.interest.addresses()).toEqual(['203.0.113.10']);
    const owner = port({ portId: 'new', updatedAt: '2026-01-15T10:00:09Z', bindings: [binding({ host: 'hv2' })] });
    world.sink.upsert(owner);
    await world.clock.advance(0);
    expect(shapes()).toEqual({});
    expect(world.reports.flatMap(({ changes }) => changes).at(-1)?.decision?.reason).toBe('claimed-elsewhere');
    expect(world.sink.interest.addresses()).toEqual([]);
  });

  it('announces nothing that the guard refuses, and counts it', async () => {
    const bare = pathAttributes({});
    const unmarked = settings({ attributes: { ipv4: { normal: bare, worse: bare }, ipv6: undefined } });
    await start({ settings: reconcilerSettings({ decision: unmarked }) });
    world.sink.replace([portA]);
    await world.clock.advance(1_000);
    expect(shapes()).toEqual({});
    expect(world.events).toContainEqual({ kind: 'guard-refusal', prefix: A, reason: 'without our marker' });
  });

  it('counts what GoBGP holds, not what it held, when it was found running', async () => {
    await start({ speaker: runningWith('203.0.113.10'), stored: new Map([[B, route('203.0.113.11')]]) });
    await world.clock.advance(60_000);
    expect(shapes()).toEqual({ [A]: 'normal' });
  });
});

describe('the bring-up', () => {
  const withPeer = reconcilerSettings({ speaker: { ...speakerSettings, peers: [peer] } });

  it('opens no peer before every route is seen in GoBGP', async () => {
    const speaker = new FakeSpeaker();
    speaker.swallowed.add(A);
    await start({ speaker, settings: withPeer });
    world.sink.replace([portA]);
    await world.clock.advance(10_000);
    expect(speaker.peersAtOpen).toBeUndefined();
    speaker.swallowed.clear();
    await world.clock.advance(2_000);
    expect(speaker.peersAtOpen).toBe(1);
  });

  it('goes on where another process was cut short: BGP runs, without a peer', async () => {
    const speaker = new FakeSpeaker('running');
    await speaker.openPeers(speakerSettings);
    speaker.peersAtOpen = undefined;
    await start({ speaker, settings: withPeer });
    expect(speaker.peersAtOpen).toBeUndefined();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    expect(speaker.peersAtOpen).toBe(1);
  });

  it('carries out one change of the peers after the other, and the last configuration wins', async () => {
    await start({ settings: withPeer });
    world.sink.replace([portA]);
    await world.clock.advance(0);
    let finish: () => void = () => {};
    world.speaker.peersTake = new Promise((resolve) => (finish = resolve));
    const peerAt = (address: string) => ({ ...peer, neighbor: { address } });
    world.reconciler.configure(reconcilerSettings({ speaker: { ...speakerSettings, peers: [peerAt('127.0.0.3')] } }));
    await world.clock.advance(1_000);
    world.reconciler.configure(reconcilerSettings({ speaker: { ...speakerSettings, peers: [peerAt('127.0.0.4')] } }));
    await world.clock.advance(1_000);
    finish();
    await world.clock.advance(1_000);
    expect(world.speaker.peers()).toEqual(['127.0.0.4']);
  });

  it('begins anew when BGP was stopped under it', async () => {
    await start({ settings: withPeer });
    world.sink.replace([portA]);
    await world.clock.advance(0);
    world.speaker.restart({ quietly: true });
    world.reconciler.configure(withPeer);
    await world.clock.advance(3_000);
    expect(shapes()).toEqual({ [A]: 'normal' });
    expect(world.speaker.peers()).toEqual(['127.0.0.2']);
  });
});

describe('what others do in GoBGP', () => {
  it('neither delays our routes nor makes us read again and again', async () => {
    await start();
    world.sink.replace([portA]);
    await world.clock.advance(0);
    const { reads } = world.speaker;
    for (let round = 0; round < 20; round++) {
      world.speaker.put(foreignRoute('198.51.100.7'));
      await world.clock.advance(10);
      world.speaker.drop(host('198.51.100.7'));
      await world.clock.advance(10);
    }
    world.speaker.put(foreignRoute('198.51.100.8'));
    world.sink.upsert(portB);
    await world.clock.advance(0);
    expect(world.speaker.ownPrefixes()).toEqual([A, B]);
    expect(world.speaker.reads).toBe(reads);
  });
});
