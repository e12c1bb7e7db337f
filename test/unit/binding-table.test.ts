import { beforeEach, describe, expect, it } from 'vitest';
import { BindingTable } from '../../src/core/binding-table.ts';
import type { BindingSink, TelemetryEvent } from '../../src/core/ports.ts';
import { FakeClock } from '../fakes/clock.ts';
import { binding, host, port, settings } from '../fakes/ports.ts';

const A = host('203.0.113.10');
const B = host('203.0.113.11');
const MINUTES = 60_000;

let clock: FakeClock;
let events: TelemetryEvent[];
let table: BindingTable;
let sink: BindingSink;

beforeEach(() => {
  clock = new FakeClock();
  events = [];
  table = new BindingTable({ settings: settings(), clock, telemetry: { count: (event) => events.push(event), observe: () => {} } });
  sink = table.sink('neutron');
});

function states(): Record<string, string> {
  return Object.fromEntries([...table.ports()].map(({ port: { portId }, state }) => [portId, state]));
}

describe('upsert', () => {
  it('keeps the newest revision; an equal one is accepted', () => {
    sink.upsert(port({ revisionNumber: 4 }));
    sink.upsert(port({ revisionNumber: 3, status: 'DOWN' }));
    expect(table.claims(A)[0]?.port.status).toBe('ACTIVE');
    expect(events).toEqual([{ kind: 'bus-message', source: 'neutron', outcome: 'stale' }]);
    sink.upsert(port({ revisionNumber: 4, status: 'DOWN' }));
    expect(table.claims(A)[0]?.port.status).toBe('DOWN');
  });

  it('keeps a former address as a claim that no longer holds it', () => {
    sink.upsert(port());
    sink.upsert(port({ revisionNumber: 5, fixedIps: ['203.0.113.11'] }));
    expect([table.claims(A)[0]?.holds, table.claims(B)[0]?.holds]).toEqual([false, true]);
    sink.upsert(port({ revisionNumber: 6 }));
    expect([table.claims(A)[0]?.holds, table.claims(B)[0]?.holds]).toEqual([true, false]);
  });

  it('forgets ports of other hosts at once, unless they speak of an address in doubt', () => {
    const elsewhere = { bindings: [binding({ host: 'hv2' })] };
    sink.upsert(port({ portId: 'foreign', ...elsewhere }));
    expect(states()).toEqual({});
    table.setDoubts([A]);
    expect(sink.interest.addresses()).toEqual(['203.0.113.10']);
    sink.upsert(port({ portId: 'foreign', ...elsewhere }));
    expect(states()).toEqual({ foreign: 'present' });
  });

  it('follows a port that leaves this host', () => {
    sink.upsert(port());
    sink.upsert(port({ revisionNumber: 5, bindings: [binding({ host: 'hv2' })] }));
    expect(table.claims(A)[0]?.port.bindings[0]?.host).toBe('hv2');
    expect(sink.interest.hasPort('port-1')).toBe(true);
  });

  it('counts address pairs only where they are asked for', () => {
    sink.upsert(port({ allowedAddressPairs: ['203.0.113.11', '203.0.113.64/28', '203.0.113.10'] }));
    expect([...table.prefixes()]).toEqual([A]);
    table.configure(settings({ allowedAddressPairs: true }));
    expect([...table.prefixes()]).toEqual([A, B]);
    table.configure(settings());
    expect([table.claims(A)[0]?.holds, table.claims(B)[0]?.holds]).toEqual([true, false]);
  });
});

