/** TLS to a real RabbitMQ that asks its clients for certificates. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLog } from '../../src/lib/log.ts';
import { type BrokerConnection, type BrokerSettings, openConnection, type TlsSettings } from '../../src/oslo/connection.ts';
import { type Authority, type Certificate, createAuthority } from '../lab/certificates.ts';
import { freePort, Lab } from '../lab/lab.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const lab = new Lab('oslo-tls');
let rabbit: RabbitNode;
let port: number;
let authority: Authority;
let agent: Certificate;

beforeAll(async () => {
  authority = createAuthority(lab, 'ours');
  agent = authority.issue('agent');
  // As certificates in the field often are: it names the host, and no address.
  const server = authority.issue('rabbit', ['DNS:localhost']);
  port = await freePort();
  rabbit = await startRabbit(lab, {
    config: [
      `listeners.ssl.1 = 127.0.0.1:${port}`,
      `ssl_options.cacertfile = ${authority.certificateFile}`,
      `ssl_options.certfile = ${server.certificateFile}`,
      `ssl_options.keyfile = ${server.keyFile}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    ],
  });
});
afterAll(() => lab.close());

async function attempt(change: { host?: string; port?: number; tls?: Partial<TlsSettings> | null }): Promise<unknown> {
  const host = { host: change.host ?? 'localhost', port: change.port ?? port, username: 'guest', password: 'guest' };
  const settings: BrokerSettings = {
    hosts: [host],
    virtualHost: '/',
    heartbeatSeconds: 15,
    connectTimeoutMs: 5_000,
    connectionName: 'tls-test',
    ...(change.tls === null
      ? {}
      : { tls: { ca: authority.certificate, cert: agent.certificate, key: agent.key, verifyHostname: true, ...change.tls } }),
  };
  try {
    const connection: BrokerConnection = await openConnection(settings, host, silentLog);
    await connection.close();
    return 'connected';
  } catch (error) {
    return error;
  }
}

test('with the authority and a certificate of our own', async () => {
  expect(await attempt({})).toBe('connected');
});

test('a certificate that does not name what was dialled is refused, unless that was switched off', async () => {
  const error = await attempt({ host: '127.0.0.1' });
  expect(error).toMatchObject({ code: 'broker-certificate-refused', kind: 'terminal' });
  expect(String(error)).toContain('switch off tls.verifyHostname');
  expect(await attempt({ host: '127.0.0.1', tls: { verifyHostname: false } })).toBe('connected');
});

test('a certificate of another authority is refused, even where the name does not count', async () => {
  const other = createAuthority(lab, 'other');
  for (const verifyHostname of [true, false]) {
    const error = await attempt({ tls: { ca: other.certificate, verifyHostname } });
    expect(error).toMatchObject({ code: 'broker-certificate-refused' });
    expect(String(error)).toContain('the authority in tls.caFile');
  }
});

test("without a CA the system's authorities count", async () => {
  const { ca: _, ...tls } = { ca: '', cert: agent.certificate, key: agent.key, verifyHostname: true };
  const error = await openConnection(
    { hosts: [], virtualHost: '/', heartbeatSeconds: 15, connectTimeoutMs: 5_000, connectionName: 'tls-test', tls },
    { host: 'localhost', port, username: 'guest', password: 'guest' },
    silentLog,
  ).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'broker-certificate-refused' });
  expect(String(error)).toContain('name its own in tls.caFile');
});

test('a broker that asks for a certificate gets no further without one', async () => {
  const { cert: _cert, key: _key, ...tls } = { ca: authority.certificate, cert: '', key: '', verifyHostname: true };
  const error = await openConnection(
    { hosts: [], virtualHost: '/', heartbeatSeconds: 15, connectTimeoutMs: 5_000, connectionName: 'tls-test', tls },
    { host: 'localhost', port, username: 'guest', password: 'guest' },
    silentLog,
  ).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'broker-unreachable', kind: 'retryable', message: expect.stringContaining('over TLS') as string });
});

test('TLS to a port without it, and none to a port with it, are told as failures', async () => {
  expect(await attempt({ port: rabbit.port })).toMatchObject({ code: 'broker-unreachable' });
  expect(await attempt({ tls: null })).toMatchObject({ code: 'broker-unreachable' });
});
