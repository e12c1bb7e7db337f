/** The lives of a port, as rows: what happens in the cloud, and what the router must see of it, no more and no less. */
import { expect } from 'vitest';
import type { ExplainAnswer } from '../../src/core/status.ts';
import type { Bird } from '../lab/bird.ts';
import type { Cloud } from '../lab/cloud.ts';
import type { Hypervisor } from '../lab/hypervisor.ts';
import { until } from '../lab/lab.ts';

export type LifeContext = { readonly cloud: Cloud; readonly hv1: Hypervisor; readonly router: Bird; readonly ports: Map<string, string> };

export type LifeRow = {
  readonly name: string;
  /** Acts on the port `of` and gives its id. */
  readonly act: (context: LifeContext) => Promise<string>;
  /** What the router's log of updates gains, in order within one prefix. */
  readonly changes: readonly string[];
  /** An address by which the daemon is asked whether it has heard the event; absent: the changes tell. */
  readonly heardBy?: string;
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

function create(name: string, options: Parameters<Cloud['create']>[0]): LifeRow['act'] {
  return async ({ cloud, ports }) => {
    const portId = await cloud.create(options);
    ports.set(name, portId);
    return portId;
  };
}

export const LIVES: readonly LifeRow[] = [
  { name: 'boot: bound, not wired yet', act: create('a', { host: 'hv1', addresses: [A] }), changes: [], heardBy: A },
  { name: 'wired', act: on('a', (cloud, id) => cloud.wire(id, 'hv1')), changes: [`added ${A}/32`] },
  { name: 'a new name', act: on('a', (cloud, id) => cloud.rename(id, 'other')), changes: [], heardBy: A },
  { name: 'stop', act: on('a', (cloud, id) => cloud.stop(id, 'hv1')), changes: [`removed ${A}/32`] },
  { name: 'start', act: on('a', (cloud, id) => cloud.wire(id, 'hv1')), changes: [`added ${A}/32`] },
  { name: 'admin down', act: on('a', (cloud, id) => cloud.setAdminState(id, false)), changes: [`removed ${A}/32`] },
  {
    name: 'admin up, and wired again',
    act: on('a', async (cloud, id) => {
      await cloud.setAdminState(id, true);
      await cloud.wire(id, 'hv1');
    }),
    changes: [`added ${A}/32`],
  },
  { name: 'another address', act: on('a', (cloud, id) => cloud.changeAddresses(id, [B])), changes: [`added ${B}/32`, `removed ${A}/32`] },
  {
    name: 'a second address, of the other family',
    act: on('a', (cloud, id) => cloud.changeAddresses(id, [B, V6])),
    changes: [`added ${V6}/128`],
  },
  {
    name: 'evacuation to another host',
    act: on('a', (cloud, id) => cloud.rebind(id, 'hv2')),
    changes: [`removed ${B}/32`, `removed ${V6}/128`],
  },
  {
    name: 'cold migration back',
    act: on('a', async (cloud, id) => {
      await cloud.rebind(id, 'hv1');
      await cloud.wire(id, 'hv1');
    }),
    changes: [`added ${B}/32`, `added ${V6}/128`],
  },
  { name: 'unbind', act: on('a', (cloud, id) => cloud.unbind(id)), changes: [`removed ${B}/32`, `removed ${V6}/128`] },
  {
    name: 'an instance with both families',
    act: async (context) => {
      const portId = await create('b', { host: 'hv1', addresses: [B_V4, B_V6] })(context);
      await context.cloud.wire(portId, 'hv1');
      return portId;
    },
    changes: [`added ${B_V4}/32`, `added ${B_V6}/128`],
  },
  {
    name: 'live migration away: worse for a moment, then gone',
    act: on('b', (cloud, id) => cloud.liveMigrate(id, 'hv1', 'hv2')),
    changes: [`added ${B_V4}/32`, `removed ${B_V4}/32`, `added ${B_V6}/128`, `removed ${B_V6}/128`],
  },
  {
    name: 'a self-service network with the public range announces nothing',
    act: async (context) => {
      const portId = await create('tenant', { host: 'hv1', addresses: ['203.0.113.66'], tenant: true })(context);
      await context.cloud.wire(portId, 'hv1');
      return portId;
    },
    changes: [],
    heardBy: '203.0.113.66',
  },
  {
    name: 'boot again',
    act: async (context) => {
      const portId = await create('c', { host: 'hv1', addresses: [C] })(context);
      await context.cloud.wire(portId, 'hv1');
      return portId;
    },
    changes: [`added ${C}/32`],
  },
  { name: 'delete', act: on('c', (cloud, id) => cloud.remove(id)), changes: [`removed ${C}/32`] },
];

/** Plays one row; a change too many shows here or, should it come late, in the next row. */
export async function playRow(row: LifeRow, context: LifeContext, seen: { count: number }): Promise<void> {
  const { router, hv1, cloud } = context;
  const portId = await row.act(context);
  if (row.heardBy !== undefined) await heard(hv1, row.heardBy, portId, await cloud.revision(portId));
  const news = (): string[] =>
    router
      .updates()
      .slice(seen.count)
      .map(({ change, prefix }) => `${change} ${prefix}`);
  await until(`${row.name}: ${row.changes.join(', ')}`, () => news().length >= row.changes.length, 10_000).catch(() => undefined);
  const changes = news();
  seen.count += changes.length;
  expect(byPrefix(changes)).toEqual(byPrefix(row.changes));
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

/** Between prefixes there is no order to hold. */
function byPrefix(changes: readonly string[]): Record<string, string[]> {
  const sorted: Record<string, string[]> = {};
  for (const change of changes) {
    const [kind = '', prefix = ''] = change.split(' ');
    (sorted[prefix] ??= []).push(kind);
  }
  return sorted;
}
