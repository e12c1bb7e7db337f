/**
 * The config file -> `Config`, or every problem in it at once. Secrets are read here, from files or the environment;
 * no message holds one. `parseConfig` takes the world as a value; `loadConfig` gives it the real one.
 */
import { readFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { checkYaml, type Problem } from '../lib/checked-yaml.ts';
import { type Config, ConfigError, type GobgpConnection, type NeutronConfig } from './config.ts';
import type { ConfigFile, GobgpSection, NeutronSection } from './config-file.ts';
import { crossChecks } from './cross-checks.ts';
import { decisionSettings } from './decision-settings.ts';
import { FileReader } from './file-reader.ts';
import { type NeutronConnection, neutronConnection } from './neutron-connection.ts';
import { configSchema, DEFAULT_OPERATOR_SOCKET } from './schema.ts';
import { readWhole } from './secret-file.ts';
import { speakerSettings } from './speaker-settings.ts';
import { warningsOf } from './warnings.ts';

/** Used when neither the command line nor the environment names a file. */
export const DEFAULT_CONFIG_FILE = '/etc/neutron-bgp-agent/agent.yaml';

/** The file source's name, by which the decision knows that its ports need no network. */
const FILE_SOURCE_NAME = 'file';

export type World = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  /** This host's addresses with the length of their link's prefix. */
  readonly links: readonly string[];
  /** Throws when a file cannot be read. */
  readonly readText: (file: string) => string;
};

/**
 * Reads and checks a config file and the files it names.
 * @throws ConfigError with every problem as `file:line:column: path: message`
 */
export function loadConfig(file: string, env: Readonly<Record<string, string | undefined>>): Config {
  const read = readWhole(file, readTextFile);
  if ('wrong' in read) throw new ConfigError([read.wrong]);
  const links = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.flatMap(({ cidr }) => cidr ?? []));
  return parseConfig(read.text, file, { env, hostname: hostname(), links, readText: readTextFile });
}

/**
 * @param file its name in messages; relative paths inside it begin at its folder
 * @throws ConfigError
 */
export function parseConfig(text: string, file: string, world: World): Config {
  const { value, problems, describe } = checkYaml(text, configSchema, file);
  if (value === undefined) throw new ConfigError(problems);
  const found: Problem[] = [...crossChecks(value)];
  const reader = new FileReader(dirname(file), world.readText, found);
  const connection = value.sources.neutron && neutronConnection(value.sources.neutron, reader, world.env);
  const host = value.host ?? connection?.host ?? world.hostname;
  const config: Config = {
    file,
    host,
    stateDirectory: reader.path(value.stateDirectory),
    logLevel: value.log.level,
    http: value.http.listen === 'off' ? undefined : value.http.listen,
    operatorSocket: reader.path(value.operator.socket),
    sources: sourcesOf(value, reader, connection),
    gobgp: connectionOf(value.gobgp, reader),
    decision: decisionSettings(value, host, FILE_SOURCE_NAME),
    speaker: speakerSettings(value, passwordsOf(value, reader)),
    warnings: warningsOf(value, world.links),
  };
  if (found.length > 0) throw new ConfigError(found.map(describe));
  return config;
}

/**
 * The operator socket that a config file names, reading nothing else of it: the command line works for people who may
 * not read the secrets. Undefined when the file is absent.
 * @throws ConfigError when it cannot be read
 */
export function operatorSocketOf(file: string): string | undefined {
  const read = readWhole(file, readTextFile);
  if ('wrong' in read) {
    if (read.wrong.endsWith('ENOENT')) return undefined;
    throw new ConfigError([read.wrong]);
  }
  const schema = z.looseObject({ operator: z.looseObject({ socket: z.string().min(1).optional() }).optional() });
  const { value, problems } = checkYaml(read.text, schema, file);
  if (value === undefined) throw new ConfigError(problems);
  return resolve(dirname(file), value.operator?.socket ?? DEFAULT_OPERATOR_SOCKET);
}

function readTextFile(file: string): string {
  return readFileSync(file, 'utf8');
}

function sourcesOf({ sources, announce }: ConfigFile, reader: FileReader, connection: NeutronConnection | undefined): Config['sources'] {
  const { file, neutron } = sources;
  return {
    ...(file === undefined ? {} : { file: { path: reader.path(file.path) } }),
    ...(neutron === undefined || connection === undefined ? {} : { neutron: neutronConfig(neutron, announce.vnicTypes, connection) }),
  };
}

function neutronConfig(section: NeutronSection, vnicTypes: readonly string[], connection: NeutronConnection): NeutronConfig {
  return {
    broker: connection.broker,
    controlExchange: connection.controlExchange,
    vnicTypes,
    reconnectSpreadMs: section.reconnectSpreadSeconds * 1000,
    resyncIntervalMs: section.resyncIntervalSeconds * 1000,
    reportIntervalMs: section.reportIntervalSeconds * 1000,
    rpcTimeoutMs: section.rpcTimeoutSeconds * 1000,
    portVersion: section.portVersion,
    ...(section.fanoutDurable === undefined ? {} : { fanoutDurable: section.fanoutDurable }),
  };
}

function connectionOf(section: GobgpSection, reader: FileReader): GobgpConnection {
  const { address, tls, resyncIntervalSeconds } = section;
  const connection = { address, resyncIntervalMs: resyncIntervalSeconds * 1000 };
  if (tls === undefined) return connection;
  if ((tls.certificateFile === undefined) !== (tls.keyFile === undefined))
    reader.problem(['gobgp', 'tls'], 'certificateFile and keyFile need each other');
  const pem = (name: string | undefined, key: string): string | undefined =>
    name === undefined ? undefined : reader.whole(name, ['gobgp', 'tls', key]);
  const [ca, certificate, key] = [pem(tls.caFile, 'caFile'), pem(tls.certificateFile, 'certificateFile'), pem(tls.keyFile, 'keyFile')];
  return {
    ...connection,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
    },
  };
}

/** The longest key that the kernel takes for TCP MD5 (TCP_MD5SIG_MAXKEYLEN). */
const LONGEST_MD5_PASSWORD = 80;

function passwordsOf({ peers }: ConfigFile, reader: FileReader): ReadonlyMap<number, string> {
  const passwords = new Map<number, string>();
  for (const [index, { passwordFile }] of peers.entries()) {
    if (passwordFile === undefined) continue;
    const at = ['peers', index, 'passwordFile'];
    const password = reader.secret(passwordFile, at);
    if (password === undefined) continue;
    if (Buffer.byteLength(password) > LONGEST_MD5_PASSWORD)
      reader.problem(at, `holds more than ${LONGEST_MD5_PASSWORD} bytes, the most that TCP MD5 takes`);
    passwords.set(index, password);
  }
  return passwords;
}
