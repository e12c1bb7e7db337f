/**
 * What Neutron's server would put on the wire for a port, an agent and a network: versioned objects as pushes and `bulk_pull`
 * carry them, and API-style dictionaries as the older calls return them. test/contract/neutron-stand-in.test.ts holds
 * all of it field by field against recordings of real servers.
 */

export type LabBinding = {
  host: string;
  status: 'ACTIVE' | 'INACTIVE';
  /** `unbound`, `ovs`, `binding_failed`. */
  vifType: string;
  vnicType: string;
  profile: Record<string, unknown>;
};

/** One row of the stand-in's database. */
export type LabPort = {
  readonly id: string;
  readonly name: string;
  readonly network: LabNetwork;
  readonly macAddress: string;
  adminStateUp: boolean;
  deviceId: string;
  deviceOwner: string;
  status: 'ACTIVE' | 'DOWN' | 'BUILD' | 'ERROR' | 'N/A';
  fixedIps: readonly string[];
  allowedAddressPairs: readonly string[];
  bindings: LabBinding[];
  revisionNumber: number;
  readonly createdAt: string;
  updatedAt: string;
};

export type LabNetwork = {
  readonly id: string;
  readonly name: string;
  readonly external: boolean;
  readonly segmentId: string;
  /** By address family, 4 and 6. */
  readonly subnetIds: Readonly<Record<4 | 6, string>>;
  readonly securityGroupId: string;
  readonly createdAt: string;
};

export type LabAgent = {
  readonly id: string;
  readonly agentType: string;
  readonly binary: string;
  readonly topic: string;
  readonly host: string;
  adminStateUp: boolean;
  startedAt: string;
  readonly createdAt: string;
  heartbeatTimestamp: string;
  configurations: unknown;
  resourceVersions: unknown;
};

