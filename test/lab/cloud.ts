/** What nova and operators do to ports, in one vocabulary for both clouds of the lab: a real Neutron server, and its stand-in. */
import type { Lab } from './lab.ts';
import { startNeutronServer } from './neutron-server.ts';
import { startNeutronStandIn } from './neutron-stand-in.ts';

export type Cloud = {
  readonly what: string;
  /** The external network: what is announced. */
  readonly publicNetworkId: string;
  /** An instance's port that is bound to `host` and not wired yet. `tenant`: in a self-service network with the public range. */
  create(options: { host: string; addresses: readonly string[]; tenant?: boolean }): Promise<string>;
  /** The L2 agent of `host` has wired the port: ACTIVE. */
  wire(portId: string, host: string): Promise<void>;
  /** The instance is stopped: DOWN. */
  stop(portId: string, host: string): Promise<void>;
  rename(portId: string, name: string): Promise<void>;
  setAdminState(portId: string, up: boolean): Promise<void>;
  changeAddresses(portId: string, addresses: readonly string[]): Promise<void>;
  /** Evacuation or cold migration: the old host vanishes from the bindings at once. */
  rebind(portId: string, host: string): Promise<void>;
  unbind(portId: string): Promise<void>;
  /** Another device than an L2 agent can wire: Neutron cannot bind the port to `host`. */
  failBinding(portId: string, host: string): Promise<void>;
  setAddressPairs(portId: string, addresses: readonly string[]): Promise<void>;
  /** The beginning of a live migration as nova makes it: an INACTIVE binding, and `migrating_to`. */
  prepareMigration(portId: string, to: string): Promise<void>;
  /** nova gives up a migration that was prepared; the guest never left. */
  rollBackMigration(portId: string, from: string, to: string): Promise<void>;
  /** A live migration as nova does it, to its end. */
  liveMigrate(portId: string, from: string, to: string): Promise<void>;
  remove(portId: string): Promise<void>;
  /** The port's present revision_number. */
  revision(portId: string): Promise<number>;
};

/** IPv4 and IPv6 ranges of the public network; the tenant's network has the IPv4 one too. */
const RANGES = ['203.0.113.0/24', '2001:db8:113::/64'] as const;

export async function startStandInCloud(lab: Lab, rabbitUrl: string): Promise<Cloud> {
  const neutron = await startNeutronStandIn({ url: rabbitUrl });
  lab.onClose(() => neutron.close());
  const publicNetworkId = neutron.createNetwork().id;
  const tenantNetworkId = neutron.createNetwork({ external: false, name: 'tenant' }).id;
  return {
    what: "a stand-in for Neutron's server",
    publicNetworkId,
    async create({ host, addresses, tenant = false }) {
      const { id } = await neutron.createPort({ networkId: tenant ? tenantNetworkId : publicNetworkId, fixedIps: addresses });
      await neutron.bind(id, host);
      return id;
    },
    wire: (portId) => neutron.start(portId),
    stop: (portId) => neutron.stop(portId),
    async rename(portId, name) {
      Object.assign(neutron.port(portId), { name });
      await neutron.touch(portId);
    },
    setAdminState: (portId, up) => neutron.setAdminState(portId, up),
    changeAddresses: (portId, addresses) => neutron.changeFixedIps(portId, addresses),
    rebind: (portId, host) => neutron.bind(portId, host),
    unbind: (portId) => neutron.unbind(portId),
    failBinding: (portId, host) => neutron.bind(portId, host, { fails: true }),
    setAddressPairs: (portId, addresses) => neutron.setAllowedAddressPairs(portId, addresses),
    async prepareMigration(portId, to) {
      neutron.addInactiveBinding(portId, to);
      await neutron.setMigratingTo(portId, to);
    },
    async rollBackMigration(portId, _, to) {
      neutron.deleteBinding(portId, to);
      await neutron.setMigratingTo(portId, undefined);
      await neutron.start(portId);
    },
    liveMigrate: (portId, _, to) => neutron.liveMigrate(portId, to),
    remove: (portId) => neutron.deletePort(portId),
    revision: async (portId) => neutron.port(portId).revisionNumber,
  };
}

/** @param hosts those that have a live L2 agent: Neutron binds to no others */
export async function startNeutronCloud(lab: Lab, rabbitUrl: string, hosts: readonly string[]): Promise<Cloud> {
  const neutron = await startNeutronServer(lab, { rabbitUrl });
  const publicNetworkId = (await neutron.createNetwork('external')).id;
  const tenantNetworkId = (await neutron.createNetwork('self-service')).id;
  const publicSubnets = await Promise.all(RANGES.map(async (range) => (await neutron.createSubnet(publicNetworkId, range)).id));
  const tenantSubnet = (await neutron.createSubnet(tenantNetworkId, RANGES[0])).id;
  for (const host of hosts) {
    const agent = await neutron.reportOvsAgent(host);
    lab.onClose(() => agent.stop());
  }
  const fixedIps = (addresses: readonly string[], tenant: boolean): object[] =>
    addresses.map((address) => ({ subnet_id: tenant ? tenantSubnet : publicSubnets[address.includes(':') ? 1 : 0], ip_address: address }));
  const bindTo = (host: string) => ({ 'binding:host_id': host });
  const prepareMigration = async (portId: string, to: string): Promise<void> => {
    await neutron.api('POST', `/ports/${portId}/bindings`, { binding: { host: to } });
    await neutron.updatePort(portId, { 'binding:profile': { migrating_to: to } });
  };
  return {
    what: 'Neutron 21',
    publicNetworkId,
    async create({ host, addresses, tenant = false }) {
      const port = await neutron.createPort(tenant ? tenantNetworkId : publicNetworkId, host, { fixed_ips: fixedIps(addresses, tenant) });
      if (port['binding:vif_type'] !== 'ovs') throw new Error(`Neutron did not bind the port: ${port['binding:vif_type']}`);
      return port.id;
    },
    wire: (portId, host) => neutron.updateDeviceUp(portId, host),
    stop: (portId, host) => neutron.updateDeviceDown(portId, host),
    rename: async (portId, name) => void (await neutron.updatePort(portId, { name })),
    setAdminState: async (portId, up) => void (await neutron.updatePort(portId, { admin_state_up: up })),
    changeAddresses: async (portId, addresses) => void (await neutron.updatePort(portId, { fixed_ips: fixedIps(addresses, false) })),
    rebind: async (portId, host) => void (await neutron.updatePort(portId, bindTo(host))),
    unbind: async (portId) => void (await neutron.updatePort(portId, { ...bindTo(''), device_id: '', device_owner: '' })),
    failBinding: async (portId, host) => void (await neutron.updatePort(portId, { ...bindTo(host), 'binding:vnic_type': 'direct' })),
    setAddressPairs: async (portId, addresses) =>
      void (await neutron.updatePort(portId, { allowed_address_pairs: addresses.map((address) => ({ ip_address: address })) })),
    prepareMigration,
    async rollBackMigration(portId, from, to) {
      await neutron.updatePort(portId, { 'binding:profile': {} });
      await neutron.api('DELETE', `/ports/${portId}/bindings/${to}`);
      await neutron.updateDeviceUp(portId, from);
    },
    async liveMigrate(portId, from, to) {
      await prepareMigration(portId, to);
      await neutron.api('PUT', `/ports/${portId}/bindings/${to}/activate`);
      await neutron.updateDeviceUp(portId, to);
      await neutron.api('DELETE', `/ports/${portId}/bindings/${from}`);
    },
    remove: (portId) => neutron.deletePort(portId),
    revision: async (portId) => (await neutron.getPort(portId)).revision_number,
  };
}
