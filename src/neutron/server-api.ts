/**
 * The calls we make to Neutron's servers, all of them. The table is closed on purpose: other calls that agents make
 * change the state of ports (`get_device_details` alone flips an ACTIVE port to BUILD), and none may ever be sent.
 */
import type { Telemetry } from '../core/ports.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { AgentError, codeOf } from '../lib/errors.ts';
import { isJsonObject, type JsonObject } from '../oslo/json.ts';
import { RemoteError } from '../oslo/remote-error.ts';
import type { RpcClient } from '../oslo/rpc-client.ts';
import { refusalOf } from './refusal.ts';

/** Each with the lowest version that has it. Reading, and reporting ourselves: nothing else. */
const METHODS = {
  has_alive_neutron_server: { topic: 'q-reports-plugin', version: '1.2' },
  report_state: { topic: 'q-reports-plugin', version: '1.1' },
  get_ports_by_vnic_type_and_host: { topic: 'q-plugin', version: '1.7' },
  get_network_details: { topic: 'q-plugin', version: '1.6' },
  bulk_pull: { topic: 'q-plugin', version: '1.1' },
} as const;

export type ObserverMethod = keyof typeof METHODS;

/** The version of the Agent object that every release from Zed on has. */
const AGENT_VERSION = '1.1';

/** What the server makes of a report; null: it ignored it, because our clock is behind its own start. */
export type ReportAnswer = 'new' | 'alive' | 'revived' | null;

/** Every call is at-least-once: one that timed out may still be answered, and answers change nothing at the server. */
export type ServerApi = {
  hasAliveServer(timeoutMs: number): Promise<boolean>;
  /** @param time UTC, as `report_state` wants it, see `reportTime` */
  reportState(agentState: JsonObject, time: string, timeoutMs: number): Promise<ReportAnswer>;
  /** Ids of the ports with any binding on `host`, INACTIVE ones too. */
  listPortIds(host: string, vnicType: string): Promise<readonly string[]>;
  /** Port primitives in `version`, undecoded; ids that no port has are missing. */
  pullPorts(ids: readonly string[], version: string): Promise<readonly unknown[]>;
  /** Agent primitives, undecoded: the rows of `host` of these types. */
  pullAgents(host: string, agentTypes: readonly string[]): Promise<readonly unknown[]>;
  isNetworkExternal(networkId: string, host: string): Promise<boolean>;
};

export type ServerApiOptions = {
  readonly controlExchange: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
  /** The first timeout of each method but those that are given one. */
  readonly timeoutMs: number;
  readonly random?: () => number;
};

/** Of the first timeout (oslo's `rpc_response_max_timeout` is ten times `rpc_response_timeout`). */
const LONGEST_TIMEOUT = 10;

export function serverApi(client: RpcClient, options: ServerApiOptions): ServerApi {
  const { controlExchange, clock, telemetry, signal, random = Math.random } = options;
  const timeouts = new Map<ObserverMethod, number>();

  async function callWithin(timeoutMs: number, method: ObserverMethod, args: JsonObject): Promise<unknown> {
    const { topic, version } = METHODS[method];
    try {
      const result = await client.call({ exchange: controlExchange, topic, method, version, args, timeoutMs }, signal);
      telemetry.count({ kind: 'bus-call', method, outcome: 'answered' });
      return result;
    } catch (error) {
      const refusal = refusalOf(error);
      const outcome = error instanceof RemoteError ? 'refused' : codeOf(error) === 'rpc-timeout' ? 'timeout' : 'failed';
      telemetry.count({ kind: 'bus-call', method, outcome, ...(refusal !== undefined && { refusal }) });
      throw error;
    }
  }

  /**
   * As Neutron's own client does (neutron_lib/rpc.py _BackingOffContextWrapper): a timeout doubles the next one of the method,
   * and waits for a random time, because all agents time out together when the servers are overloaded. Ours ends with the session.
   */
  async function call(method: ObserverMethod, args: JsonObject): Promise<unknown> {
    const timeoutMs = timeouts.get(method) ?? options.timeoutMs;
    try {
      return await callWithin(timeoutMs, method, args);
    } catch (error) {
      if (codeOf(error) === 'rpc-timeout') {
        timeouts.set(method, Math.min(timeoutMs * 2, options.timeoutMs * LONGEST_TIMEOUT));
        await sleep(clock, random() * options.timeoutMs, signal);
      }
      throw error;
    }
  }

  async function listFrom(method: ObserverMethod, args: JsonObject): Promise<readonly unknown[]> {
    const answer = await call(method, args);
    if (!Array.isArray(answer)) throw unexpected(method);
    return answer as readonly unknown[];
  }

  return {
    hasAliveServer: async (timeoutMs) => (await callWithin(timeoutMs, 'has_alive_neutron_server', {})) === true,
    async reportState(agentState, time, timeoutMs) {
      // The double nesting is the server's.
      const answer = await callWithin(timeoutMs, 'report_state', { agent_state: { agent_state: agentState }, time });
      if (answer === 'new' || answer === 'alive' || answer === 'revived' || answer === null) return answer;
      throw unexpected('report_state');
    },
    async listPortIds(host, vnicType) {
      const ports = await listFrom('get_ports_by_vnic_type_and_host', { vnic_type: vnicType, host });
      return ports.map((port) => {
        const id = isJsonObject(port) ? port['id'] : undefined;
        if (typeof id !== 'string' || id === '') throw unexpected('get_ports_by_vnic_type_and_host');
        return id;
      });
    },
    // Always by id: without a filter the server answers with every port of the cloud.
    pullPorts: (ids, version) => listFrom('bulk_pull', { resource_type: 'Port', version, filter_kwargs: { id: ids } }),
    pullAgents: (host, agentTypes) =>
      listFrom('bulk_pull', {
        resource_type: 'Agent',
        version: AGENT_VERSION,
        filter_kwargs: { host: [host], agent_type: agentTypes },
      }),
    async isNetworkExternal(networkId, host) {
      const network = await call('get_network_details', { network: networkId, agent_id: `neutron-bgp-agent ${host}`, host });
      const external = isJsonObject(network) && network['id'] === networkId ? network['router:external'] : undefined;
      if (typeof external !== 'boolean') throw unexpected('get_network_details');
      return external;
    },
  };
}

function unexpected(method: string): AgentError {
  return new AgentError('rpc-unexpected-answer', 'retryable', `${method} was answered with something that is no answer to it`);
}

/** `%Y-%m-%dT%H:%M:%S.%f` in UTC, with a fraction and without a `Z`: what the server parses. */
export function reportTime(now: Date): string {
  return now.toISOString().slice(0, -1);
}
