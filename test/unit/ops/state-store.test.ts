import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TelemetryEvent } from '../../../src/core/ports.ts';
import { readBootId } from '../../../src/ops/boot-id.ts';
import { createStateStore } from '../../../src/ops/state-store.ts';
import { packageVersion } from '../../../src/ops/version.ts';
import { Lab } from '../../lab/lab.ts';

describe('the state store', () => {
  let lab: Lab;
  let directory: string;
  let events: TelemetryEvent[];
  const open = () => createStateStore(directory, { count: (event) => void events.push(event), observe: () => {} });

  beforeEach(() => {
    lab = new Lab('state');
    directory = lab.path('state');
    events = [];
  });
  afterEach(() => lab.close());

  it('gives back what it was given, in another process too', async () => {
    await open().save('bindings', { ports: [1, 2] });
    expect(await open().load('bindings')).toEqual({ ports: [1, 2] });
    expect(events).toEqual([]);
  });

  it('has nothing at first, and does not complain', async () => {
    expect(await open().load('bindings')).toBeUndefined();
    expect(events).toEqual([]);
  });

  it('keeps the last of many saves, and leaves no other file', async () => {
    const store = open();
    await Promise.all(Array.from({ length: 50 }, (_, n) => store.save('routes', n)));
    expect(await store.load('routes')).toBe(49);
    expect(readdirSync(directory)).toEqual(['routes.json']);
  });

  it.each([
    ['a cut file', '{"version":1,"val'],
    ['an empty file', ''],
    ['another version', '{"version":2,"value":[]}'],
    ["somebody else's file", '[]'],
  ])('has nothing and says so: %s', async (_, text) => {
    mkdirSync(directory);
    writeFileSync(`${directory}/bindings.json`, text);
    expect(await open().load('bindings')).toBeUndefined();
    expect(events).toEqual([expect.objectContaining({ kind: 'state-store-failure', name: 'bindings' })]);
  });

  it('survives a folder that cannot be written, and what was there before stays', async () => {
    directory = lab.path('file', 'below');
    writeFileSync(lab.path('file'), '');
    const store = open();
    await store.save('bindings', 1);
    expect(events).toEqual([expect.objectContaining({ kind: 'state-store-failure', name: 'bindings' })]);
  });

  it('a failed save leaves the former document', async () => {
    const store = open();
    await store.save('bindings', 'first');
    mkdirSync(`${directory}/bindings.json.new`);
    await store.save('bindings', 'second');
    expect(events).toHaveLength(1);
    expect(JSON.parse(readFileSync(`${directory}/bindings.json`, 'utf8'))).toEqual({ version: 1, value: 'first' });
  });
});

describe('facts of this machine and package', () => {
  it('the boot id is a UUID, or unknown', async () => {
    expect(await readBootId()).toMatch(/^[0-9a-f-]{36}$/);
    expect(await readBootId('/nowhere/boot_id')).toBeUndefined();
  });

  it('the version is the one of package.json', () => {
    expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/);
  });
});
