import { describe, expect, it } from 'vitest';
import type { StateStore } from '../../../src/core/ports.ts';
import { loadStoredState, StateKeeper } from '../../../src/ops/stored-state.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { binding, host, port, route } from '../../fakes/ports.ts';

const A = host('203.0.113.1');
const NOW = new Date('2026-01-15T12:00:00Z');
const scope = { bootId: 'boot-1', host: 'hv1', now: NOW };

class MemoryStore implements StateStore {
  saved: unknown[] = [];
  load(): Promise<unknown> {
    return Promise.resolve(JSON.parse(JSON.stringify(this.saved.at(-1) ?? null)) as unknown);
  }
  save(_: string, value: unknown): Promise<void> {
    this.saved.push(value);
    return Promise.resolve();
  }
}

function document(change: Record<string, unknown> = {}): MemoryStore {
  const store = new MemoryStore();
  const migrating = port({ bindings: [binding({ migratingTo: 'hv2' })], requestId: 'req-1' });
  store.saved.push({
    bootId: 'boot-1',
    host: 'hv1',
    savedAt: '2026-01-15T11:00:00Z',
    routes: [route('203.0.113.1'), route('203.0.113.2', 'worse')],
    ports: [{ source: 'neutron', port: migrating }],
    ...change,
  });
  return store;
}

describe('what the last process left', () => {
  it('comes back as it was', async () => {
    const { routes, ports } = await loadStoredState(document(), scope);
    expect([...routes.values()]).toEqual([route('203.0.113.1'), route('203.0.113.2', 'worse')]);
    expect(ports).toEqual([{ source: 'neutron', port: port({ bindings: [binding({ migratingTo: 'hv2' })], requestId: 'req-1' }) }]);
  });

  it.each([
    ['of another boot: no instance has survived it', { bootId: 'boot-0' }, 0, 0],
    ['of another host', { host: 'hv2' }, 0, 0],
    ['without a boot id', { bootId: undefined }, 0, 0],
    ['older than a day: its routes are too old, its ports can still be asked for', { savedAt: '2026-01-14T11:59:59Z' }, 0, 1],
    ['not quite a day old', { savedAt: '2026-01-14T12:00:01Z' }, 2, 1],
    ['that is no state at all', { savedAt: 'yesterday' }, 0, 0],
    [
      'with a route and a port that cannot be read',
      {
        routes: [route('203.0.113.1'), { prefix: 7 }, { ...route('203.0.113.3'), prefix: '203.0.113.0/24' }],
        ports: [
          { source: 'neutron', port: { portId: 'x' } },
          { source: 'neutron', port: port() },
        ],
      },
      1,
      1,
    ],
  ])('%s', async (_, change, routes, ports) => {
    const state = await loadStoredState(document(change), scope);
    expect([state.routes.size, state.ports.length]).toEqual([routes, ports]);
  });

  it('is nothing where there is no boot id to compare', async () => {
    const state = await loadStoredState(document({ bootId: '' }), { ...scope, bootId: undefined });
    expect(state.routes.size).toBe(0);
  });
});

describe('the keeper', () => {
  it('saves changes together, and once more at the stop', async () => {
    const [store, clock, stop] = [new MemoryStore(), new FakeClock(), new AbortController()];
    const routes = new Map([[A, route('203.0.113.1')]]);
    const keeper = new StateKeeper({ store, clock, bootId: 'boot-1', host: 'hv1', state: () => ({ routes, ports: [] }) });
    const running = keeper.run(stop.signal);
    await clock.advance(10_000);
    expect(store.saved).toHaveLength(0);
    keeper.changed();
    keeper.changed();
    await clock.advance(1_000);
    expect(store.saved).toHaveLength(1);
    keeper.changed();
    await clock.advance(500);
    stop.abort();
    await running;
    expect(store.saved).toHaveLength(2);
    expect((await loadStoredState(store, { ...scope, now: clock.wallTime() })).routes.size).toBe(1);
  });
});
