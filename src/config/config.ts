/** What an operator configured, ready for use: the composition root hands each part to its room. */
import { AgentError } from '../lib/errors.ts';
import type { DecisionSettings, SpeakerSettings } from '../domain/settings.ts';
import type { ListenAddress, LogLevel, PortVersionChoice } from './config-file.ts';

export type Config = {
  /** The file it came from. */
  readonly file: string;
  /** This hypervisor, as Neutron and nova name it. */
  readonly host: string;
  readonly stateDirectory: string;
  readonly logLevel: LogLevel;
  /** Undefined: no HTTP at all. */
  readonly http: ListenAddress | undefined;
  readonly operatorSocket: string;
  /** At least one is present. */
  readonly sources: { readonly file?: FileSourceConfig; readonly neutron?: NeutronConfig };
  readonly gobgp: GobgpConnection;
  readonly decision: DecisionSettings;
  readonly speaker: SpeakerSettings;
  /** Allowed and dangerous; one sentence each. */
  readonly warnings: readonly string[];
};

export type FileSourceConfig = { readonly path: string };

export type NeutronConfig = {
  readonly broker: BrokerConfig;
  readonly controlExchange: string;
  readonly reconnectSpreadMs: number;
  /** How the servers declare fanout exchanges; undefined: to be found out. */
  readonly fanoutDurable?: boolean;
  readonly vnicTypes: readonly string[];
  readonly resyncIntervalMs: number;
  readonly reportIntervalMs: number;
  readonly rpcTimeoutMs: number;
  readonly portVersion: PortVersionChoice;
};

/** RabbitMQ, as `transport_url` and `[oslo_messaging_rabbit]` describe it. */
export type BrokerConfig = {
  readonly hosts: readonly BrokerHost[];
  readonly virtualHost: string;
  /** PEM texts; undefined: no TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly verifyHostname: boolean };
  readonly heartbeatSeconds: number;
};

/** One broker node with the credentials for it. */
export type BrokerHost = {
  /** A name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly username: string;
  /** Never logged. */
  readonly password: string;
};

export type GobgpConnection = {
  /** `HOST:PORT` or `unix:///PATH`. */
  readonly address: string;
  /** PEM texts. */
  readonly tls?: { readonly ca?: string; readonly certificate?: string; readonly key?: string };
  readonly resyncIntervalMs: number;
};

/** The file cannot be used; nothing of it was. `problems` has one line each, without any secret. */
export class ConfigError extends AgentError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super('invalid-config', 'terminal', problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
