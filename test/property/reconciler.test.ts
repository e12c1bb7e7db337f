/**
 * Random lives: ports change, messages are lost, GoBGP restarts and refuses, people meddle. Whatever the order,
 * nothing forbidden ever happens on the way, and when the faults are over GoBGP holds the truth.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecisionTable } from '../../src/core/decision-table.ts';
import type { PortBinding } from '../../src/domain/port-binding.ts';
import type { Prefix } from '../../src/domain/prefix.ts';
import { isMarked } from '../../src/domain/route.ts';
import { binding, foreignRoute, host, MARKER, PUBLIC_NETWORK, port, route, settings } from '../fakes/ports.ts';
import { FakeSpeaker } from '../fakes/speaker.ts';
import { reconcilerSettings, startWorld, type World } from '../fakes/world.ts';

const ADDRESSES = ['203.0.113.1', '203.0.113.2', '203.0.113.3', '203.0.113.200', '198.51.100.1'] as const;
const PORT_IDS = ['p1', 'p2', 'p3', 'p4'] as const;

const anyPort = fc.record({
  portId: fc.constantFrom(...PORT_IDS),
  fixedIps: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 2 }),
  status: fc.constantFrom('ACTIVE', 'ACTIVE', 'DOWN'),
  adminStateUp: fc.constantFrom(true, true, true, false),
  networkId: fc.constantFrom(PUBLIC_NETWORK, PUBLIC_NETWORK, PUBLIC_NETWORK, 'net-tenant'),
  bindings: fc.constantFrom(
    [binding()],
    [binding()],
    [binding({ host: 'hv2' })],
    [binding({ vifType: 'unbound' })],
    [binding(), binding({ host: 'hv2', status: 'INACTIVE' as const })],
    [binding({ status: 'INACTIVE' as const }), binding({ host: 'hv2' })],
    [],
  ),
});

type AnyPort = typeof anyPort extends fc.Arbitrary<infer T> ? T : never;

type Command =
  | { readonly kind: 'change'; readonly to: AnyPort; readonly delivered: boolean }
  | { readonly kind: 'delete'; readonly id: string; readonly delivered: boolean; readonly cause: 'deleted' | 'unconfirmed' }
  | { readonly kind: 'old-news'; readonly to: AnyPort }
  | { readonly kind: 'snapshot' | 'lost' | 'restart' | 'away' | 'back' | 'agent-restart' }
  | { readonly kind: 'refuse' | 'accept' | 'swallow' | 'drop' | 'meddle'; readonly address: (typeof ADDRESSES)[number] }
  | { readonly kind: 'unknown'; readonly truth: 'applied' | 'lost' }
  | { readonly kind: 'limit'; readonly limit: number }
  | { readonly kind: 'restrain'; readonly on: boolean }
  | { readonly kind: 'time'; readonly ms: number };

const anyAddress = fc.constantFrom(...ADDRESSES);
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('change' as const), to: anyPort, delivered: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      id: fc.constantFrom(...PORT_IDS),
      delivered: fc.boolean(),
      cause: fc.constantFrom('deleted' as const, 'unconfirmed' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('old-news' as const), to: anyPort }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('snapshot' as const, 'lost' as const, 'restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('away' as const, 'back' as const, 'agent-restart' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('refuse' as const, 'accept' as const, 'swallow' as const, 'drop' as const, 'meddle' as const),
      address: anyAddress,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('unknown' as const), truth: fc.constantFrom('applied' as const, 'lost' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restrain' as const), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit' as const), limit: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(0, 1, 300, 2_000, 20_000, 61_000) }) },
);

/** Neutron as it really is, whatever the agent was told. */
class Truth {
  readonly ports = new Map<string, PortBinding>();
  #revision = 0;

