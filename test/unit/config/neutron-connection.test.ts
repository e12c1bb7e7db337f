/** From `neutron.conf`, the transport URL and our own keys to RabbitMQ. */
import { describe, expect, test } from 'vitest';
import { type Config, ConfigError } from '../../../src/config/config.ts';
import { parseConfig } from '../../../src/config/load.ts';

type Files = Readonly<Record<string, string>>;

/** `own`: keys of `sources.neutron` in flow style, after configFiles. */
function load(files: Files, own = '', env: Readonly<Record<string, string>> = {}, top = ''): Config {
  const names = Object.keys(files).filter((name) => name.endsWith('.conf'));
  const text = [
    `sources: { neutron: { configFiles: [${names.join(', ')}]${own === '' ? '' : `, ${own}`} } }`,
    'announce: { prefixes: [203.0.113.0/24], networks: ["8f3c1a52-7d5e-4b0a-9a57-1f4d3c2b6e10"] }',
    'gobgp: { asn: 64512, routerId: 192.0.2.1 }',
    'peers: [{ address: 192.0.2.254, asn: 64500 }]',
    top,
  ].join('\n');
  const readText = (file: string): string => {
    const content = files[file];
    if (content === undefined) throw Object.assign(new Error(), { code: 'ENOENT' });
    return content;
  };
  return parseConfig(text, '/etc/agent/agent.yaml', { env, hostname: 'machine', links: [], readText });
}

type Neutron = NonNullable<Config['sources']['neutron']>;

function neutron(...args: Parameters<typeof load>): Neutron {
  return load(...args).sources.neutron as Neutron;
}

function problemsOf(...args: Parameters<typeof load>): readonly string[] {
  try {
    load(...args);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.replace(/^.*?:\d+:\d+: /, ''));
    throw error;
  }
  return [];
}

/** A whole neutron.conf with `lines` in its RabbitMQ section. */
const conf = (lines = '', url = 'rabbit://u:s3cret@mq1/'): string =>
  `[DEFAULT]\ntransport_url = ${url}\n[oslo_messaging_rabbit]\n${lines}\n`;
const NEUTRON_CONF = '/etc/neutron/neutron.conf';
const OWN_CONF = '/etc/neutron/own.conf';

test('a whole neutron.conf', () => {
  const text = `[DEFAULT]
host = cmp-001
control_exchange = neutron2
transport_url = rabbit://u1:p%401@mq1:5671,u2:p2@[2001:db8::2]:5671/v%2F1
[oslo_messaging_rabbit]
ssl = True
ssl_ca_file = /etc/ssl/ca.pem
ssl_cert_file = /etc/ssl/agent.pem
ssl_key_file = /etc/ssl/agent-key.pem
ssl_enforce_hostname_verification = false
heartbeat_timeout_threshold = 10
rabbit_quorum_queue = true
use_queue_manager = true
kombu_compression = gzip
`;
  const config = load({ [NEUTRON_CONF]: text, '/etc/ssl/ca.pem': 'CA', '/etc/ssl/agent.pem': 'CERT', '/etc/ssl/agent-key.pem': 'KEY' });
  expect(config.host).toBe('cmp-001');
  expect(config.sources.neutron).toMatchObject({
    controlExchange: 'neutron2',
    broker: {
      hosts: [
        { host: 'mq1', port: 5671, username: 'u1', password: 'p@1' },
        { host: '2001:db8::2', port: 5671, username: 'u2', password: 'p2' },
      ],
      virtualHost: 'v/1',
      tls: { ca: 'CA', cert: 'CERT', key: 'KEY', verifyHostname: false },
      heartbeatSeconds: 10,
    },
  });
});

test('a neutron.conf with nothing but the URL', () => {
  const config = load({ [NEUTRON_CONF]: conf() });
  expect(config.host).toBe('machine');
  expect(config.sources.neutron).toMatchObject({ controlExchange: 'neutron', reconnectSpreadMs: 30_000 });
  expect(config.sources.neutron?.broker).toEqual({
    hosts: [{ host: 'mq1', port: 5672, username: 'u', password: 's3cret' }],
    virtualHost: '/',
    heartbeatSeconds: 15,
  });
});

test('fanoutDurable and the spread go on as they are, and are nothing that the option files say', () => {
  const files = { [NEUTRON_CONF]: conf('rabbit_transient_quorum_queue = true') };
  expect(neutron(files)).not.toHaveProperty('fanoutDurable');
  expect(neutron(files, 'fanoutDurable: false, reconnectSpreadSeconds: 0')).toMatchObject({ fanoutDurable: false, reconnectSpreadMs: 0 });
});

