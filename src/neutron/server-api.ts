/**
 * The calls we make to Neutron's servers, all of them. The table is closed on purpose: other calls that agents make
 * change the state of ports (`get_device_details` alone flips an ACTIVE port to BUILD), and none may ever be sent.
 */
import type { Telemetry } from '../core/ports.ts';
import { AgentError, codeOf } from '../lib/errors.ts';
import { isJsonObject, type JsonObject } from '../oslo/json.ts';
import { RemoteError } from '../oslo/remote-error.ts';
import type { RpcClient } from '../oslo/rpc-client.ts';

/** Each with the lowest version that has it. Reading, and reporting ourselves: nothing else. */
const METHODS = {
  has_alive_neutron_server: { topic: 'q-reports-plugin', version: '1.2' },
  report_state: { topic: 'q-reports-plugin', version: '1.1' },
  get_ports_by_vnic_type_and_host: { topic: 'q-plugin', version: '1.7' },
  bulk_pull: { topic: 'q-plugin', version: '1.1' },
} as const;

export type ObserverMethod = keyof typeof METHODS;

/** The one version of the Port object that every release from Zed on can serve. Never one above the server's: that would stop pushes for all. */
export const PORT_VERSION = '1.7';

/** What the server makes of a report; null: it ignored it, because our clock is behind its own start. */
export type ReportAnswer = 'new' | 'alive' | 'revived' | null;

export type ServerApi = {
  hasAliveServer(timeoutMs: number): Promise<boolean>;
  /** @param time UTC, as `report_state` wants it, see `reportTime` */
  reportState(agentState: JsonObject, time: string, timeoutMs: number): Promise<ReportAnswer>;
  /** Ids of the ports with any binding on `host`, INACTIVE ones too. */
  listPortIds(host: string, vnicType: string, timeoutMs: number): Promise<readonly string[]>;
  /** Port primitives, undecoded; ids that no port has are missing. */
  pullPorts(ids: readonly string[], timeoutMs: number): Promise<readonly unknown[]>;
};

export function serverApi(client: RpcClient, options: { controlExchange: string; telemetry: Telemetry; signal: AbortSignal }): ServerApi {
  async function call(method: ObserverMethod, args: JsonObject, timeoutMs: number): Promise<unknown> {
    const { topic, version } = METHODS[method];
    const tell = (outcome: 'answered' | 'refused' | 'timeout' | 'failed'): void =>
      options.telemetry.count({ kind: 'bus-call', method, outcome });
    try {
      const result = await client.call({ exchange: options.controlExchange, topic, method, version, args, timeoutMs }, options.signal);
      tell('answered');
      return result;
    } catch (error) {
      tell(error instanceof RemoteError ? 'refused' : codeOf(error) === 'rpc-timeout' ? 'timeout' : 'failed');
      throw error;
    }
  }
  return {
    hasAliveServer: async (timeoutMs) => (await call('has_alive_neutron_server', {}, timeoutMs)) === true,
    async reportState(agentState, time, timeoutMs) {
      // The double nesting is the server's.
      const answer = await call('report_state', { agent_state: { agent_state: agentState }, time }, timeoutMs);
      if (answer === 'new' || answer === 'alive' || answer === 'revived' || answer === null) return answer;
      throw unexpected('report_state');
    },
    async listPortIds(host, vnicType, timeoutMs) {
      const ports = await call('get_ports_by_vnic_type_and_host', { vnic_type: vnicType, host }, timeoutMs);
      if (!Array.isArray(ports)) throw unexpected('get_ports_by_vnic_type_and_host');
      return (ports as readonly unknown[]).map((port) => {
        const id = isJsonObject(port) ? port['id'] : undefined;
        if (typeof id !== 'string' || id === '') throw unexpected('get_ports_by_vnic_type_and_host');
        return id;
      });
    },
    async pullPorts(ids, timeoutMs) {
      // Always by id: without a filter the server answers with every port of the cloud.
      const args = { resource_type: 'Port', version: PORT_VERSION, filter_kwargs: { id: ids } };
      const ports = await call('bulk_pull', args, timeoutMs);
      if (!Array.isArray(ports)) throw unexpected('bulk_pull');
      return ports as readonly unknown[];
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
