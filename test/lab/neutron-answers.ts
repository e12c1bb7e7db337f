/** What a Neutron server answers to the calls that an agent of ours makes, from the stand-in's state. */
import { randomUUID } from 'node:crypto';
import {
  agentObject,
  type LabAgent,
  type LabNetwork,
  type LabPort,
  networkDict,
  portDict,
  portObject,
  pythonJson,
} from './neutron-objects.ts';

export type ServerState = {
  readonly ports: Map<string, LabPort>;
  readonly networks: Map<string, LabNetwork>;
  readonly agents: Map<string, LabAgent>;
  /** The server's own version of Port: none above it can be had. */
  readonly portVersion: string;
  /** Neutron's `enable_new_agents`. */
  readonly enableNewAgents: boolean;
};

/** The result; an Error named as Neutron names its exceptions; undefined for a method that nobody has. */
export function answerCall(state: ServerState, method: string, args: Record<string, unknown>): unknown {
  switch (method) {
    case 'has_alive_neutron_server':
      return true;
    case 'report_state':
      return reportState(state, args as ReportArgs);
    case 'get_ports_by_vnic_type_and_host':
      return [...state.ports.values()]
        .filter((port) => port.bindings.some(({ host, vnicType }) => host === args['host'] && vnicType === args['vnic_type']))
        .map(portDict);
    case 'bulk_pull':
      return bulkPull(state, args as { resource_type: string; version: string; filter_kwargs: Record<string, unknown> });
    case 'get_network_details': {
      const network = state.networks.get(String(args['network']));
      return network === undefined ? named('NetworkNotFound', 'Network could not be found.') : networkDict(network);
    }
    default:
      return undefined;
  }
}

function reportState({ agents, enableNewAgents }: ServerState, { agent_state: { agent_state: state } }: ReportArgs): string {
  const key = `${state.agent_type}@${state.host}`;
  const known = agents.get(key);
  const nowText = now();
  if (known === undefined) {
    agents.set(key, {
      id: randomUUID(),
      agentType: state.agent_type,
      binary: state.binary,
      topic: state.topic,
      host: state.host,
      adminStateUp: enableNewAgents,
      startedAt: nowText,
      createdAt: nowText,
      heartbeatTimestamp: nowText,
      configurations: state.configurations ?? {},
      resourceVersions: state.resource_versions,
    });
    return 'new';
  }
  const silentMs = Date.parse(nowText) - Date.parse(known.heartbeatTimestamp);
  known.heartbeatTimestamp = nowText;
  known.configurations = state.configurations ?? {};
  known.resourceVersions = state.resource_versions ?? known.resourceVersions;
  if (state.start_flag === true) known.startedAt = nowText;
  return silentMs > 75_000 ? 'revived' : 'alive';
}

function bulkPull(
  state: ServerState,
  {
    resource_type: type,
    version,
    filter_kwargs: filters,
  }: {
    resource_type: string;
    version: string;
    filter_kwargs: Record<string, unknown>;
  },
): unknown {
  const allowed: Record<string, readonly string[]> = { Port: ['id', 'network_id', 'device_id', 'status'], Agent: ['host', 'agent_type'] };
  const illegal = Object.keys(filters).find((key) => allowed[type]?.includes(key) !== true);
  if (illegal !== undefined) return named('InvalidInput', `Invalid input for operation: '${illegal}' is not supported for filtering.`);
  const matches = (row: Record<string, unknown>): boolean =>
    Object.entries(filters).every(([key, wanted]) =>
      (Array.isArray(wanted) ? (wanted as readonly unknown[]) : [wanted]).includes(row[key]),
    );
  if (type === 'Agent')
    return [...state.agents.values()].filter(({ host, agentType }) => matches({ host, agent_type: agentType })).map(agentObject);
  const found = [...state.ports.values()].filter(({ id, network, deviceId, status }) =>
    matches({ id, network_id: network.id, device_id: deviceId, status }),
  );
  // The class is asked for the version of each object that it has: none found, none refused.
  if (found.length > 0 && minorOf(version) > minorOf(state.portVersion))
    return named('InvalidTargetVersion', `Invalid target version ${version}`);
  return found.map((port) => portObject(port, version));
}

type ReportArgs = {
  readonly agent_state: {
    readonly agent_state: {
      readonly agent_type: string;
      readonly binary: string;
      readonly topic: string;
      readonly host: string;
      readonly configurations?: unknown;
      readonly resource_versions?: unknown;
      readonly start_flag?: boolean;
    };
  };
  readonly time: string;
};

function minorOf(version: string): number {
  return Number(version.split('.')[1]);
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

/** Whole seconds, as Neutron writes times. */
export function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

/** The third level of JSON: what a remote exception looks like. */
export function failure(remoteClass: string, message: string): string {
  const tb = ['Traceback (most recent call last):\n', `neutron_lib.exceptions.${remoteClass}: ${message}\n`];
  return pythonJson({ class: remoteClass, module: 'neutron_lib.exceptions', message, tb, args: [message], kwargs: {} });
}