/** A wired port of hv1 on an external network, but for what `change` says. */
export function labPort(change: Partial<LabPort> & { id: string }): LabPort {
  return {
    name: 'vm',
    network: {
      id: '2b9f0d3e-6d52-4d0a-8a6b-3a0f5d8c7e01',
      name: 'ext-net',
      external: true,
      segmentId: 'c0ffee00-0000-4000-8000-000000000001',
      subnetIds: { 4: '5a0f7c1d-8d8e-4a44-9c1f-5f1d3b1f6c02', 6: '5a0f7c1d-8d8e-4a44-9c1f-5f1d3b1f6c03' },
      securityGroupId: '3c0d3d2e-54b0-4a0c-8b80-0d3d3b2a1f03',
      createdAt: '2026-01-15T10:00:00Z',
    },
    macAddress: 'fa:16:3e:11:22:33',
    adminStateUp: true,
    deviceId: '9d0d0f3c-0a55-4f43-8f77-1c2d3e4f5a6b',
    deviceOwner: 'compute:nova',
    status: 'ACTIVE',
    fixedIps: ['198.51.100.10'],
    allowedAddressPairs: [],
    bindings: [{ host: 'hv1', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal', profile: {} }],
    revisionNumber: 3,
    createdAt: '2026-01-15T10:00:00Z',
    updatedAt: '2026-01-15T10:00:07Z',
    ...change,
  };
}

const PROJECT = 'fake_project_id';

const OVS_DETAILS = { connectivity: 'l2', port_filter: true, ovs_hybrid_plug: false, datapath_type: 'system', bridge_name: 'br-int' };

function object(name: string, version: string, data: object): Record<string, unknown> {
  return {
    'versioned_object.name': name,
    'versioned_object.namespace': 'versionedobjects',
    'versioned_object.version': version,
    'versioned_object.data': data,
  };
}

/** @param version of the Port object: `1.7` (Zed) or `1.10` (2025.1) */
export function portObject(port: LabPort, version: string): Record<string, unknown> {
  const { id, network } = port;
  return object('Port', version, {
    id,
    project_id: PROJECT,
    name: port.name,
    network_id: network.id,
    mac_address: port.macAddress,
    admin_state_up: port.adminStateUp,
    device_id: port.deviceId,
    device_owner: port.deviceOwner,
    status: port.status,
    allowed_address_pairs: port.allowedAddressPairs.map((address) =>
      object('AllowedAddressPair', '1.0', { port_id: id, mac_address: port.macAddress, ip_address: address }),
    ),
    bindings: port.bindings.map((binding) =>
      object('PortBinding', '1.0', {
        port_id: id,
        host: binding.host,
        profile: pythonJson(binding.profile),
        vif_type: binding.vifType,
        vif_details: binding.vifType === 'ovs' ? pythonJson(OVS_DETAILS) : null,
        vnic_type: binding.vnicType,
        status: binding.status,
      }),
    ),
    data_plane_status: null,
    dhcp_options: [],
    distributed_bindings: [],
    dns: null,
    fixed_ips: port.fixedIps.map((address) =>
      object('IPAllocation', '1.0', { port_id: id, subnet_id: subnetOf(network, address), network_id: network.id, ip_address: address }),
    ),
    ...(version === '1.7' ? {} : { hints: null }),
    security: object('PortSecurity', '1.0', { id, port_security_enabled: true }),
    security_group_ids: [network.securityGroupId],
    qos_policy_id: null,
    qos_network_policy_id: null,
    binding_levels: port.bindings
      .filter((binding) => binding.vifType === 'ovs')
      .map((binding) =>
        object('PortBindingLevel', '1.1', {
          port_id: id,
          host: binding.host,
          level: 0,
          driver: 'openvswitch',
          segment: object('NetworkSegment', '1.0', {
            id: network.segmentId,
            network_id: network.id,
            ...(network.external ? { network_type: 'flat', physical_network: 'ext' } : { network_type: 'vxlan', segmentation_id: 753 }),
            is_dynamic: false,
            segment_index: 0,
            hosts: [],
            revision_number: 0,
            created_at: network.createdAt,
            updated_at: network.createdAt,
          }),
          segment_id: network.segmentId,
        }),
      ),
    revision_number: port.revisionNumber,
    description: '',
    created_at: port.createdAt,
    updated_at: port.updatedAt,
  });
}

export function deletedPortObject(id: string, version: string): Record<string, unknown> {
  return {
    ...object('Port', version, { id, security_group_ids: null, qos_policy_id: null, qos_network_policy_id: null }),
    'versioned_object.changes': ['security_group_ids', 'id', 'qos_policy_id', 'qos_network_policy_id'],
  };
}

/** The dictionary of `get_ports_by_vnic_type_and_host`: of all bindings it shows the ACTIVE one only. */
export function portDict(port: LabPort): Record<string, unknown> {
  const { network } = port;
  const binding = port.bindings.find(({ status }) => status === 'ACTIVE');
  return {
    id: port.id,
    name: port.name,
    network_id: network.id,
    tenant_id: PROJECT,
    mac_address: port.macAddress,
    admin_state_up: port.adminStateUp,
    status: port.status,
    device_id: port.deviceId,
    device_owner: port.deviceOwner,
    standard_attr_id: 34,
    fixed_ips: port.fixedIps.map((address) => ({ subnet_id: subnetOf(network, address), ip_address: address })),
    allowed_address_pairs: port.allowedAddressPairs.map((address) => ({ mac_address: port.macAddress, ip_address: address })),
    extra_dhcp_opts: [],
    security_groups: [network.securityGroupId],
    description: '',
    'binding:vnic_type': binding?.vnicType ?? 'normal',
    'binding:profile': binding?.profile ?? {},
    'binding:host_id': binding?.host ?? '',
    'binding:vif_type': binding?.vifType ?? 'unbound',
    'binding:vif_details': binding?.vifType === 'ovs' ? { ...OVS_DETAILS, bound_drivers: { '0': 'openvswitch' } } : {},
    port_security_enabled: true,
    tags: [],
    created_at: port.createdAt,
    updated_at: port.updatedAt,
    revision_number: port.revisionNumber,
    project_id: PROJECT,
  };
}

export function agentObject(agent: LabAgent): Record<string, unknown> {
  return object('Agent', '1.1', {
    id: agent.id,
    agent_type: agent.agentType,
    binary: agent.binary,
    topic: agent.topic,
    host: agent.host,
    admin_state_up: agent.adminStateUp,
    started_at: agent.startedAt,
    created_at: agent.createdAt,
    heartbeat_timestamp: agent.heartbeatTimestamp,
    configurations: pythonJson(agent.configurations),
    ...(agent.resourceVersions === undefined ? {} : { resource_versions: pythonJson(agent.resourceVersions) }),
    load: 0,
  });
}

export function networkDict(network: LabNetwork): Record<string, unknown> {
  return {
    id: network.id,
    name: network.name,
    tenant_id: PROJECT,
    project_id: PROJECT,
    admin_state_up: true,
    mtu: 1500,
    status: 'ACTIVE',
    subnets: Object.values(network.subnetIds),
    shared: false,
    'router:external': network.external,
    'provider:network_type': network.external ? 'flat' : 'vxlan',
    'provider:physical_network': network.external ? 'ext' : null,
    'provider:segmentation_id': network.external ? null : 753,
  };
}

/** Whose request a message follows from: an API caller's, or the report of an L2 agent. */
export type Cause = 'api' | 'agent';

/** The context of a message; `token` stands where a real API caller's Keystone token would. */
export function serverContext(options: {
  cause: Cause;
  version: string;
  requestId: string;
  token?: string | undefined;
}): Record<string, unknown> {
  const { cause, version, requestId, token = null } = options;
  const project = cause === 'api' ? PROJECT : null;
  return {
    _context_user: null,
    _context_project_id: project,
    _context_system_scope: null,
    _context_project: project,
    _context_domain: null,
    _context_user_domain: null,
    _context_project_domain: null,
    _context_is_admin: true,
    _context_read_only: false,
    _context_show_deleted: false,
    _context_auth_token: cause === 'api' ? token : null,
    _context_request_id: requestId,
    _context_global_request_id: null,
    _context_resource_uuid: null,
    // A Zed agent sends no roles, and its request's context goes on into the push.
    _context_roles: cause === 'agent' && version === '1.7' ? [] : ['admin'],
    _context_user_identity: `- ${project ?? '-'} - - -`,
    _context_is_admin_project: true,
    _context_user_id: null,
    _context_tenant_id: project,
    _context_timestamp: '2026-11-21 03:23:23.492339',
    _context_tenant_name: null,
    _context_project_name: null,
    _context_user_name: null,
  };
}

function subnetOf(network: LabNetwork, address: string): string {
  return network.subnetIds[address.includes(':') ? 6 : 4];
}

/** JSON as Python's `json.dumps` spaces it, which the raw search of a body has to cope with. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, element]) => `${JSON.stringify(key)}: ${pythonJson(element)}`)
      .join(', ')}}`;
  return asciiOnly(JSON.stringify(value ?? null));
}

/** Python escapes everything beyond ASCII. */
function asciiOnly(text: string): string {
  return text.replaceAll(/[\u0080-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