describe('what goes before what', () => {
  const files = {
    [NEUTRON_CONF]: `[DEFAULT]\nhost = a\ncontrol_exchange = x\n${conf('heartbeat_timeout_threshold = 5')}`,
    [OWN_CONF]: '[DEFAULT]\nhost = b\n',
  };

  test('a later file', () => {
    expect(load(files).host).toBe('b');
  });
  test('our own keys', () => {
    expect(load(files, 'controlExchange: y, heartbeatSeconds: 20', {}, 'host: c')).toMatchObject({
      host: 'c',
      sources: { neutron: { controlExchange: 'y', broker: { heartbeatSeconds: 20 } } },
    });
  });
  test('our own transport URL, and before it the environment', () => {
    const own = 'transportUrl: "rabbit://own"';
    expect(neutron(files, own).broker.hosts[0]?.host).toBe('own');
    expect(neutron(files, own, { NEUTRON_BGP_AGENT_TRANSPORT_URL: 'rabbit://env' }).broker.hosts[0]?.host).toBe('env');
  });
  test('the options of the URL', () => {
    const url = (query: string): Files => ({
      [NEUTRON_CONF]: conf('ssl = true\nheartbeat_timeout_threshold = 5', `rabbit://mq/?${query}`),
    });
    expect(neutron(url('ssl=0')).broker.tls).toBeUndefined();
    expect(neutron(url('ssl=')).broker.tls).toEqual({ verifyHostname: true });
    expect(neutron(url('heartbeat_timeout_threshold=7')).broker.heartbeatSeconds).toBe(7);
  });
  test('our own TLS keys, one by one', () => {
    const tls = { [NEUTRON_CONF]: conf('ssl = yes\nssl_ca_file = /ca'), '/ca': 'CA', '/etc/agent/own-ca': 'OWN' };
    expect(neutron(tls, 'tls: { verifyHostname: false }').broker.tls).toEqual({ ca: 'CA', verifyHostname: false });
    expect(neutron(tls, 'tls: { caFile: own-ca }').broker.tls).toEqual({ ca: 'OWN', verifyHostname: true });
  });
});

test.each<[string, string, object]>([
  ['TLS off by default', '', { heartbeatSeconds: 15 }],
  ['a former name', 'rabbit_use_ssl = on', { tls: { verifyHostname: true } }],
  ['TLS files without TLS are not read', 'ssl_ca_file = /no/such', { heartbeatSeconds: 15 }],
  ['a longer heartbeat is not ours', 'heartbeat_timeout_threshold = 60', { heartbeatSeconds: 15 }],
  ['nor none', 'heartbeat_timeout_threshold = 0', { heartbeatSeconds: 15 }],
])('%s', (_name, lines, expected) => {
  expect(neutron({ [NEUTRON_CONF]: conf(lines) }).broker).toMatchObject(expected);
});

describe('problems name file and option, and no secret', () => {
  const AT = 'sources.neutron.configFiles';
  test.each<[string, Files, string]>([
    [
      'a file that is not there',
      { [NEUTRON_CONF]: conf(), 'gone.conf': undefined as unknown as string },
      `${AT}[1]: cannot read /etc/agent/gone.conf: ENOENT`,
    ],
    [
      'no transport_url',
      { [NEUTRON_CONF]: '[DEFAULT]\nhost = a\n' },
      `${AT}: set no transport_url in [DEFAULT]; oslo would try guest on localhost`,
    ],
    ['no INI', { [NEUTRON_CONF]: 's3cret\n' }, `${AT}: ${NEUTRON_CONF}:1 is neither [SECTION] nor NAME = VALUE`],
    [
      'a URL that cannot be read',
      { [NEUTRON_CONF]: conf('', 'rabbit://u:s3cret@mq1:x/') },
      `${AT}: ${NEUTRON_CONF}:2: [DEFAULT] transport_url: transport_url cannot be read: a host is not HOST or HOST:PORT`,
    ],
    [
      'a $ in a password',
      { [NEUTRON_CONF]: conf('', 'rabbit://u:s3cret$x@mq1/') },
      `${AT}: ${NEUTRON_CONF}:2: [DEFAULT] transport_url refers with "$" to an option that these files do not set; a dollar sign itself is written "$$"`,
    ],
    [
      'no boolean',
      { [NEUTRON_CONF]: conf('ssl = s3cret') },
      `${AT}: ${NEUTRON_CONF}:4: [oslo_messaging_rabbit] ssl is neither true nor false`,
    ],
    [
      'no number',
      { [NEUTRON_CONF]: conf('heartbeat_timeout_threshold = 1m') },
      `${AT}: ${NEUTRON_CONF}:4: [oslo_messaging_rabbit] heartbeat_timeout_threshold is no whole number`,
    ],
    [
      'an option of the URL',
      { [NEUTRON_CONF]: conf('', 'rabbit://u:s3cret@mq1/?ssl=s3cret') },
      `${AT}: the transport URL's option ssl is neither true nor false`,
    ],
    [
      'a relative path',
      { [NEUTRON_CONF]: conf('ssl = 1\nssl_ca_file = ca.pem') },
      `${AT}: ${NEUTRON_CONF}:5: [oslo_messaging_rabbit] ssl_ca_file is no absolute path`,
    ],
    ['a CA that is not there', { [NEUTRON_CONF]: conf('ssl = 1\nssl_ca_file = /ca') }, `${AT}: cannot read /ca: ENOENT`],
    [
      'a certificate without its key',
      { [NEUTRON_CONF]: conf('ssl = 1\nssl_cert_file = /c'), '/c': 'C' },
      `${AT}: the certificate and its key need each other`,
    ],
    [
      'another login',
      { [NEUTRON_CONF]: conf('rabbit_login_method = EXTERNAL') },
      `${AT}: ${NEUTRON_CONF}:4: [oslo_messaging_rabbit] rabbit_login_method asks for a login method`,
    ],
  ])('%s', (_name, files, expected) => {
    const problems = problemsOf(files);
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems.join()).not.toContain('s3cret');
  });
});
