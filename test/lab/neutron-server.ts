/**
 * A real Neutron server (Debian 12: 21.0.0, Zed) with a MariaDB of its own, driven over its REST API without authentication.
 * Nova and the hosts are played: a test binds ports as nova does, and reports as each host's Open vSwitch agent.
 * ML2 binds a port only to a host whose agent is alive.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { promisify } from 'node:util';
import { freePort, type Lab, logTail, until } from './lab.ts';
import { startMariaDb } from './mariadb.ts';
import { openNeutronRpc } from './neutron-rpc.ts';

/** What tests read of a port in Neutron's own words. */
export type NeutronPort = {
  readonly id: string;
  readonly network_id: string;
  readonly status: 'ACTIVE' | 'DOWN' | 'BUILD' | 'ERROR';
  readonly admin_state_up: boolean;
  readonly fixed_ips: readonly { readonly subnet_id: string; readonly ip_address: string }[];
  readonly 'binding:host_id': string;
  readonly 'binding:vif_type': string;
  readonly revision_number: number;
};

type Attributes = Readonly<Record<string, unknown>>;

export type NeutronServer = {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** One request, `path` below `/v2.0`; rejects when the status is not 2xx, with what the server said. */
  api<T = unknown>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<T>;
  /** A flat network on `ext`, of which there can be one, or a tenant's network in an overlay. */
  createNetwork(kind: 'external' | 'self-service'): Promise<{ readonly id: string }>;
  createSubnet(networkId: string, cidr: string, attributes?: Attributes): Promise<{ readonly id: string }>;
  /** A port of an instance, bound to `host` if one is named; `attributes` are Neutron's and win. */
  createPort(networkId: string, host?: string, attributes?: Attributes): Promise<NeutronPort>;
  updatePort(portId: string, attributes: Attributes): Promise<NeutronPort>;
  getPort(portId: string): Promise<NeutronPort>;
  deletePort(portId: string): Promise<void>;
  /** Keeps the Open vSwitch agent of `host` alive, until `stop`; resolves when the server knows it. */
  reportOvsAgent(host: string): Promise<{ stop(): void }>;
  /** What the agent of `host` says when it has wired the port: its status becomes ACTIVE. */
  updateDeviceUp(portId: string, host: string): Promise<void>;
  /** The instance's interface is gone: the port's status becomes DOWN. */
  updateDeviceDown(portId: string, host: string): Promise<void>;
  stop(): Promise<void>;
};

/** Neutron takes an agent for dead after 75 s without a report. */
const REPORT_INTERVAL_MS = 20_000;

const SERVER = '/usr/bin/neutron-server';

/**
 * Takes 7 s on an idle machine, three times that on a busy one, and ends with the lab.
 *
 * @param options `rabbitUrl`: of the broker that the server and its agents share; `rabbit`: lines for `[oslo_messaging_rabbit]`
 */
