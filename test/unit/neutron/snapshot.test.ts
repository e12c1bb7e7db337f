import { expect, test } from 'vitest';
import { readLookUp } from '../../../src/neutron/look-up.ts';
import { takeSnapshot } from '../../../src/neutron/snapshot.ts';
import { labPort, portObject } from '../../lab/neutron-objects.ts';

const id = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const primitives = new Map(Array.from({ length: 300 }, (_, n) => [id(n), portObject(labPort({ id: id(n) }), '1.7')]));

type World = { listed?: string[]; held?: string[]; deleted?: string[][]; spoilt?: string[]; missing?: string[] };

async function snapshotOf(world: World): Promise<{ asked: string[][]; ports: string[]; unknown: readonly string[] }> {
  const asked: string[][] = [];
  const deleted = [[], ...(world.deleted ?? [])];
  const { ports, unknown } = await takeSnapshot({
    listIds: async () => world.listed ?? [],
    heldIds: () => world.held ?? [],
    takeDeleted: () => deleted.shift() ?? [],
    lookUp: async (ids) => {
      asked.push([...ids]);
      const answer = ids
        .filter((one) => world.missing?.includes(one) !== true)
        .map((one) => (world.spoilt?.includes(one) === true ? spoil(one) : primitives.get(one)));
      return readLookUp(ids, answer);
    },
  });
  return { asked, ports: ports.map(({ portId }) => portId), unknown };
}

function spoil(one: string): unknown {
  return { 'versioned_object.name': 'Port', 'versioned_object.version': '1.7', 'versioned_object.data': { id: one } };
}

test('listed and held ports are looked up together, once', async () => {
  expect(await snapshotOf({ listed: [id(1), id(2)], held: [id(2), id(3)] })).toEqual({
    asked: [[id(1), id(2), id(3)]],
    ports: [id(1), id(2), id(3)],
    unknown: [],
  });
});

test('a hundred ids at a time', async () => {
  const { asked, ports } = await snapshotOf({ listed: [...primitives.keys()].slice(0, 250) });
  expect(asked.map(({ length }) => length)).toEqual([100, 100, 50]);
  expect(ports).toHaveLength(250);
});

test('nothing to ask for is no call: without ids the server would give every port of the cloud', async () => {
  expect(await snapshotOf({})).toEqual({ asked: [], ports: [], unknown: [] });
});

test('a held port that is not found is left out', async () => {
  expect(await snapshotOf({ held: [id(1), id(2)], missing: [id(2)] })).toMatchObject({ ports: [id(1)], unknown: [] });
});

test('a held port whose answer cannot be read is unknown, not absent', async () => {
  expect(await snapshotOf({ held: [id(1), id(2)], spoilt: [id(2)] })).toMatchObject({ ports: [id(1)], unknown: [id(2)] });
});

test('a port that we do not hold and cannot read keeps nothing waiting', async () => {
  expect(await snapshotOf({ listed: [id(1), id(2)], spoilt: [id(2)] })).toMatchObject({ ports: [id(1)], unknown: [] });
});

test('a port that was told as deleted meanwhile is asked for again', async () => {
  const { asked } = await snapshotOf({ listed: [id(1), id(2)], deleted: [[id(2), id(9)]] });
  expect(asked).toEqual([[id(1), id(2)], [id(2)]]);
});

test('a port that a push brought meanwhile is asked for as well', async () => {
  const held = [id(1)];
  const asked: string[][] = [];
  const { ports } = await takeSnapshot({
    listIds: async () => [],
    heldIds: () => held,
    takeDeleted: () => [],
    lookUp: async (ids) => {
      asked.push([...ids]);
      if (!held.includes(id(2))) held.push(id(2));
      return readLookUp(
        ids,
        ids.map((one) => primitives.get(one)),
      );
    },
  });
  expect(asked).toEqual([[id(1)], [id(2)]]);
  expect(ports).toHaveLength(2);
});
