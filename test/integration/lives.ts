/** The lives of a port, as rows: what happens in the cloud, and what the router must see of either host, no more and no less. */
import { expect } from 'vitest';
import type { ExplainAnswer } from '../../src/core/status.ts';
import type { Bird, BirdUpdate } from '../lab/bird.ts';
import type { Cloud } from '../lab/cloud.ts';
import type { Hypervisor } from '../lab/hypervisor.ts';
import { until } from '../lab/lab.ts';

export type LifeContext = {
  readonly cloud: Cloud;
  readonly hosts: readonly Hypervisor[];
  readonly router: Bird;
  readonly ports: Map<string, string>;
};

export type LifeRow = {
  readonly name: string;
  /** Acts on a port and gives its id. */
  readonly act: (context: LifeContext) => Promise<string>;
  /** What the router's log of updates gains, in order within one host and prefix. */
  readonly changes: readonly string[];
  /** An address by which hv1 is asked whether it has heard the event; absent: the changes tell. */
  readonly heardBy?: string;
  /** Prefixes that some host announces at every instant. */
  readonly neverWithout?: readonly string[];
};

const A = '203.0.113.10';
const B = '203.0.113.20';
const V6 = '2001:db8:113::10';
/** Neutron gives an address to one port at a time. */
const B_V4 = '203.0.113.30';
const B_V6 = '2001:db8:113::30';
const C = '203.0.113.40';

/** Acts on a port that a former row named. */
function on(name: string, act: (cloud: Cloud, portId: string) => Promise<void>): LifeRow['act'] {
  return async ({ cloud, ports }) => {
    const portId = ports.get(name);
    if (portId === undefined) throw new Error(`no port is called ${name}`);
    await act(cloud, portId);
    return portId;
  };
}

function create(name: string, options: Parameters<Cloud['create']>[0], wired = false): LifeRow['act'] {
  return async ({ cloud, ports }) => {
    const portId = await cloud.create(options);
    ports.set(name, portId);
    if (wired) await cloud.wire(portId, options.host);
    return portId;
  };
}

export const LIVES: readonly LifeRow[] = [
  { name: 'boot: bound, not wired yet', act: create('a', { host: 'hv1', addresses: [A] }), changes: [], heardBy: A },
  { name: 'wired: one announcement', act: on('a', (cloud, id) => cloud.wire(id, 'hv1')), changes: [`hv1 added ${A}/32`] },
  { name: 'a new name: nothing', act: on('a', (cloud, id) => cloud.rename(id, 'other')), changes: [], heardBy: A },
  {
    name: 'allowed address pairs: nothing',
    act: on('a', (cloud, id) => cloud.setAddressPairs(id, ['203.0.113.99'])),
    changes: [],
    heardBy: A,
  },
  { name: 'stop: one withdrawal after the grace', act: on('a', (cloud, id) => cloud.stop(id, 'hv1')), changes: [`hv1 removed ${A}/32`] },
  { name: 'start', act: on('a', (cloud, id) => cloud.wire(id, 'hv1')), changes: [`hv1 added ${A}/32`] },
  {
    name: 'hard reboot within the grace: nothing',
    act: on('a', async (cloud, id) => {
      await cloud.stop(id, 'hv1');
      await cloud.wire(id, 'hv1');
    }),
    changes: [],
    heardBy: A,
  },
  { name: 'admin down', act: on('a', (cloud, id) => cloud.setAdminState(id, false)), changes: [`hv1 removed ${A}/32`] },
  {
    name: 'admin up, and wired again',
    act: on('a', async (cloud, id) => {
      await cloud.setAdminState(id, true);
      await cloud.wire(id, 'hv1');
    }),
    changes: [`hv1 added ${A}/32`],
  },
  {
    name: 'another address',
    act: on('a', (cloud, id) => cloud.changeAddresses(id, [B])),
    changes: [`hv1 added ${B}/32`, `hv1 removed ${A}/32`],
  },
  {
    name: 'a second address, of the other family',
    act: on('a', (cloud, id) => cloud.changeAddresses(id, [B, V6])),
    changes: [`hv1 added ${V6}/128`],
  },
  {
    name: 'evacuation to another host',
    act: on('a', async (cloud, id) => {
      await cloud.rebind(id, 'hv2');
      await cloud.wire(id, 'hv2');
    }),
    changes: [`hv1 removed ${B}/32`, `hv1 removed ${V6}/128`, `hv2 added ${B}/32`, `hv2 added ${V6}/128`],
  },
  {
    name: 'cold migration back',
    act: on('a', async (cloud, id) => {
      await cloud.rebind(id, 'hv1');
      await cloud.wire(id, 'hv1');
    }),
    changes: [`hv2 removed ${B}/32`, `hv2 removed ${V6}/128`, `hv1 added ${B}/32`, `hv1 added ${V6}/128`],
  },
  {
    name: 'a device that cannot be bound: binding failed',
    act: on('a', (cloud, id) => cloud.failBinding(id, 'hv1')),
    changes: [`hv1 removed ${B}/32`, `hv1 removed ${V6}/128`],
  },
  {
    name: 'an instance with both families',
    act: create('b', { host: 'hv1', addresses: [B_V4, B_V6] }, true),
    changes: [`hv1 added ${B_V4}/32`, `hv1 added ${B_V6}/128`],
  },
  {
    name: 'live migration begins: unbound and DOWN, and the guest still runs here',
    act: on('b', (cloud, id) => cloud.prepareMigration(id, 'hv2')),
    changes: [],
    heardBy: B_V4,
    neverWithout: [`${B_V4}/32`, `${B_V6}/128`],
  },
  {
    name: 'and is rolled back',
    act: on('b', (cloud, id) => cloud.rollBackMigration(id, 'hv1', 'hv2')),
    changes: [],
    heardBy: B_V4,
    neverWithout: [`${B_V4}/32`, `${B_V6}/128`],
  },
  {
    name: 'live migration: the new host at once, the old one worse for a moment, then gone',
    act: on('b', (cloud, id) => cloud.liveMigrate(id, 'hv1', 'hv2')),
    changes: [`${B_V4}/32`, `${B_V6}/128`].flatMap((prefix) => [`hv1 added ${prefix}`, `hv1 removed ${prefix}`, `hv2 added ${prefix}`]),
    neverWithout: [`${B_V4}/32`, `${B_V6}/128`],
  },
  {
    name: 'and back',
    act: on('b', (cloud, id) => cloud.liveMigrate(id, 'hv2', 'hv1')),
    changes: [`${B_V4}/32`, `${B_V6}/128`].flatMap((prefix) => [`hv2 added ${prefix}`, `hv2 removed ${prefix}`, `hv1 added ${prefix}`]),
    neverWithout: [`${B_V4}/32`, `${B_V6}/128`],
  },
  {
    name: 'shelved and offloaded: unbound',
    act: on('b', (cloud, id) => cloud.unbind(id)),
    changes: [`hv1 removed ${B_V4}/32`, `hv1 removed ${B_V6}/128`],
  },
  {
    name: 'a self-service network with the public range announces nothing',
    act: create('tenant', { host: 'hv1', addresses: ['203.0.113.66'], tenant: true }, true),
    changes: [],
    heardBy: '203.0.113.66',
  },
  { name: 'boot again', act: create('c', { host: 'hv1', addresses: [C] }, true), changes: [`hv1 added ${C}/32`] },
  { name: 'delete', act: on('c', (cloud, id) => cloud.remove(id)), changes: [`hv1 removed ${C}/32`] },
];