export async function startNeutronServer(lab: Lab, options: { rabbitUrl: string; rabbit?: readonly string[] }): Promise<NeutronServer> {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: apt-get install --no-install-recommends neutron-common python3-pymysql`);
  const folder = lab.path('neutron');
  mkdirSync(folder);
  const database = await startMariaDb(lab, 'neutron');
  const port = await freePort();
  const config = `${folder}/neutron.conf`;
  writeFileSync(`${folder}/api-paste.ini`, API_PASTE);
  writeFileSync(config, neutronConfig({ folder, port, socket: database.socket, ...options }));

  // Debian's own interpreter, whatever else is called python3 on this machine's PATH.
  const env = { PATH: `/usr/bin:${process.env['PATH'] ?? ''}`, PYTHONPATH: undefined, PYTHONHOME: undefined, HOME: folder };
  await promisify(execFile)('/usr/bin/neutron-db-manage', ['--config-file', config, 'upgrade', 'head'], {
    env: { ...process.env, ...env },
    maxBuffer: 16 * 1024 * 1024,
  });
  const server = lab.start('neutron-server', SERVER, ['--config-file', config], { env });
  const url = `http://127.0.0.1:${port}`;

  const api = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(`${url}/v2.0${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };
  await until('Neutron to answer', async () => server.hasEnded() || (await api('GET', '/agents')) !== undefined, 60_000, 100);
  if (server.hasEnded()) throw new Error(`neutron-server ended while starting:\n${logTail(server)}`);
  const agents = await openNeutronRpc(options.rabbitUrl);
  const reports = new Set<NodeJS.Timeout>();
  // Nothing of it is kept, so there is no reason to wait for an orderly end.
  const stop = async (): Promise<void> => {
    for (const timer of reports) clearInterval(timer);
    await agents.close();
    await server.stop('SIGKILL');
    await database.stop('SIGKILL');
  };
  lab.onClose(stop);

  const onePort = async (method: 'GET' | 'POST' | 'PUT', path: string, attributes?: Attributes): Promise<NeutronPort> =>
    (await api<{ port: NeutronPort }>(method, path, attributes && { port: attributes })).port;

  return {
    url,
    api,
    async createNetwork(kind) {
      const external = { 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'ext' };
      const network = { name: kind, ...(kind === 'external' ? external : {}) };
      return (await api<{ network: { id: string } }>('POST', '/networks', { network })).network;
    },
    async createSubnet(networkId, cidr, attributes = {}) {
      const ipVersion = isIPv6(cidr.split('/')[0] ?? '') ? 6 : 4;
      const subnet = { network_id: networkId, cidr, ip_version: ipVersion, enable_dhcp: false, ...attributes };
      return (await api<{ subnet: { id: string } }>('POST', '/subnets', { subnet })).subnet;
    },
    createPort: (networkId, host, attributes = {}) =>
      onePort('POST', '/ports', {
        network_id: networkId,
        device_owner: 'compute:nova',
        device_id: randomUUID(),
        ...(host === undefined ? {} : { 'binding:host_id': host }),
        ...attributes,
      }),
    updatePort: (portId, attributes) => onePort('PUT', `/ports/${portId}`, attributes),
    getPort: (portId) => onePort('GET', `/ports/${portId}`),
    deletePort: (portId) => api('DELETE', `/ports/${portId}`),
    async reportOvsAgent(host) {
      const report = (isFirst: boolean): Promise<unknown> =>
        agents.call('q-reports-plugin', 'report_state', { agent_state: { agent_state: ovsAgentState(host, isFirst) }, time: utcNow() });
      await report(true);
      // One that is missed is made good by the next.
      const note = (error: Error): void => appendFileSync(lab.path('ovs-agents.log'), `${host}: ${error.message}\n`);
      const timer = setInterval(() => void report(false).catch(note), REPORT_INTERVAL_MS);
      reports.add(timer);
      return { stop: () => clearInterval(timer) };
    },
    async updateDeviceUp(portId, host) {
      await agents.call('q-plugin', 'update_device_up', { device: portId, agent_id: `ovs-agent-${host}`, host });
    },
    async updateDeviceDown(portId, host) {
      await agents.call('q-plugin', 'update_device_down', { device: portId, agent_id: `ovs-agent-${host}`, host });
    },
    stop,
  };
}

function neutronConfig(options: { folder: string; port: number; socket: string; rabbitUrl: string; rabbit?: readonly string[] }): string {
  const { folder, port, socket, rabbitUrl, rabbit = [] } = options;
  return `[DEFAULT]
auth_strategy = noauth
core_plugin = ml2
service_plugins = router,trunk
api_paste_config = ${folder}/api-paste.ini
state_path = ${folder}
bind_host = 127.0.0.1
bind_port = ${port}
# With no API worker the RPC side stalls.
api_workers = 1
rpc_workers = 1
transport_url = ${rabbitUrl.replace(/^amqp:/, 'rabbit:')}
host = neutron-server
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false

[database]
connection = mysql+pymysql://root@localhost/neutron?unix_socket=${socket}&charset=utf8

[oslo_concurrency]
lock_path = ${folder}/locks

[oslo_messaging_rabbit]
heartbeat_in_pthread = false
${rabbit.join('\n')}

[oslo_messaging_notifications]
driver = messagingv2

[ml2]
mechanism_drivers = openvswitch
type_drivers = flat,vlan,vxlan,local
tenant_network_types = vxlan

[ml2_type_flat]
flat_networks = ext

[ml2_type_vxlan]
vni_ranges = 1:1000
`;
}

/** Debian's, with only the pipeline without Keystone: that one can be read by root and Neutron's user alone. */
const API_PASTE = `[composite:neutron]
use = egg:Paste#urlmap
/v2.0: api

[composite:api]
use = call:neutron.auth:pipeline_factory
noauth = request_id fake_project_id catch_errors extensions app

[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory

[filter:fake_project_id]
paste.filter_factory = neutron.auth:NoauthFakeProjectId.factory

[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory

[filter:extensions]
paste.filter_factory = neutron.api.extensions:plugin_aware_extension_middleware_factory

[app:app]
paste.app_factory = neutron.api.v2.router:APIRouter.factory
`;

/** What ML2's openvswitch driver asks of an agent before it binds a port to its host. */
function ovsAgentState(host: string, isFirst: boolean): object {
  return {
    agent_type: 'Open vSwitch agent',
    binary: 'neutron-openvswitch-agent',
    host,
    topic: 'N/A',
    configurations: {
      bridge_mappings: { ext: 'br-ex' },
      tunnel_types: ['vxlan'],
      tunneling_ip: '192.0.2.1',
      integration_bridge: 'br-int',
      datapath_type: 'system',
      ovs_capabilities: { datapath_types: ['system'], iface_types: [] },
      extensions: [],
    },
    ...(isFirst ? { start_flag: true } : {}),
  };
}

/** Neutron compares it with its own clock, without a time zone. */
function utcNow(): string {
  return new Date().toISOString().replace('Z', '000');
}
