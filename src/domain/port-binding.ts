/** What Neutron says about one port, in our words (neutron/objects/ports.py: Port, PortBinding, IPAllocation, AllowedAddressPair). */

/** A Neutron port with all its bindings. Names are Neutron's, in camelCase. */
export type PortBinding = {
  readonly portId: string;
  /** Neutron's only order of a port's states. */
  readonly revisionNumber: number;
  /** ISO 8601 in UTC with whole seconds, as Neutron gives it: `2026-01-15T10:00:07Z`. Compares as text. */
  readonly updatedAt: string;
  /** `ACTIVE`, `DOWN`, `BUILD`, `ERROR`, `N/A`. */
  readonly status: string;
  readonly adminStateUp: boolean;
  /** `compute:nova`, `network:dhcp`, ... or empty. */
  readonly deviceOwner: string;
  readonly networkId: string;
  /** Whether the network is external (`router:external`); absent: not asked, or not answered yet. The port object does not say it. */
  readonly external?: boolean;
  /** Plain addresses. */
  readonly fixedIps: readonly string[];
  /** Addresses or prefixes, as Neutron holds them. */
  readonly allowedAddressPairs: readonly string[];
  readonly bindings: readonly HostBinding[];
  /** The API request that caused this state to be told (`_context_request_id`), for log lines. */
  readonly requestId?: string;
};

/** One (port, host) row: Neutron's PortBinding. */
export type HostBinding = {
  /** Empty when the port is bound to no host. */
  readonly host: string;
  readonly status: 'ACTIVE' | 'INACTIVE';
  /** `ovs`, `unbound`, `binding_failed`, ... */
  readonly vifType: string;
  /** `normal`, `direct`, ... */
  readonly vnicType: string;
  /** `profile.migrating_to`: nova has begun a live migration to that host. */
  readonly migratingTo?: string;
};

/** The binding that Neutron holds for the place where the port is; undefined when it is bound nowhere. */
export function activeBinding(port: PortBinding): HostBinding | undefined {
  return port.bindings.find(({ status, host }) => status === 'ACTIVE' && host !== '');
}

/** Whether another host than `host` holds an INACTIVE binding: one end of a live migration. */
export function hasInactiveBindingElsewhere(port: PortBinding, host: string): boolean {
  return port.bindings.some((binding) => binding.status === 'INACTIVE' && binding.host !== host && binding.host !== '');
}
