/** Every message that real Neutron servers were seen to send, through the whole way from the raw body to a PortBinding. */
import { describe, expect, test } from 'vitest';
import type { PortBinding } from '../../../src/domain/port-binding.ts';
import { readLookUp } from '../../../src/neutron/look-up.ts';
import { decodePush, type PortPush } from '../../../src/neutron/push.ts';
import { castReceiver } from '../../../src/oslo/fanout.ts';
import { innerOf, readRecording, RECORDINGS, type Recorded } from '../../fixtures/recordings.ts';

type Heard = { readonly mark: string; readonly push: PortPush | { readonly kind: 'dropped'; readonly reason: string } };

function hear(messages: readonly Recorded[]): readonly Heard[] {
  const heard: Heard[] = [];
  let mark = '';
  const receive = castReceiver({
    wants: () => true,
    onCast: (cast) => heard.push(...decodePush(cast).map((push) => ({ mark, push }))),
    onDropped: (why, detail) => heard.push({ mark, push: { kind: 'dropped', reason: `${why} ${detail}` } }),
  });
  for (const message of messages) {
    mark = message.mark;
    receive({ content: Buffer.from(message.body), properties: { headers: {} } as never });
  }
  return heard;
}

function describePort(port: PortBinding): string {
  const bindings = port.bindings.map(
    ({ host, vifType, status, migratingTo }) => `${host || '-'}:${vifType}:${status}${migratingTo === undefined ? '' : `>${migratingTo}`}`,
  );
  const pairs = port.allowedAddressPairs.length === 0 ? [] : [`pairs ${port.allowedAddressPairs.join(',')}`];
  return [
    port.portId.slice(0, 8),
    `revision ${port.revisionNumber}`,
    port.status,
    port.adminStateUp ? 'up' : 'down',
    port.deviceOwner || '-',
    bindings.join(' '),
    port.fixedIps.join(','),
    ...pairs,
    port.updatedAt,
  ].join(' | ');
}

const lines = (heard: readonly Heard[]): string =>
  heard
    .map(({ mark, push }) => {
      if (push.kind === 'updated') return `${mark}: updated ${describePort(push.port)}`;
      if (push.kind === 'deleted') return `${mark}: deleted ${push.portId.slice(0, 8)}`;
      return `${mark}: ${push.kind} ${push.reason}`;
    })
    .join('\n');

test.each(RECORDINGS)('%s: every message has the meaning it had when it was recorded', async (name) => {
  await expect(`${lines(hear(readRecording(name)))}\n`).toMatchFileSnapshot(`../../golden/${name}.txt`);
});

test('every Port push of every recording is understood', () => {
  for (const name of RECORDINGS) {
    const pushes = hear(readRecording(name).filter(({ exchange }) => exchange.startsWith('neutron-vo-Port-')));
    expect(pushes.filter(({ push }) => push.kind !== 'updated' && push.kind !== 'deleted')).toEqual([]);
  }
});

describe('states that decide about a route', () => {
  const liveMigration = hear(readRecording('neutron-26-2025.1-live-migration'));
  const ports = (mark: string): readonly PortBinding[] =>
    liveMigration.flatMap((heard) => (heard.mark === mark && heard.push.kind === 'updated' ? [heard.push.port] : []));

  test('row 10: a migration begins with the old host unbound and DOWN, and stays DOWN', () => {
    expect(ports('lm_migrating_to_hv2').map(({ status, bindings }) => ({ status, bindings }))).toEqual([
      {
        status: 'DOWN',
        bindings: [
          { host: 'hv1', status: 'ACTIVE', vifType: 'unbound', vnicType: 'normal', migratingTo: 'hv2' },
          { host: 'hv2', status: 'INACTIVE', vifType: 'ovs', vnicType: 'normal' },
        ],
      },
      {
        status: 'DOWN',
        bindings: [
          { host: 'hv1', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal', migratingTo: 'hv2' },
          { host: 'hv2', status: 'INACTIVE', vifType: 'ovs', vnicType: 'normal' },
        ],
      },
    ]);
  });

  test('row 12: the switch arrives with the new host ACTIVE, the old one INACTIVE, and status DOWN', () => {
    expect(ports('lm_activate_hv2').map(({ status, bindings }) => ({ status, bindings }))).toEqual([
      {
        status: 'DOWN',
        bindings: [
          { host: 'hv1', status: 'INACTIVE', vifType: 'unbound', vnicType: 'normal', migratingTo: 'hv2' },
          { host: 'hv2', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal' },
        ],
      },
    ]);
  });

  test('row 7: admin down arrives with status ACTIVE', () => {
    const [port] = hear(readRecording('neutron-21-zed-pushes')).flatMap(({ mark, push }) =>
      mark === 'admin_down' && push.kind === 'updated' ? [push.port] : [],
    );
    expect(port).toMatchObject({ adminStateUp: false, status: 'ACTIVE' });
  });
});

describe('replies', () => {
  const reply = (mark: string): Record<string, unknown> => {
    const message = readRecording('neutron-26-2025.1-rpc').find((recorded) => recorded.mark === mark && recorded.exchange === '');
    return innerOf(message?.body ?? '');
  };

  test('bulk_pull gives the port that was asked for', () => {
    const id = '06b3c3a7-973c-4205-a098-f8690a228cce';
    const { found, unreadable } = readLookUp([id], reply('rpc_bulk_pull_port_by_id')['result'] as readonly unknown[]);
    expect(unreadable.size).toBe(0);
    expect(found.get(id)).toMatchObject({ fixedIps: ['10.0.0.39'], status: 'ACTIVE', bindings: [{ host: 'hv2', vifType: 'ovs' }] });
  });

  test('bulk_pull without a match is an empty answer', () => {
    expect(
      readLookUp(['00000000-0000-4000-8000-000000000000'], reply('rpc_bulk_pull_port_no_match')['result'] as readonly unknown[]),
    ).toEqual({
      found: new Map(),
      unreadable: new Set(),
      reasons: [],
    });
  });
});
