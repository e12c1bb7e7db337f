import { expect, test } from 'vitest';
import type { AgentRow } from '../../../src/neutron/agent-object.ts';
import { decodeAgent } from '../../../src/neutron/agent-object.ts';
import { isServed, offeredVersion } from '../../../src/neutron/port-version.ts';
import { labPort, portObject } from '../../lab/neutron-objects.ts';

const row = (agentType: string, resourceVersions: AgentRow['resourceVersions']): AgentRow => ({
  id: 'a',
  agentType,
  host: 'hv1',
  adminStateUp: true,
  configurations: {},
  resourceVersions,
});

test.each<[string, readonly AgentRow[], string | undefined]>([
  ['no agent', [], undefined],
  ['only ours', [row('BGP host route agent', { Port: '1.10' })], undefined],
  ['an OVS agent', [row('BGP host route agent', { Port: '1.7' }), row('Open vSwitch agent', { Port: '1.10', Network: '1.2' })], '1.10'],
  ['an OVS agent of Zed', [row('Open vSwitch agent', { Port: '1.7' })], '1.7'],
  ['an OVS agent older than Zed', [row('Open vSwitch agent', { Port: '1.5' })], undefined],
  ['another major version', [row('Open vSwitch agent', { Port: '2.0' })], undefined],
  ['junk', [row('Open vSwitch agent', { Port: '1.9; drop' })], undefined],
  ['no text', [row('Open vSwitch agent', { Port: 1.9 })], undefined],
  ['no word on Port', [row('Open vSwitch agent', {})], undefined],
])('%s', (_, rows, expected) => {
  expect(offeredVersion(rows)).toBe(expected);
});

test('only an object of the version shows that the server makes it', () => {
  const port = labPort({ id: '00000000-0000-4000-8000-00000000000a' });
  expect(isServed([portObject(port, '1.10')], '1.10')).toBe(true);
  expect(isServed([portObject(port, '1.7')], '1.10')).toBe(false);
  expect(isServed([], '1.10')).toBe(false);
  expect(isServed([{ 'versioned_object.version': '1.10' }], '1.10')).toBe(false);
});

test.each<[string, unknown]>([
  ['nothing', null],
  ['another object', { 'versioned_object.name': 'Port', 'versioned_object.version': '1.1', 'versioned_object.data': {} }],
  ['no admin_state_up', agent({ id: 'a', agent_type: 't', host: 'hv1' })],
  ['an admin_state_up that is no boolean', agent({ id: 'a', agent_type: 't', host: 'hv1', admin_state_up: 'false' })],
])('%s is no row of an agent', (_, primitive) => {
  expect(decodeAgent(primitive).ok).toBe(false);
});

test('configurations that cannot be read are empty', () => {
  const decoded = decodeAgent(
    agent({ id: 'a', agent_type: 't', host: 'hv1', admin_state_up: true, configurations: '{', resource_versions: null }),
  );
  expect(decoded).toMatchObject({ ok: true, value: { configurations: {}, resourceVersions: {} } });
});

function agent(data: object): object {
  return { 'versioned_object.name': 'Agent', 'versioned_object.version': '1.1', 'versioned_object.data': data };
}
