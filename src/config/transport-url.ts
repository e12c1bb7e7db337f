/** `transport_url` as oslo.messaging reads it (oslo_messaging/transport.py TransportURL.parse). */
import { AgentError } from '../lib/errors.ts';
import type { BrokerHost } from './config.ts';

export type TransportUrl = {
  readonly hosts: readonly BrokerHost[];
  readonly virtualHost: string;
  /** The query: options of `[oslo_messaging_rabbit]` that the URL overrides. */
  readonly options: Readonly<Record<string, string>>;
};

const SCHEMES: ReadonlySet<string> = new Set(['rabbit', 'kombu', 'amqp']);

/**
 * Reads `rabbit://USER:PASSWORD@HOST:PORT,USER:PASSWORD@HOST:PORT/VHOST?OPTION=VALUE`; user, password and vhost are
 * percent-decoded, an empty vhost is `/`, and the port is 5672 unless given.
 *
 * @throws AgentError `transport-url` (terminal); its message never holds a part of the URL that may be secret
 */
export function parseTransportUrl(url: string): TransportUrl {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(url.trim());
  if (match === null) throw invalid('it does not look like rabbit://USER:PASSWORD@HOST:PORT/VHOST');
  const [, scheme = '', authority = '', path = '', query = ''] = match;
  if (!SCHEMES.has(scheme.toLowerCase())) throw invalid(`its scheme "${scheme}" is not rabbit`);
  const hosts = authority.split(',').filter((part) => part !== '');
  if (hosts.length === 0) throw invalid('it names no host');
  return {
    hosts: hosts.map(parseHost),
    // oslo takes off one slash and no more: `.../%2Fname` and `...//name` are both the vhost `/name`.
    virtualHost: decode(path.slice(1), 'vhost') || '/',
    options: queryOptions(query),
  };
}

/** Python's parse_qs and oslo's join: an option without a value is not there, one that stands twice is a list. */
function queryOptions(query: string): Readonly<Record<string, string>> {
  const given = new URLSearchParams(query);
  const values = (name: string): string =>
    given
      .getAll(name)
      .filter((value) => value !== '')
      .join(',');
  return Object.fromEntries([...new Set(given.keys())].map((name) => [name, values(name)]).filter(([, value]) => value !== ''));
}

function parseHost(part: string): BrokerHost {
  const at = part.lastIndexOf('@');
  // Without credentials kombu logs in as guest.
  const [user = '', ...password] = (at < 0 ? 'guest:guest' : part.slice(0, at)).split(':');
  const hostPort = part.slice(at + 1);
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i.exec(hostPort);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 5672);
  if (host === undefined || port < 1 || port > 65535) {
    throw invalid(
      'a host is not HOST or HOST:PORT (write IPv6 addresses in brackets, and "@", ":", "/" and "," in a password percent-encoded)',
    );
  }
  return { host, port, username: decode(user, 'user name'), password: decode(password.join(':'), 'password') };
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`its ${what} has a "%" that begins no valid percent-encoding`);
  }
}

function invalid(why: string): AgentError {
  return new AgentError('transport-url', 'terminal', `transport_url cannot be read: ${why}`);
}