describe('replace', () => {
  it('makes the source in sync, and what it leaves out not found', () => {
    expect([table.inSyncOnce(), table.snapshotMs()]).toEqual([false, Number.NEGATIVE_INFINITY]);
    sink.upsert(port());
    sink.upsert(port({ portId: 'gone', fixedIps: ['203.0.113.11'] }));
    sink.replace([port()]);
    expect(states()).toEqual({ 'port-1': 'present', gone: 'not-found' });
    expect([table.inSyncOnce(), table.snapshotMs('neutron')]).toEqual([true, clock.monotonicMs()]);
  });

  it('confirms a deletion that nobody had confirmed', () => {
    sink.upsert(port());
    sink.remove('port-1', 'unconfirmed');
    expect(states()).toEqual({ 'port-1': 'unconfirmed' });
    sink.replace([]);
    expect(states()).toEqual({ 'port-1': 'deleted' });
  });

  it('brings back a port that was told as deleted', () => {
    sink.upsert(port());
    sink.remove('port-1', 'unconfirmed');
    sink.replace([port()]);
    expect(states()).toEqual({ 'port-1': 'present' });
  });

  it('touches the ports of its own source only, even where two sources know one id', () => {
    const file = table.sink('file');
    file.upsert(port({ revisionNumber: 1_800_000_000_000 }));
    sink.upsert(port());
    file.remove('port-1', 'deleted');
    expect(
      table
        .claims(A)
        .map(({ source, state }) => `${source} ${state}`)
        .toSorted(),
    ).toEqual(['file deleted', 'neutron present']);
    sink.replace([]);
    expect(
      table
        .claims(A)
        .map(({ source, state }) => `${source} ${state}`)
        .toSorted(),
    ).toEqual(['file deleted', 'neutron not-found']);
    expect(table.inSyncOnce()).toBe(false);
    expect(table.snapshotMs()).toBe(Number.NEGATIVE_INFINITY);
  });

  it('does not revive a confirmed deletion; a look-up of the port does', () => {
    sink.upsert(port());
    sink.remove('port-1', 'deleted');
    sink.replace([port()]);
    expect(states()).toEqual({ 'port-1': 'deleted' });
    sink.upsert(port());
    expect(states()).toEqual({ 'port-1': 'present' });
  });

  it('believes an older state when snapshots insist on it for a minute: the database was set back', async () => {
    const setBack = port({ revisionNumber: 2, bindings: [binding({ host: 'hv2' })] });
    sink.upsert(port());
    sink.replace([setBack]);
    await clock.advance(59_000);
    sink.replace([setBack]);
    expect(table.claims(A)[0]?.port.revisionNumber).toBe(4);
    await clock.advance(1_000);
    sink.upsert(setBack);
    expect(table.claims(A)[0]?.port.revisionNumber).toBe(4);
    sink.replace([setBack]);
    expect(table.claims(A)[0]?.port.revisionNumber).toBe(2);
  });
});

describe('what the state store held', () => {
  it('is looked up, and claims nothing until somebody speaks', () => {
    table.seed('neutron', [port(), port({ portId: 'gone', fixedIps: ['203.0.113.11'] })]);
    expect(sink.interest.portIds()).toEqual(['port-1', 'gone']);
    expect(table.claims(A)).toEqual([]);
    sink.replace([port()]);
    expect(states()).toEqual({ 'port-1': 'present', gone: 'not-found' });
  });

  it('is newer than what a lagging replica says', () => {
    table.seed('neutron', [port({ revisionNumber: 10, bindings: [binding({ host: 'hv2' })] })]);
    sink.replace([port({ revisionNumber: 9 })]);
    expect(states()).toEqual({ 'port-1': 'present' });
    expect(table.claims(A)[0]?.port.bindings[0]?.host).toBe('hv2');
  });
});

describe('lost', () => {
  it('keeps what is known and says why, once', () => {
    sink.replace([port()]);
    sink.lost('the bus is away');
    sink.lost('the bus is away');
    expect(table.sources()).toMatchObject([{ inSync: false, inSyncOnce: true, lostReason: 'the bus is away' }]);
    expect(states()).toEqual({ 'port-1': 'present' });
    expect(events.filter(({ kind }) => kind === 'source-lost')).toHaveLength(1);
  });
});

