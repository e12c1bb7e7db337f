/** Reading this host's rows in Neutron's table of agents: our own, and the OVS agent's where its object version is followed. */
import type { BindingSink, Telemetry } from '../core/ports.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type AgentRow, decodeAgent } from './agent-object.ts';
import { OwnRow } from './own-row.ts';
import { isServed, offeredVersion, OVS_AGENT_TYPE, PINNED_PORT_VERSION } from './port-version.ts';
import { isLasting, refusalOf } from './refusal.ts';
import { AGENT_TYPE } from './registration.ts';
import type { ServerApi } from './server-api.ts';

export type AgentRowsOptions = {
  readonly source: string;
  readonly host: string;
  /** What our configurations hold as `instance_id`. */
  readonly instanceId: unknown;
  readonly portVersion: 'pinned' | 'ovs-agent';
  readonly sink: BindingSink;
  readonly telemetry: Telemetry;
  readonly log: Log;
};

/** With how many of our ports the server is asked to show that it has a version. */
const PORTS_TO_SHOW = 10;

export class AgentRows {
  readonly #options: AgentRowsOptions;
  readonly #own: OwnRow;
  #portVersion = PINNED_PORT_VERSION;
  /** Versions that the server refused to make. */
  readonly #refused = new Set<string>();

  constructor(options: AgentRowsOptions) {
    this.#options = options;
    this.#own = new OwnRow(options);
  }

  get isDisabled(): boolean {
    return this.#own.isDisabled;
  }

  /** The version of Port to ask for and to report. */
  get portVersion(): string {
    return this.#portVersion;
  }

  /** Chooses the version of Port for a new session. */
  async chooseVersion(api: ServerApi): Promise<void> {
    if (this.#options.portVersion === 'ovs-agent') await this.#follow(api, await this.#read(api));
  }

  /**
   * Makes sure that it is known whether an operator has disabled us.
   * @throws what may pass; a server that will never tell says that nobody did
   */
  async readOnce(api: ServerApi): Promise<void> {
    if (this.#own.isKnown) return;
    try {
      this.#own.read(ownOf(await this.#read(api)));
    } catch (error) {
      if (!isLasting(refusalOf(error))) throw error;
      this.#options.log.error({ error: messageOf(error) }, 'Neutron does not tell whether this agent is disabled');
      this.#own.read(undefined);
    }
  }

  /** Looks again, some time after a report; when the rows cannot be read, what was known of them stays. */
  async look(api: ServerApi): Promise<void> {
    try {
      const rows = await this.#read(api);
      this.#own.readBetweenReports(ownOf(rows));
      if (this.#options.portVersion === 'ovs-agent') await this.#follow(api, rows);
    } catch (error) {
      if (codeOf(error) !== 'rpc-aborted')
        this.#options.log.warn({ code: codeOf(error), error: messageOf(error) }, 'the rows of agents could not be read');
    }
  }

  async #read(api: ServerApi): Promise<readonly AgentRow[]> {
    const { host, portVersion, telemetry, source } = this.#options;
    const types = portVersion === 'ovs-agent' ? [AGENT_TYPE, OVS_AGENT_TYPE] : [AGENT_TYPE];
    return (await api.pullAgents(host, types)).flatMap((primitive) => {
      const row = decodeAgent(primitive);
      if (row.ok) return row.value.host === host ? [row.value] : [];
      telemetry.count({ kind: 'bus-message', source, outcome: 'malformed', detail: row.reason });
      return [];
    });
  }

  /** Takes the version of the OVS agent, if the server shows that it has it. */
  async #follow(api: ServerApi, rows: readonly AgentRow[]): Promise<void> {
    const { log } = this.#options;
    const version = offeredVersion(rows);
    if (version === undefined || version === this.#portVersion || this.#refused.has(version)) return;
    if (version !== PINNED_PORT_VERSION && !(await this.#isServed(api, version))) return;
    log.info({ version, before: this.#portVersion }, 'version of Port');
    this.#portVersion = version;
  }

  async #isServed(api: ServerApi, version: string): Promise<boolean> {
    const { host, sink, log } = this.#options;
    const ids = [...sink.interest.portIds(), ...(await api.listPortIds(host, 'normal'))].slice(0, PORTS_TO_SHOW);
    if (ids.length === 0) return false;
    try {
      return isServed(await api.pullPorts(ids, version), version);
    } catch (error) {
      if (refusalOf(error) !== 'unsupported-version') throw error;
      this.#refused.add(version);
      log.warn({ version }, 'the OVS agent of this host reports a version of Port that the server does not have');
      return false;
    }
  }
}

function ownOf(rows: readonly AgentRow[]): AgentRow | undefined {
  return rows.find(({ agentType }) => agentType === AGENT_TYPE);
}
