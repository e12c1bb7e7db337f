import { describe, expect, it } from 'vitest';
import { parseBindings } from '../../../src/sources/bindings-file.ts';

const context = { file: 'bindings.yaml', host: 'compute-1', revisionNumber: 7, updatedAt: '2026-01-15T10:00:07Z' };

describe('parseBindings', () => {
  it('fills in what an entry does not say', () => {
    expect(parseBindings('ports:\n  - addresses: [203.0.113.10, 2001:DB8::10]\n', context).bindings).toEqual([
      {
        portId: 'file:203.0.113.10',
        revisionNumber: 7,
        updatedAt: '2026-01-15T10:00:07Z',
        status: 'ACTIVE',
        adminStateUp: true,
        deviceOwner: 'compute:file',
        networkId: 'file',
        fixedIps: ['203.0.113.10', '2001:db8::10'],
        allowedAddressPairs: [],
        bindings: [{ host: 'compute-1', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal' }],
      },
    ]);
  });

  it('takes what an entry says', () => {
    const text = `ports: [{ id: web, host: compute-2, addresses: [203.0.113.11], status: DOWN, adminStateUp: false,
      deviceOwner: "compute:nova", networkId: public, vnicType: direct }]`;
    expect(parseBindings(text, context).bindings?.[0]).toMatchObject({
      portId: 'web',
      status: 'DOWN',
      adminStateUp: false,
      deviceOwner: 'compute:nova',
      networkId: 'public',
      bindings: [{ host: 'compute-2', vnicType: 'direct' }],
    });
  });

  it('reads JSON to the same bindings as YAML', () => {
    const ports = [{ addresses: ['203.0.113.10'] }, { id: 'web', addresses: ['2001:db8::1'] }];
    expect(parseBindings(JSON.stringify({ ports }), context)).toEqual(
      parseBindings('ports:\n - addresses: [203.0.113.10]\n - {id: web, addresses: ["2001:db8::1"]}', context),
    );
  });

  it('no ports are written out', () => {
    expect(parseBindings('ports: []\n', context).bindings).toEqual([]);
  });

  it.each([
    ['an empty text, as of a file that is being written', '', /bindings\.yaml: is empty/],
    ['comments only', '# nothing\n', /ports: is missing/],
    ['a syntax error', 'ports:\n  - addresses: [203.0.113.10\n', /bindings\.yaml:\d+:\d+: not YAML/],
    [
      'a prefix instead of an address',
      'ports:\n  - addresses:\n    - 203.0.113.0/24\n',
      /bindings\.yaml:3:7: ports\[0\]\.addresses\[0\]: .* no IP address/,
    ],
    ['an octet above 255', 'ports: [{ addresses: [300.0.2.41] }]', /no IP address/],
    ['a mapped address', 'ports: [{ addresses: ["::ffff:192.0.2.1"] }]', /no IP address/],
    ['no addresses', 'ports: [{ id: a, addresses: [] }]', /must not be empty/],
    ['an unknown key', 'ports: [{ adresses: [203.0.113.10] }]', /adresses: unknown key; did you mean addresses/],
    [
      'an id twice',
      'ports:\n  - { id: a, addresses: [203.0.113.1] }\n  - { id: a, addresses: [203.0.113.2] }',
      /bindings\.yaml:3:5: ports\[1\]: a is already the id of ports\[0\]/,
    ],
    ['broken JSON', '{ "ports": [ { "addresses": ["x"] } ] }', /no IP address/],
    ['too many addresses', `ports: [{ addresses: [${'203.0.113.1,'.repeat(65)}] }]`, /at most 64 entries/],
    [
      'too many ports',
      JSON.stringify({ ports: Array.from({ length: 20_001 }, () => ({ addresses: ['203.0.113.1'] })) }),
      /at most 20000 entries/,
    ],
    ['another document', 'hello', /must be a section/],
  ])('refuses %s', (_, text, expected) => {
    const { bindings, problems } = parseBindings(text, context);
    expect(bindings).toBeUndefined();
    expect(problems?.join('\n')).toMatch(expected);
  });

  it('tells several problems at once', () => {
    expect(parseBindings('ports: [{ addresses: [x] }, { addresses: [y] }]', context).problems).toHaveLength(2);
  });
});