/** Plays one row; a change too many shows here or, should it come late, in the next row. */
export async function playRow(row: LifeRow, context: LifeContext, seen: { count: number }): Promise<void> {
  const { router, hosts, cloud } = context;
  const portId = await row.act(context);
  const [hv1] = hosts;
  if (row.heardBy !== undefined && hv1 !== undefined) await heard(hv1, row.heardBy, portId, await cloud.revision(portId));
  const news = (): readonly BirdUpdate[] => router.updates().slice(seen.count);
  await until(`${row.name}: ${row.changes.join(', ')}`, () => news().length >= row.changes.length, 10_000).catch(() => undefined);
  const before = router.updates().slice(0, seen.count);
  const changes = news();
  seen.count += changes.length;
  expect(sorted(changes.map(({ protocol, change, prefix }) => `${protocol} ${change} ${prefix}`))).toEqual(sorted(row.changes));
  for (const prefix of row.neverWithout ?? [])
    expect(fewestHosts(prefix, before, changes), `hosts that announce ${prefix}`).toBeGreaterThan(0);
}

/** The least number of hosts that announced a prefix at any instant of `during`, from the router's own log. */
function fewestHosts(prefix: string, before: readonly BirdUpdate[], during: readonly BirdUpdate[]): number {
  const announcing = new Set<string>();
  const follow = ({ protocol, change, prefix: changed }: BirdUpdate): number => {
    if (changed === prefix && change === 'added') announcing.add(protocol);
    if (changed === prefix && change === 'removed') announcing.delete(protocol);
    return announcing.size;
  };
  for (const update of before) follow(update);
  return Math.min(announcing.size, ...during.map(follow));
}

/** Waits until the daemon knows the port in at least this revision. */
async function heard(hv1: Hypervisor, address: string, portId: string, revision: number): Promise<void> {
  await until(`the daemon has heard of revision ${revision} of ${portId}`, async () => {
    const { steps } = JSON.parse((await hv1.cli('explain', address, '--json')).stdout) as ExplainAnswer;
    return steps.some(({ detail }) => {
      const port = detail?.port as { portId: string; revisionNumber: number } | undefined;
      return port?.portId === portId && port.revisionNumber >= revision;
    });
  });
}

/** By host and prefix; between those there is no order to hold. */
function sorted(changes: readonly string[]): Record<string, string[]> {
  const byPlace: Record<string, string[]> = {};
  for (const change of changes) {
    const [protocol = '', kind = '', prefix = ''] = change.split(' ');
    (byPlace[`${protocol} ${prefix}`] ??= []).push(kind);
  }
  return byPlace;
}
