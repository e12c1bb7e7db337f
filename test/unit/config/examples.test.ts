import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import { configJsonSchema } from '../../../src/config/schema.ts';

const folder = new URL('../../../config/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');
const world = { env: {}, hostname: 'compute-1', links: [], readText: () => 'rabbit://user:secret@192.0.2.11\n' };

type Node = { readonly properties?: Readonly<Record<string, Node>>; readonly items?: Node };

function keysOf(node: Node): readonly string[] {
  const own = Object.entries(node.properties ?? {}).flatMap(([key, child]) => [key, ...keysOf(child)]);
  return node.items === undefined ? own : [...own, ...keysOf(node.items)];
}

describe('config/', () => {
  it.each(['agent.example.yaml', 'standalone.yaml'])('%s is a working configuration without warnings', (name) => {
    expect(parseConfig(read(name), name, world).warnings).toEqual([]);
  });

  it('agent.example.yaml shows every key as often as the schema has it', () => {
    const shown = new Map<string, number>();
    for (const match of read('agent.example.yaml').matchAll(/^[\s#-]*([A-Za-z0-9]+):(?:\s|$)/gm)) {
      const key = match[1] ?? '';
      shown.set(key, (shown.get(key) ?? 0) + 1);
    }
    const keys = keysOf(configJsonSchema());
    expect(keys.length).toBeGreaterThan(70);
    const missing = [...new Set(keys)].filter((key) => (shown.get(key) ?? 0) < keys.filter((other) => other === key).length);
    expect(missing).toEqual([]);
  });

  it('agent.example.yaml shows the defaults as they are', () => {
    const example = parseConfig(read('agent.example.yaml'), 'agent.example.yaml', world);
    const least = parseConfig(read('standalone.yaml'), 'standalone.yaml', world);
    expect(example.decision.graceMs).toEqual(least.decision.graceMs);
    expect(example.decision.vnicTypes).toEqual(least.decision.vnicTypes);
    expect(example.decision.routeLimit).toBe(least.decision.routeLimit);
    expect(example.gobgp).toEqual(least.gobgp);
    expect(example.http).toEqual(least.http);
    expect(example.speaker.peers[0]).toMatchObject({ ...least.speaker.peers[0] });
  });

  it('agent.schema.json is what the schema says (renew it with: neutron-bgp-agent config schema > config/agent.schema.json)', () => {
    expect(read('agent.schema.json')).toBe(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
  });

  it('every key has a description for editors', () => {
    const undescribed = (node: Node & { readonly description?: string }, path: string): readonly string[] => [
      ...Object.entries(node.properties ?? {}).flatMap(([key, child]) => undescribed(child, `${path}.${key}`)),
      ...(node.items === undefined ? [] : undescribed({ ...node.items, description: 'items' }, `${path}[]`)),
      ...(node.description === undefined && path !== '' ? [path] : []),
    ];
    expect(undescribed(configJsonSchema(), '')).toEqual([]);
  });
});