  change(to: AnyPort): PortBinding {
    this.#revision += 1;
    const changed = port({
      ...to,
      revisionNumber: this.#revision,
      updatedAt: new Date(Date.UTC(2026, 0, 1) + this.#revision * 1_000).toISOString(),
    });
    this.ports.set(to.portId, changed);
    return changed;
  }

  /** A snapshot holds the ports bound here, and what a look-up by id says of the others that the agent knows. */
  snapshot({ sink }: World): PortBinding[] {
    return [...this.ports.values()].filter(
      ({ portId, bindings }) => bindings.some((one) => one.host === 'hv1') || sink.interest.hasPort(portId),
    );
  }

  /** What GoBGP must hold in the end, from first principles. */
  expected(limit: number, own: ReadonlySet<string>): string[] {
    const claimed = [...this.ports.values()].flatMap((one) => {
      const active = one.bindings.find(({ status }) => status === 'ACTIVE');
      const migrating = one.bindings.some(({ status, host: name }) => status === 'INACTIVE' && name !== 'hv1');
      const here = active?.host === 'hv1' && one.adminStateUp && one.networkId === PUBLIC_NETWORK;
      if (!here || !(one.status === 'ACTIVE' || migrating)) return [];
      return one.fixedIps.filter((address) => active.vifType !== 'unbound' || (migrating && own.has(host(address))));
    });
    const allowed = [...new Set(claimed)]
      .filter((address) => address !== '203.0.113.200' && address !== '198.51.100.1')
      .map((address) => host(address));
    const order = (a: Prefix, b: Prefix): number => Number(own.has(b)) - Number(own.has(a)) || (a < b ? -1 : 1);
    return allowed.toSorted(order).slice(0, limit).toSorted();
  }
}

async function perform(command: Command, truth: Truth, world: World): Promise<void> {
  const { sink, speaker, clock } = world;
  switch (command.kind) {
    case 'change': {
      const changed = truth.change(command.to);
      const isTold = changed.bindings.some((one) => one.host === 'hv1') || sink.interest.hasPort(changed.portId);
      if (command.delivered && isTold) sink.upsert(changed);
      return;
    }
    case 'delete':
      if (truth.ports.delete(command.id) && command.delivered) sink.remove(command.id, command.cause);
      return;
    case 'old-news': {
      const known = [...world.table.ports()].find((entry) => entry.port.portId === command.to.portId);
      if (known !== undefined && known.state !== 'stored')
        sink.upsert(port({ ...command.to, revisionNumber: known.port.revisionNumber - 1 }));
      return;
    }
    case 'snapshot':
      return sink.replace(truth.snapshot(world));
    case 'lost':
      return sink.lost('a test says so');
    case 'restart':
      return speaker.restart();
    case 'away':
      return speaker.goAway();
    case 'back':
      return speaker.comeBack();
    case 'agent-restart':
      return; // the caller makes a new world
    case 'refuse':
      return void speaker.refused.add(host(command.address));
    case 'accept':
      return void speaker.refused.delete(host(command.address));
    case 'swallow':
      return void speaker.swallowed.add(host(command.address));
    case 'drop':
      return speaker.drop(host(command.address));
    case 'meddle':
      return speaker.put(foreignRoute(command.address));
    case 'unknown':
      speaker.unknownNext = command.truth;
      return;
    case 'restrain':
      return sink.warn('agent-disabled', command.on ? 'disabled' : undefined);
    case 'limit':
      return world.reconciler.configure(limited(command.limit));
    case 'time':
      return clock.advance(command.ms);
  }
}

function limited(routeLimit: number): ReturnType<typeof reconcilerSettings> {
  return reconcilerSettings({ decision: settings({ routeLimit }) });
}

/** What must hold at every moment. */
function check({ speaker }: World): void {
  expect(speaker.misuse).toEqual([]);
  for (const operation of speaker.log) {
    if (operation.kind !== 'advertise') continue;
    const { prefix, attributes } = operation.route;
    expect(prefix.startsWith('203.0.113.') && prefix !== '203.0.113.200/32', `${prefix} is ours to announce`).toBe(true);
    expect(isMarked(attributes, [MARKER])).toBe(true);
  }
}

describe('the reconciler', () => {
  it('converges to the truth after any life, and then is quiet', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommand, { maxLength: 40 }), async (commands) => {
        const truth = new Truth();
        let limit = 100;
        let world = startWorld();
        for (const command of commands) {
          if (command.kind === 'agent-restart') {
            await world.stop();
            const { speaker, clock } = world;
            world = startWorld({ speaker, clock, settings: limited(limit) });
          } else await perform(command, truth, world);
          if (command.kind === 'limit') limit = command.limit;
          check(world);
        }
        const { speaker, clock, sink } = world;
        sink.warn('agent-disabled', undefined);
        speaker.comeBack();
        speaker.refused.clear();
        speaker.swallowed.clear();
        speaker.unknownNext = undefined;
        for (let round = 0; round < 4; round++) {
          sink.replace(truth.snapshot(world));
          await clock.advance(61_000);
        }
        const own = new Set(speaker.ownPrefixes());
        expect(speaker.ownPrefixes()).toEqual(truth.expected(limit, own));
        const operations = speaker.log.length;
        sink.replace(truth.snapshot(world));
        world.reconciler.trigger();
        await clock.advance(61_000);
        expect(speaker.log.length, 'a second run is a no-op').toBe(operations);
        check(world);
        await world.stop();
      }),
      { numRuns: 300 },
    );
  });

  it('withdraws nothing before every source was in sync, whatever GoBGP does', async () => {
    const unsynced = anyCommand.filter(
      ({ kind }) => !['snapshot', 'limit', 'meddle', 'drop', 'restart', 'change', 'delete'].includes(kind),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(unsynced, { maxLength: 20 }), async (commands) => {
        const speaker = new FakeSpeaker('running');
        for (const address of ADDRESSES.slice(0, 3)) speaker.put(route(address));
        const world = startWorld({ speaker });
        for (const command of commands) if (command.kind !== 'agent-restart') await perform(command, new Truth(), world);
        await world.clock.advance(600_000);
        expect(speaker.log).toEqual([]);
        expect(speaker.ownPrefixes()).toHaveLength(3);
        await world.stop();
      }),
      { numRuns: 100 },
    );
  });

  it('announces nothing new while the agent is disabled, and withdraws what has left', async () => {
    const lives = anyCommand.filter(({ kind }) => !['restrain', 'agent-restart'].includes(kind));
    await fc.assert(
      fc.asyncProperty(fc.array(lives, { maxLength: 15 }), fc.array(lives, { maxLength: 25 }), async (before, during) => {
        const truth = new Truth();
        const world = startWorld();
        const { sink, speaker, clock } = world;
        for (const command of before) await perform(command, truth, world);
        await clock.advance(0);
        sink.warn('agent-disabled', 'disabled');
        const ours = new Set(speaker.ownPrefixes());
        // What was lost a moment ago, or is held back by a fault, counts as ours as well.
        for (const prefix of world.reconciler.decisions.prefixes()) if (world.reconciler.own(prefix) !== undefined) ours.add(prefix);
        const mark = speaker.log.length;
        for (const command of during) await perform(command, truth, world);
        const advertised = speaker.log.slice(mark).flatMap((one) => (one.kind === 'advertise' ? [one.route.prefix] : []));
        expect(advertised.filter((prefix) => !ours.has(prefix))).toEqual([]);
        world.reconciler.configure(limited(100));
        speaker.comeBack();
        speaker.refused.clear();
        speaker.swallowed.clear();
        for (let round = 0; round < 4; round++) {
          sink.replace(truth.snapshot(world));
          await clock.advance(61_000);
        }
        const own = new Set(speaker.ownPrefixes());
        const right = new Set(truth.expected(100, own));
        expect([...own].filter((prefix) => !right.has(prefix))).toEqual([]);
        await world.stop();
      }),
      { numRuns: 200 },
    );
  });

  it('decides incrementally what it would decide from scratch', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyCommand, { maxLength: 30 }), async (commands) => {
        const truth = new Truth();
        const world = startWorld();
        const scratch = new DecisionTable();
        let routeLimit = 100;
        await world.clock.advance(0);
        for (const command of commands) {
          if (command.kind === 'agent-restart') continue;
          if (command.kind === 'limit') routeLimit = command.limit;
          await perform(command, truth, world);
          await world.clock.advance(0);
          // Away, or about to read again: the next run has not come yet.
          if (world.reconciler.state().kind === 'away' || world.reconciler.view.staleReason() !== undefined) continue;
          // A window opens when its first evaluation sees it: the other table must look at the same moments.
          const prefixes = new Set([
            ...world.table.prefixes(),
            ...world.reconciler.decisions.prefixes(),
            ...world.speaker.routes().keys(),
            ...scratch.prefixes(),
          ]);
          const all = {
            settings: settings({ routeLimit }),
            nowMs: world.clock.monotonicMs(),
            inSyncOnce: world.table.inSyncOnce(),
            snapshotMs: (source?: string) => world.table.snapshotMs(source),
            restraint: (source: string) => world.table.restraint(source),
          };
          scratch.evaluate(prefixes, all, (prefix) => ({
            prefix,
            claims: world.table.claims(prefix),
            own: world.reconciler.own(prefix),
            isHeld: world.reconciler.view.get(prefix) !== undefined,
            foreign: false,
          }));
          const set = (table: DecisionTable): unknown =>
            [...table.all()]
              .map(({ prefix, set: inSet, reason, route: one }) => ({ prefix, inSet, reason, attributes: one?.attributes }))
              .toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1));
          expect(set(world.reconciler.decisions)).toEqual(set(scratch));
        }
        await world.stop();
      }),
      { numRuns: 200 },
    );
  });
});
