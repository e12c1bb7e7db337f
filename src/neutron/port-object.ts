/**
 * Neutron's Port object (neutron/objects/ports.py) into a PortBinding. Whatever decides about a route has to be there
 * and of its type: a port that is half understood is no statement about the port, and its last known state stands.
 */
import { isIP } from 'node:net';
import type { HostBinding, PortBinding } from '../domain/port-binding.ts';
import { type Decoded, decoded, isJsonObject, type JsonObject, parseJson, undecodable } from '../oslo/json.ts';
import { readList, readObject } from './versioned-object.ts';

/** Neutron's own limits are far below (`max_fixed_ips_per_port` 5, `max_allowed_address_pair` 10, a binding per host). */
const MAX_LIST = 1_000;
const MAX_TEXT = 255;

/** A uuid, as every id of Neutron's is. */
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** @param requestId what `PortBinding.requestId` is to say */
export function decodePort(primitive: unknown, requestId?: string): Decoded<PortBinding> {
  const object = readObject(primitive, 'Port');
  if (!object.ok) return object;
  const data = object.value;
  const { id, network_id: networkId, revision_number: revisionNumber, admin_state_up: adminStateUp } = data;
  const { status, device_owner: deviceOwner } = data;
  if (!isId(id)) return undecodable('id');
  if (!isId(networkId)) return undecodable('network_id');
  if (typeof revisionNumber !== 'number' || !Number.isSafeInteger(revisionNumber) || revisionNumber < 0)
    return undecodable('revision_number');
  if (typeof adminStateUp !== 'boolean') return undecodable('admin_state_up');
  if (!isText(status)) return undecodable('status');
  if (!isText(deviceOwner)) return undecodable('device_owner');
  const updatedAt = readTime(data['updated_at']);
  if (!updatedAt.ok) return updatedAt;
  const fixedIps = readList(data['fixed_ips'], 'fixed_ips', MAX_LIST, (element) => readAddress(element, 'IPAllocation'));
  if (!fixedIps.ok) return fixedIps;
  const pairs = readList(data['allowed_address_pairs'], 'allowed_address_pairs', MAX_LIST, (element) =>
    readAddress(element, 'AllowedAddressPair'),
  );
  if (!pairs.ok) return pairs;
  const bindings = readList(data['bindings'], 'bindings', MAX_LIST, readBinding);
  if (!bindings.ok) return bindings;
  if (bindings.value.filter((binding) => binding.status === 'ACTIVE').length > 1) return undecodable('two ACTIVE bindings');
  return decoded({
    portId: id,
    revisionNumber,
    updatedAt: updatedAt.value,
    status,
    adminStateUp,
    deviceOwner,
    networkId,
    fixedIps: fixedIps.value,
    allowedAddressPairs: pairs.value,
    bindings: bindings.value,
    ...(requestId === undefined ? {} : { requestId }),
  });
}

/** The id of a Port object of which nothing else has to be right: of a deleted one, or of one that cannot be decoded. */
export function portIdOf(primitive: unknown): Decoded<string> {
  const object = readObject(primitive, 'Port');
  if (!object.ok) return object;
  const { id } = object.value;
  return isId(id) ? decoded(id) : undecodable('id');
}

function readBinding(primitive: unknown): Decoded<HostBinding> {
  const object = readObject(primitive, 'PortBinding');
  if (!object.ok) return object;
  const { host, status, vif_type: vifType, vnic_type: vnicType } = object.value;
  if (!isText(host)) return undecodable('host of a binding');
  if (status !== 'ACTIVE' && status !== 'INACTIVE') return undecodable('status of a binding');
  if (!isText(vifType)) return undecodable('vif_type of a binding');
  if (!isText(vnicType)) return undecodable('vnic_type of a binding');
  const profile = readProfile(object.value['profile']);
  if (!profile.ok) return profile;
  const migratingTo = profile.value['migrating_to'];
  if (migratingTo !== undefined && migratingTo !== null && !isText(migratingTo)) return undecodable('migrating_to');
  return decoded({ host, status, vifType, vnicType, ...(isText(migratingTo) && migratingTo !== '' ? { migratingTo } : {}) });
}

/** A dictionary that the object carries as JSON text (neutron_lib DictOfMiscValuesField). */
function readProfile(value: unknown): Decoded<JsonObject> {
  if (value === undefined || value === null || value === '') return decoded({});
  const profile = typeof value === 'string' ? parseJson(value) : decoded(value);
  return profile.ok && isJsonObject(profile.value) ? decoded(profile.value) : undecodable('profile of a binding');
}

/** The address of an IPAllocation, or the address or CIDR of an AllowedAddressPair. */
function readAddress(primitive: unknown, name: 'IPAllocation' | 'AllowedAddressPair'): Decoded<string> {
  const object = readObject(primitive, name);
  if (!object.ok) return object;
  const address = object.value['ip_address'];
  if (!isText(address)) return undecodable('ip_address');
  const plain = name === 'AllowedAddressPair' ? address.replace(/\/\d{1,3}$/, '') : address;
  return isIP(plain) === 0 ? undecodable('ip_address') : decoded(address);
}

/** Whole seconds with a `Z`, so that two of them compare as text. A port without a time is older than any with one. */
function readTime(value: unknown): Decoded<string> {
  if (value === undefined || value === null) return decoded('');
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?$/.test(value)) return undecodable('updated_at');
  return decoded(`${value.slice(0, 19)}Z`);
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT;
}
