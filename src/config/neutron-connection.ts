/**
 * How to reach RabbitMQ, and as whom: from the keys of `sources.neutron`, the transport URL and its query, and Neutron's own
 * option files, in this order (oslo too lets the query go before `[oslo_messaging_rabbit]`). Of that section only what
 * concerns an agent with private queues is asked: how others declare theirs does not.
 */
import { isAbsolute } from 'node:path';
import { AgentError, messageOf } from '../lib/errors.ts';
import type { BrokerConfig } from './config.ts';
import type { NeutronSection } from './config-file.ts';
import type { FileReader } from './file-reader.ts';
import { type Option, type OptionFiles, readOptionFiles, unreadable } from './option-files.ts';
import { parseTransportUrl } from './transport-url.ts';

/** The environment's transport URL; it goes before every file's. */
const TRANSPORT_URL_VARIABLE = 'NEUTRON_BGP_AGENT_TRANSPORT_URL';

/** oslo.messaging's is 60 s; ours notices a dead broker sooner. */
const HEARTBEAT_SECONDS = 15;

const RABBIT = 'oslo_messaging_rabbit';
const SECTION = ['sources', 'neutron'];
const FILES = [...SECTION, 'configFiles'];

export type NeutronConnection = {
  /** `[DEFAULT] host` of the option files. */
  readonly host?: string;
  readonly controlExchange: string;
  readonly broker: BrokerConfig;
};

/** What is wrong becomes a problem of `reader`; then the answer is not to be used. */
export function neutronConnection(section: NeutronSection, reader: FileReader, env: Env): NeutronConnection {
  const files = optionFiles(section, reader);
  const ofDefault = (name: string): string | undefined => attempt(reader, FILES, () => files?.find('DEFAULT', name)?.value);
  const host = ofDefault('host');
  const controlExchange = section.controlExchange ?? ofDefault('control_exchange') ?? 'neutron';
  return {
    ...(host === undefined || host === '' ? {} : { host }),
    controlExchange,
    broker: brokerConfig(section, reader, env, files),
  };
}

function optionFiles({ configFiles }: NeutronSection, reader: FileReader): OptionFiles | undefined {
  const read = configFiles.map((name, index) => ({ name: reader.path(name), text: reader.whole(name, [...FILES, index]) }));
  const files = read.flatMap(({ name, text }) => (text === undefined ? [] : [{ name, text }]));
  return files.length < read.length ? undefined : attempt(reader, FILES, () => readOptionFiles(files));
}

function brokerConfig(section: NeutronSection, reader: FileReader, env: Env, files: OptionFiles | undefined): BrokerConfig {
  const given = transportUrl(section, reader, env, files);
  const url = given && attempt(reader, given.path, () => parseGiven(given));
  const option = (...names: readonly [string, ...string[]]): Option | undefined => {
    const inUrl = url?.options[names[0]];
    return inUrl === undefined ? files?.find(RABBIT, ...names) : { value: inUrl, origin: `the transport URL's option ${names[0]}` };
  };
  const read = <T>(reading: (found: Option) => T, ...names: readonly [string, ...string[]]): T | undefined =>
    attempt(reader, FILES, () => {
      const found = option(...names);
      return found && reading(found);
    });
  read(loginMethod, 'rabbit_login_method');

  const useTls = section.tls !== undefined || read(boolean, 'ssl', 'rabbit_use_ssl') === true;
  const pem = (key: 'caFile' | 'certificateFile' | 'keyFile', ...names: readonly [string, ...string[]]): string | undefined => {
    const own = section.tls?.[key];
    if (own !== undefined) return reader.whole(own, [...SECTION, 'tls', key]);
    const file = read(absolutePath, ...names);
    return file && reader.whole(file, FILES);
  };
  const tls = (): NonNullable<BrokerConfig['tls']> => {
    const ca = pem('caFile', 'ssl_ca_file', 'kombu_ssl_ca_certs');
    const cert = pem('certificateFile', 'ssl_cert_file', 'kombu_ssl_certfile');
    const key = pem('keyFile', 'ssl_key_file', 'kombu_ssl_keyfile');
    if ((cert === undefined) !== (key === undefined))
      reader.problem([...SECTION, ...(section.tls ? ['tls'] : ['configFiles'])], 'the certificate and its key need each other');
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      verifyHostname: section.tls?.verifyHostname ?? read(boolean, 'ssl_enforce_hostname_verification') ?? true,
    };
  };

  const heartbeat = read(wholeNumber, 'heartbeat_timeout_threshold');
  return {
    hosts: url?.hosts ?? [],
    virtualHost: url?.virtualHost ?? '/',
    ...(useTls ? { tls: tls() } : {}),
    // 0 means none to oslo, and without any a dead broker would go unnoticed.
    heartbeatSeconds: section.heartbeatSeconds ?? Math.min(HEARTBEAT_SECONDS, heartbeat || HEARTBEAT_SECONDS),
  };
}

