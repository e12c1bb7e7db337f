/** Being an agent in Neutron's eyes: `report_state` at every interval (neutron/agent/rpc.py, neutron/db/agents_db.py). */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type ReportAnswer, reportTime, type ServerApi } from './server-api.ts';

/** Ours: (agent type, host) is what identifies an agent. */
export const AGENT_TYPE = 'BGP host route agent';
const BINARY = 'neutron-bgp-agent';

/** Neutron's column holds as many. */
const MAX_CONFIGURATIONS = 4_095;

export type RegistrationOptions = {
  readonly host: string;
  readonly reportIntervalMs: number;
  /** The version of the Port object that the servers are to push to us. */
  readonly portVersion: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What `openstack network agent show` displays; small. */
  readonly configurations: () => Readonly<Record<string, unknown>>;
  /** Whether the first sync of this process is still to come. */
  readonly isStarting: () => boolean;
};

/**
 * `registered`: the servers begin only now, or again, to push to us, so what happened meanwhile was not told.
 * `ignored`: the report's time was before the start of the server.
 */
export type ReportOutcome = 'registered' | 'alive' | 'ignored' | 'failed';

/** The reports of one session. */
export class Registration {
  readonly #options: RegistrationOptions;
  /** Each report that holds them makes the server tell all others, so they are sent once per registration. */
  #versionsAreKnown = false;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  async report(api: ServerApi): Promise<ReportOutcome> {
    const { clock, log, reportIntervalMs } = this.#options;
    const versionsWereKnown = this.#versionsAreKnown;
    let answer: ReportAnswer;
    try {
      answer = await api.reportState(this.#agentState(), reportTime(clock.wallTime()), reportIntervalMs);
    } catch (error) {
      log.warn({ code: codeOf(error), error: messageOf(error) }, 'report to Neutron failed');
      return 'failed';
    }
    if (answer === null) return 'ignored';
    this.#versionsAreKnown = true;
    if (answer === 'alive') return 'alive';
    log.info({ answer }, 'registered with Neutron');
    // Deleted or long silent, and now back without its versions.
    if (versionsWereKnown) {
      this.#versionsAreKnown = false;
      await this.report(api);
    }
    return 'registered';
  }

  #agentState(): Readonly<Record<string, unknown>> {
    const { host, isStarting } = this.#options;
    return {
      agent_type: AGENT_TYPE,
      binary: BINARY,
      host,
      topic: 'N/A',
      configurations: this.#configurations(),
      uuid: randomUUID(),
      ...(this.#versionsAreKnown ? {} : { resource_versions: { Port: this.#options.portVersion } }),
      ...(isStarting() ? { start_flag: true } : {}),
    };
  }

  #configurations(): Readonly<Record<string, unknown>> {
    const configurations = this.#options.configurations();
    const length = JSON.stringify(configurations).length;
    if (length <= MAX_CONFIGURATIONS) return configurations;
    this.#options.log.warn({ length, limit: MAX_CONFIGURATIONS }, 'configurations are too long for Neutron and were left out');
    return {};
  }
}
