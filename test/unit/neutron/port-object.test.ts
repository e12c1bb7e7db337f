import { describe, expect, test } from 'vitest';
import { readLookUp } from '../../../src/neutron/look-up.ts';
import { decodePort } from '../../../src/neutron/port-object.ts';
import { decodePush } from '../../../src/neutron/push.ts';
import { innerOf, readRecording } from '../../fixtures/recordings.ts';

type Primitive = {
  'versioned_object.name': unknown;
  'versioned_object.version': unknown;
  'versioned_object.data': Record<string, unknown>;
};

/** A wired port of hv1, as Neutron 21 pushed it, for each test to spoil. */
function primitive(): Primitive {
  const message = readRecording('neutron-21-zed-pushes').find(
    ({ mark, exchange }) => mark === 'allowed_address_pair_add' && exchange === 'neutron-vo-Port-1.7_fanout',
  );
  const { args } = innerOf(message?.body ?? '') as { args: { resource_list: [Primitive] } };
  return args.resource_list[0];
}

function spoilt(change: (data: Record<string, unknown>, whole: Primitive) => void): Primitive {
  const port = primitive();
  change(port['versioned_object.data'], port);
  return port;
}

const nested = (data: Record<string, unknown>, list: string): Record<string, unknown> =>
  (data[list] as [Primitive])[0]['versioned_object.data'];