describe('collect', () => {
  it('keeps a tombstone while it explains a route, and ten minutes', async () => {
    sink.upsert(port());
    sink.remove('port-1', 'deleted');
    await clock.advance(9 * MINUTES);
    table.collect(() => false);
    expect(states()).toEqual({ 'port-1': 'deleted' });
    await clock.advance(2 * MINUTES);
    table.collect((prefix) => prefix === A);
    expect(states()).toEqual({ 'port-1': 'deleted' });
    table.collect(() => false);
    expect(states()).toEqual({});
    expect([...table.prefixes()]).toEqual([]);
  });

  it('forgets what moved away and former addresses, not what is here', async () => {
    sink.upsert(port());
    sink.upsert(port({ revisionNumber: 5, fixedIps: ['203.0.113.11'] }));
    sink.upsert(port({ portId: 'moved', fixedIps: ['203.0.113.12'] }));
    sink.upsert(port({ portId: 'moved', revisionNumber: 5, fixedIps: ['203.0.113.12'], bindings: [binding({ host: 'hv2' })] }));
    for (let minute = 0; minute < 11; minute += 1) {
      await clock.advance(MINUTES);
      sink.replace([...table.ports()].map((entry) => ({ ...entry.port, revisionNumber: entry.port.revisionNumber + 1 })));
      table.collect(() => false);
    }
    expect(states()).toEqual({ 'port-1': 'present' });
    expect([...table.prefixes()]).toEqual([B]);
  });
});

describe('what changed', () => {
  it('is told once, with the time of the first change', async () => {
    sink.upsert(port());
    const at = clock.monotonicMs();
    await clock.advance(5);
    sink.upsert(port({ revisionNumber: 5 }));
    expect([...table.takeDirty()]).toEqual([[A, at]]);
    expect([...table.takeDirty()]).toEqual([]);
  });
});

describe('what is known of a network', () => {
  it('is not forgotten because a push does not say it', () => {
    sink.upsert(port({ external: true }));
    sink.upsert(port({ revisionNumber: 5, bindings: [binding({ host: 'hv2' })] }));
    expect(table.claims(A)[0]?.port).toMatchObject({ revisionNumber: 5, external: true });
    sink.upsert(port({ revisionNumber: 6, external: false }));
    expect(table.claims(A)[0]?.port.external).toBe(false);
  });

  it('comes from the state store too, and is not taken for that of another network', () => {
    table.seed('neutron', [port({ external: true })]);
    sink.upsert(port({ revisionNumber: 5, networkId: 'net-other' }));
    expect(table.claims(A)[0]?.port.external).toBeUndefined();
    table.seed('neutron', [port({ portId: 'p2', external: true })]);
    sink.upsert(port({ portId: 'p2' }));
    expect(table.claims(A).find((one) => one.port.portId === 'p2')?.port.external).toBe(true);
  });
});

describe('warnings', () => {
  it('hold new addresses of their source back, and everything of it is decided again', () => {
    const other = table.sink('file');
    sink.upsert(port());
    other.upsert(port({ portId: 'f', fixedIps: ['203.0.113.11'] }));
    table.takeDirty();
    sink.warn('slow-clock', 'the clock is slow');
    expect(table.restraint('neutron')).toBeUndefined();
    sink.warn('host-name-twice', 'twice');
    sink.warn('agent-disabled', 'disabled');
    expect([table.restraint('neutron'), table.restraint('file')]).toEqual(['agent-disabled', undefined]);
    expect([...table.takeDirty().keys()]).toEqual([A]);
    expect([...table.warnings('neutron').keys()]).toEqual(['slow-clock', 'host-name-twice', 'agent-disabled']);
    sink.warn('agent-disabled', undefined);
    expect(table.restraint('neutron')).toBe('host-name-twice');
    sink.warn('host-name-twice', undefined);
    expect(table.restraint('neutron')).toBeUndefined();
  });

  it('are told when they begin and when they end, not each time they are said', () => {
    for (const text of ['a', 'a', undefined, undefined]) sink.warn('slow-clock', text);
    expect(events).toEqual([
      { kind: 'source-warning', source: 'neutron', warning: 'slow-clock', text: 'a' },
      { kind: 'source-warning', source: 'neutron', warning: 'slow-clock', text: undefined },
    ]);
  });
});

it('holds a bounded number of ports, and those that it holds stay up to date', () => {
  for (let n = 0; n < 50_010; n += 1) sink.upsert(port({ portId: `p${n}` }));
  expect([...table.ports()]).toHaveLength(50_000);
  expect(events.filter((event) => event.kind === 'bus-message' && event.outcome === 'unsupported')).toHaveLength(10);
  sink.upsert(port({ portId: 'p0', revisionNumber: 5, status: 'DOWN' }));
  expect(sink.interest.port('p0')?.status).toBe('DOWN');
});
