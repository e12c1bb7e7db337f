import { beforeEach, expect, test } from 'vitest';
import type { AgentRow } from '../../../src/neutron/agent-object.ts';
import { decodeAgent } from '../../../src/neutron/agent-object.ts';
import { OwnRow } from '../../../src/neutron/own-row.ts';
import { RecordingSink } from '../../fakes/recording-sink.ts';
import { agentObject } from '../../lab/neutron-objects.ts';

let sink: RecordingSink;
let row: OwnRow;

beforeEach(() => {
  sink = new RecordingSink();
  row = new OwnRow({ sink, instanceId: 'me' });
});

function saying(change: { adminStateUp?: boolean; instanceId?: string } = {}): AgentRow {
  const { adminStateUp = true, instanceId = 'me' } = change;
  const decoded = decodeAgent(
    agentObject({
      id: '3c0d3d2e-54b0-4a0c-8b80-0d3d3b2a1f03',
      agentType: 'BGP host route agent',
      binary: 'neutron-bgp-agent',
      topic: 'N/A',
      host: 'hv1',
      adminStateUp,
      startedAt: '2026-01-15T10:00:00Z',
      createdAt: '2026-01-15T10:00:00Z',
      heartbeatTimestamp: '2026-01-15T10:00:00Z',
      configurations: { instance_id: instanceId },
      resourceVersions: { Port: '1.7' },
    }),
  );
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}

test('a disabled agent is told the command that enables it', () => {
  row.read(saying({ adminStateUp: false }));
  expect(row.isDisabled).toBe(true);
  expect(sink.warnings.get('agent-disabled')).toContain('openstack network agent set --enable 3c0d3d2e-54b0-4a0c-8b80-0d3d3b2a1f03');
  row.read(saying());
  expect(row.isDisabled).toBe(false);
  expect(sink.warnings.size).toBe(0);
});

test('a row that is not there disables nobody, and enables nobody either', () => {
  expect(row.isKnown).toBe(false);
  row.read(undefined);
  expect([row.isKnown, row.isDisabled]).toEqual([true, false]);
  row.read(saying({ adminStateUp: false }));
  row.read(undefined);
  expect(row.isDisabled).toBe(true);
});

test('another instance id counts when it was seen twice, and no more when it was not seen five times', () => {
  row.read(saying({ instanceId: 'before the reinstallation' }));
  row.readBetweenReports(saying({ instanceId: 'other' }));
  expect(sink.warnings.size).toBe(0);
  row.readBetweenReports(saying());
  row.readBetweenReports(saying({ instanceId: 'other' }));
  expect(sink.warnings.get('host-name-twice')).toContain('instance id other');
  for (let read = 0; read < 4; read += 1) row.readBetweenReports(saying());
  expect(sink.warnings.has('host-name-twice')).toBe(true);
  row.readBetweenReports(saying());
  expect(sink.warnings.size).toBe(0);
});

test('a row without an instance id, or none, says nothing of another instance', () => {
  const bare = { ...saying(), configurations: {} };
  for (let read = 0; read < 3; read += 1) {
    row.readBetweenReports(bare);
    row.readBetweenReports(undefined);
  }
  expect(sink.warnings.size).toBe(0);
});

test('what is shown of a foreign id is printable and short', () => {
  for (let read = 0; read < 2; read += 1) row.readBetweenReports(saying({ instanceId: `\u001b[31m${'x'.repeat(500)}` }));
  const text = sink.warnings.get('host-name-twice') ?? '';
  expect(text).not.toContain('\u001b');
  expect(text.length).toBeLessThan(250);
});