describe('a port is understood', () => {
  test('as it is', () => {
    expect(decodePort(primitive(), 'req-1')).toEqual({
      ok: true,
      value: {
        portId: '6c799b59-ce94-4599-911e-fa59b468ae84',
        revisionNumber: 9,
        updatedAt: '2026-11-21T03:24:19Z',
        status: 'ACTIVE',
        adminStateUp: true,
        deviceOwner: 'compute:nova',
        networkId: 'd287d710-7325-4b77-b0b4-73012c5b1325',
        fixedIps: ['198.51.100.26', '2001:db8:100::344'],
        allowedAddressPairs: ['198.51.100.77'],
        bindings: [{ host: 'hv1', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal' }],
        requestId: 'req-1',
      },
    });
  });

  test.each<[string, (data: Record<string, unknown>, whole: Primitive) => void]>([
    ['with a later minor version', (_data, whole) => (whole['versioned_object.version'] = '1.11')],
    ['with fields that we do not know', (data) => (data['pvlan_type'] = { a: 1 })],
    [
      'without fields that we do not read',
      (data) => ['dns', 'security', 'mac_address', 'binding_levels'].forEach((key) => delete data[key]),
    ],
    ['with a pair that is a CIDR', (data) => (nested(data, 'allowed_address_pairs')['ip_address'] = '198.51.100.64/28')],
    ['with a profile that is null', (data) => (nested(data, 'bindings')['profile'] = null)],
    ['with fractions of seconds', (data) => (data['updated_at'] = '2026-11-21T03:24:19.250000')],
  ])('%s', (_name, change) => {
    expect(decodePort(spoilt(change))).toMatchObject({ ok: true, value: { revisionNumber: 9, updatedAt: '2026-11-21T03:24:19Z' } });
  });

  test('without a time it is older than any other', () => {
    expect(decodePort(spoilt((data) => delete data['updated_at']))).toMatchObject({ value: { updatedAt: '' } });
  });
});

describe('a port is no statement', () => {
  test.each<[string, string, (data: Record<string, unknown>, whole: Primitive) => void]>([
    ['of another major version', 'unknown version of Port', (_data, whole) => (whole['versioned_object.version'] = '2.0')],
    ['of another type', 'no Port', (_data, whole) => (whole['versioned_object.name'] = 'Network')],
    ['whose id is no uuid', 'id', (data) => (data['id'] = '../../etc')],
    ['without an id', 'id', (data) => delete data['id']],
    ['without a network', 'network_id', (data) => (data['network_id'] = null)],
    ['with a revision that is text', 'revision_number', (data) => (data['revision_number'] = '9')],
    ['with a fractional revision', 'revision_number', (data) => (data['revision_number'] = 9.5)],
    ['with a revision beyond counting', 'revision_number', (data) => (data['revision_number'] = 1e300)],
    ['with a negative revision', 'revision_number', (data) => (data['revision_number'] = -1)],
    ['whose admin state is null', 'admin_state_up', (data) => (data['admin_state_up'] = null)],
    ['whose admin state is a number', 'admin_state_up', (data) => (data['admin_state_up'] = 1)],
    ['without a status', 'status', (data) => delete data['status']],
    ['without a device owner', 'device_owner', (data) => delete data['device_owner']],
    ['whose time is a number', 'updated_at', (data) => (data['updated_at'] = 1)],
    ['whose addresses are null', 'fixed_ips is no list', (data) => (data['fixed_ips'] = null)],
    ['whose addresses are an object', 'fixed_ips is no list', (data) => (data['fixed_ips'] = {})],
    ['with too many addresses', 'fixed_ips is too long', (data) => (data['fixed_ips'] = Array.from({ length: 1_001 }))],
    ['with an address that is none', 'ip_address', (data) => (nested(data, 'fixed_ips')['ip_address'] = '198.51.100.256')],
    ['with an address that is a CIDR', 'ip_address', (data) => (nested(data, 'fixed_ips')['ip_address'] = '198.51.100.0/24')],
    ['without pairs', 'allowed_address_pairs is no list', (data) => delete data['allowed_address_pairs']],
    ['without bindings', 'bindings is no list', (data) => delete data['bindings']],
    ['with a binding that is null', 'PortBinding is no object', (data) => (data['bindings'] = [null])],
    ['with a binding without host', 'host of a binding', (data) => delete nested(data, 'bindings')['host']],
    ['with a binding of unknown status', 'status of a binding', (data) => (nested(data, 'bindings')['status'] = 'STANDBY')],
    ['with a vif type that is null', 'vif_type of a binding', (data) => (nested(data, 'bindings')['vif_type'] = null)],
    ['with a profile that is no JSON', 'profile of a binding', (data) => (nested(data, 'bindings')['profile'] = '{')],
    ['with a profile that is a list', 'profile of a binding', (data) => (nested(data, 'bindings')['profile'] = '[]')],
    ['with a migration to a number', 'migrating_to', (data) => (nested(data, 'bindings')['profile'] = '{"migrating_to": 2}')],
    [
      'that is ACTIVE twice',
      'two ACTIVE bindings',
      (data) => (data['bindings'] = [...(data['bindings'] as []), ...(data['bindings'] as [])]),
    ],
  ])('%s', (_name, reason, change) => {
    expect(decodePort(spoilt(change))).toEqual({ ok: false, reason });
  });
});

describe('a push', () => {
  const cast = (args: object, method = 'push', version = '1.1'): Parameters<typeof decodePush>[0] => ({
    method,
    version,
    args: args as never,
  });

  test.each<[string, Parameters<typeof decodePush>[0], string[]]>([
    ['of an update', cast({ resource_list: [primitive()], event_type: 'updated' }), ['updated']],
    ['of a creation is an update', cast({ resource_list: [primitive()], event_type: 'created' }), ['updated']],
    ['of two, one of them spoilt', cast({ resource_list: [{}, primitive()], event_type: 'updated' }), ['malformed', 'updated']],
    [
      'of a later major version of Port',
      cast({ resource_list: [{ ...primitive(), 'versioned_object.version': '2.0' }], event_type: 'updated' }),
      ['unsupported'],
    ],
    [
      'of another type',
      cast({ resource_list: [{ ...primitive(), 'versioned_object.name': 'Subnet' }], event_type: 'deleted' }),
      ['unsupported'],
    ],
    ['that is none', cast({}, 'port_update'), ['unsupported']],
    ['of a later version', cast({ resource_list: [primitive()], event_type: 'updated' }, 'push', '2.0'), ['unsupported']],
    ['of nothing', cast({ event_type: 'updated' }), ['malformed']],
    ['of an unknown event', cast({ resource_list: [primitive()], event_type: 'moved' }), ['malformed']],
    ['of too many', cast({ resource_list: Array.from({ length: 1_001 }), event_type: 'updated' }), ['malformed']],
  ])('%s', (_name, message, kinds) => {
    expect(decodePush(message).map(({ kind }) => kind)).toEqual(kinds);
  });
});

describe('a look-up', () => {
  const id = '6c799b59-ce94-4599-911e-fa59b468ae84';
  const other = '11111111-1111-4111-8111-111111111111';

  test.each<[string, unknown[], { found: string[]; unreadable: string[] }]>([
    ['finds a port', [primitive()], { found: [id], unreadable: [] }],
    [
      'ignores a port that nobody asked for',
      [primitive(), spoilt((data) => (data['id'] = '22222222-2222-4222-8222-222222222222'))],
      { found: [id], unreadable: [] },
    ],
    ['does not take a spoilt port for an absent one', [spoilt((data) => (data['status'] = null))], { found: [], unreadable: [id] }],
    ['does not take an object without id for any absent one', [primitive(), { id }], { found: [id], unreadable: [other] }],
    [
      'takes a port that came both right and spoilt for unreadable',
      [primitive(), spoilt((data) => (data['status'] = null))],
      { found: [], unreadable: [id] },
    ],
  ])('%s', (_name, answer, expected) => {
    const { found, unreadable } = readLookUp([id, other], answer);
    expect({ found: [...found.keys()], unreadable: [...unreadable] }).toEqual(expected);
  });
});