type Env = Readonly<Record<string, string | undefined>>;

type GivenUrl = { readonly text: string; readonly path: readonly string[]; readonly origin?: string };

function transportUrl(section: NeutronSection, reader: FileReader, env: Env, files: OptionFiles | undefined): GivenUrl | undefined {
  const ofEnvironment = env[TRANSPORT_URL_VARIABLE]?.trim() ?? '';
  if (ofEnvironment !== '') return { text: ofEnvironment, path: SECTION, origin: TRANSPORT_URL_VARIABLE };
  if (section.transportUrl !== undefined) return { text: section.transportUrl, path: [...SECTION, 'transportUrl'] };
  if (section.transportUrlFile !== undefined) {
    const path = [...SECTION, 'transportUrlFile'];
    const text = reader.secret(section.transportUrlFile, path);
    return text === undefined ? undefined : { text, path };
  }
  // Option files that cannot be read were told.
  if (files === undefined) return undefined;
  return attempt(reader, FILES, () => {
    const imported = files.find('DEFAULT', 'transport_url');
    if (imported !== undefined) return { text: imported.value, path: FILES, origin: imported.origin };
    if (section.configFiles.length > 0)
      throw new AgentError('option-file', 'terminal', 'set no transport_url in [DEFAULT]; oslo would try guest on localhost');
    reader.problem(
      SECTION,
      `names no transport URL: write configFiles, transportUrlFile or transportUrl, or set ${TRANSPORT_URL_VARIABLE}`,
    );
    return undefined;
  });
}

function parseGiven({ text, origin }: GivenUrl): ReturnType<typeof parseTransportUrl> {
  try {
    return parseTransportUrl(text);
  } catch (error) {
    throw origin === undefined ? error : new AgentError('transport-url', 'terminal', `${origin}: ${messageOf(error)}`);
  }
}

function loginMethod({ value, origin }: Option): void {
  if (!['PLAIN', 'AMQPLAIN'].includes(value))
    throw unreadable(origin, 'asks for a login method that the agent does not speak: it logs in with user and password');
}

/** As oslo_config/types.py. */
function boolean({ value, origin }: Option): boolean {
  const word = value.toLowerCase();
  if (['true', '1', 'on', 'yes'].includes(word)) return true;
  if (['false', '0', 'off', 'no'].includes(word)) return false;
  throw unreadable(origin, 'is neither true nor false');
}

function wholeNumber({ value, origin }: Option): number | undefined {
  if (value.trim() === '') return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value);
  throw unreadable(origin, 'is no whole number');
}

/** oslo begins a relative path where its service was started, which nobody else knows. Undefined: not set. */
function absolutePath({ value, origin }: Option): string | undefined {
  if (value === '' || isAbsolute(value)) return value || undefined;
  throw unreadable(origin, 'is no absolute path');
}

function attempt<T>(reader: FileReader, path: readonly string[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    reader.problem(path, error.message);
    return undefined;
  }
}
