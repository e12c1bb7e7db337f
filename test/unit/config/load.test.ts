import { describe, expect, it } from 'vitest';
import { ConfigError, type Config } from '../../../src/config/config.ts';
import { parseConfig, type World } from '../../../src/config/load.ts';

const NETWORK = '8f3c1a52-7d5e-4b0a-9a57-1f4d3c2b6e10';

const world: World = {
  env: {},
  hostname: 'compute-1',
  links: [],
  readText: (file) => {
    throw Object.assign(new Error(`no ${file}`), { code: 'ENOENT' });
  },
};

/** A working file in which a test replaces whole sections. */
function yaml(sections: Readonly<Record<string, string>> = {}): string {
  const whole: Record<string, string> = {
    sources: '{ file: { path: bindings.yaml } }',
    announce: '{ prefixes: [203.0.113.0/24] }',
    gobgp: '{ asn: 64512, routerId: 192.0.2.1 }',
    peers: '[{ address: 192.0.2.254, asn: 64500 }]',
    ...sections,
  };
  return Object.entries(whole)
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n');
}

function load(sections: Readonly<Record<string, string>> = {}, changed: Partial<World> = {}): Config {
  return parseConfig(yaml(sections), '/etc/agent/agent.yaml', { ...world, ...changed });
}

function problems(text: string, changed: Partial<World> = {}): readonly string[] {
  try {
    parseConfig(text, 'agent.yaml', { ...world, ...changed });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the shape of routes', () => {
  const normalAndWorse = (config: Config, family: 'ipv4' | 'ipv6' = 'ipv4') => config.decision.attributes[family];

  it('prepends in the path when every peer is eBGP', () => {
    const config = load({ worse: '{ prepends: 3 }' });
    expect(normalAndWorse(config)?.normal).toMatchObject({
      asPath: [],
      nextHop: 'self',
      largeCommunities: ['4200000179:1:1'],
      communities: [],
    });
    expect(normalAndWorse(config)?.worse).toMatchObject({ asPath: [64512, 64512, 64512], localPref: 0, communities: ['65535:0'] });
    expect(config.speaker.worsePrependsByPolicy).toBe(0);
  });

  it('never prepends when every peer is iBGP', () => {
    const config = load({ peers: '[{ address: 192.0.2.254, asn: 64512 }]' });
    expect(normalAndWorse(config)?.worse).toMatchObject({ asPath: [], localPref: 0 });
    expect(config.speaker.worsePrependsByPolicy).toBe(0);
  });

  it('leaves the prepends to the export policy when there are peers of both kinds', () => {
    const config = load({ peers: '[{ address: 192.0.2.254, asn: 64512 }, { address: 192.0.2.253, asn: 64500 }]' });
    expect(normalAndWorse(config)?.worse).toMatchObject({ asPath: [] });
    expect(config.speaker.worsePrependsByPolicy).toBe(8);
  });

  it('carries communities, MED and LOCAL_PREF beside the marker', () => {
    const config = load({
      announce: '{ prefixes: [203.0.113.0/24], communities: ["64512:7"], largeCommunities: ["1:2:3"], med: 5, localPref: 200 }',
    });
    expect(normalAndWorse(config)?.normal).toMatchObject({
      communities: ['64512:7'],
      largeCommunities: ['1:2:3', '4200000179:1:1'],
      med: 5,
      localPref: 200,
    });
    expect(normalAndWorse(config)?.worse).toMatchObject({ communities: ['64512:7', '65535:0'], med: 5, localPref: 0 });
  });

  it('has no attributes for a family that no peer carries', () => {
    const config = load({
      announce: '{ prefixes: [203.0.113.0/24, 2001:db8::/32] }',
      peers: '[{ address: 192.0.2.254, asn: 64500, families: [ipv4] }]',
    });
    expect(normalAndWorse(config, 'ipv6')).toBeUndefined();
    expect(config.warnings).toEqual([expect.stringContaining('no peer carries IPv6')]);
  });

  it.each([
    ['an IPv6 address', '{ address: "2001:db8::1", asn: 64500 }'],
    ['an interface', '{ interface: eth0, asn: 64500 }'],
  ])('takes self as IPv6 next hop over %s', (_, peer) => {
    expect(normalAndWorse(load({ peers: `[${peer}]` }), 'ipv6')?.normal.nextHop).toBe('self');
  });

  it('keeps the marker first, then former ones', () => {
    const config = load({ gobgp: '{ asn: 64512, routerId: 192.0.2.1, marker: "1:2:3", formerMarkers: ["1:2:3", "4:5:6"] }' });
    expect(config.decision.markers).toEqual(['1:2:3', '4:5:6']);
    expect(config.speaker.markers).toEqual(['1:2:3', '4:5:6']);
  });
});

describe('defaults and sources of values', () => {
  it('fills in defaults and resolves paths at the folder of the file', () => {
    const config = load();
    expect(config).toMatchObject({
      host: 'compute-1',
      stateDirectory: '/var/lib/neutron-bgp-agent',
      logLevel: 'info',
      http: { host: '127.0.0.1', port: 9471 },
      operatorSocket: '/run/neutron-bgp-agent/operator.sock',
      sources: { file: { path: '/etc/agent/bindings.yaml' } },
      gobgp: { address: '127.0.0.1:50051', resyncIntervalMs: 15_000 },
      warnings: [],
    });
    expect(config.decision).toMatchObject({
      host: 'compute-1',
      routeLimit: 4096,
      graceMs: { inactive: 30_000, migration: 2_000, unconfirmed: 60_000 },
    });
    expect(config.speaker.peers[0]).toMatchObject({
      holdTimeSeconds: 9,
      gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2 },
    });
  });

  it.each([
    ['off', 'off', undefined],
    ['IPv6', '"[::1]:9000"', { host: '::1', port: 9000 }],
  ])('listens for HTTP: %s', (_, listen, expected) => {
    expect(load({ http: `{ listen: ${listen} }` }).http).toEqual(expected);
  });

  it('takes the router id from the one local IPv4 address of the peers', () => {
    const config = load({ gobgp: '{ asn: 64512 }', peers: '[{ address: 192.0.2.254, asn: 64500, localAddress: 192.0.2.7 }]' });
    expect(config.speaker.routerId).toBe('192.0.2.7');
  });

  const neutron = { sources: '{ neutron: { transportUrlFile: url } }', announce: `{ prefixes: [203.0.113.0/24], networks: [${NETWORK}] }` };

  it('reads the transport URL from a file', () => {
    const config = load(neutron, { readText: (file) => (file === '/etc/agent/url' ? 'rabbit://a:b@c\n' : '') });
    expect(config.sources.neutron).toMatchObject({
      broker: { hosts: [{ host: 'c', username: 'a', password: 'b' }] },
      resyncIntervalMs: 300_000,
      reportIntervalMs: 30_000,
    });
    expect(config.decision.networks).toEqual(new Set([NETWORK]));
  });

  it('takes external networks instead of a list, or beside it', () => {
    const external = load({ ...neutron, announce: '{ prefixes: [203.0.113.0/24], external: true }' }, { readText: () => 'rabbit://a:b@c' });
    expect(external.decision).toMatchObject({ networks: new Set(), external: true, requireActive: 'always' });
    expect(load(neutron, { readText: () => 'rabbit://a:b@c' }).decision.external).toBe(false);
  });

  it('pins the version of Port unless told to follow the OVS agent', () => {
    const versionOf = (rest: string) =>
      load({ ...neutron, sources: `{ neutron: { transportUrlFile: url${rest} } }` }, { readText: () => 'rabbit://a:b@c' }).sources.neutron
        ?.portVersion;
    expect([versionOf(''), versionOf(', portVersion: ovs-agent')]).toEqual(['pinned', 'ovs-agent']);
  });

  it('prefers the transport URL of the environment', () => {
    const config = load(neutron, { env: { NEUTRON_BGP_AGENT_TRANSPORT_URL: 'rabbit://x:y@z' } });
    expect(config.sources.neutron?.broker.hosts).toMatchObject([{ host: 'z', username: 'x', password: 'y' }]);
  });

  it('reads the MD5 password without its newline', () => {
    const config = load({ peers: '[{ address: 192.0.2.254, asn: 64500, passwordFile: /p }]' }, { readText: () => 'pass word\n' });
    expect(config.speaker.peers[0]?.password).toBe('pass word');
  });

  it('attached mode takes no peers and an explicit next hop', () => {
    const config = load({
      gobgp: '{ asn: 64512, mode: attached }',
      peers: '[]',
      announce: '{ prefixes: [203.0.113.0/24], nextHop: { ipv4: self } }',
    });
    expect(config.decision.attributes.ipv4?.worse.asPath).toHaveLength(8);
    expect(config.decision.attributes.ipv6).toBeUndefined();
    expect(config.warnings).toEqual([expect.stringContaining('attached')]);
  });
});

describe('problems', () => {
  it('tells several at once, each with its place', () => {
    const text = ['sources: { file: {} }', 'announce:', '  prefixes: [203.0.113.1/24]', 'gobgp:', '  asn: 0', '  router_id: 1.2.3.4'].join(
      '\n',
    );
    expect(problems(text)).toEqual([
      'agent.yaml:1:12: sources.file.path: is missing',
      'agent.yaml:3:14: announce.prefixes[0]: "203.0.113.1/24" is no prefix: its host bits are not zero',
      'agent.yaml:5:3: gobgp.asn: must be at least 1',
      'agent.yaml:6:3: gobgp.router_id: unknown key; did you mean routerId?',
    ]);
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['no source', { sources: '{}' }, /sources: names no source/],
    [
      'Neutron without networks',
      { sources: '{ neutron: { transportUrl: "rabbit://a" } }' },
      /announce\.networks: is missing.*tenants choose/,
    ],
    [
      'external networks beside any network',
      { announce: '{ prefixes: [203.0.113.0/24], networks: "*", external: true }' },
      /announce\.external: stands beside networks: "\*"/,
    ],
    [
      'a version of Port by number, which might be above the server',
      { sources: '{ neutron: { transportUrl: "rabbit://a", portVersion: "1.11" } }' },
      /portVersion/,
    ],
    [
      "a network's name instead of its id",
      { announce: '{ prefixes: [203.0.113.0/24], networks: [public] }' },
      /networks\[0\]: "public" is no network id/,
    ],
    ['no prefix', { announce: '{ prefixes: [] }' }, /announce\.prefixes: must not be empty/],
    ['the default route', { announce: '{ prefixes: [0.0.0.0/0] }' }, /0\.0\.0\.0\/0 meets/],
    ['the IPv6 default route', { announce: '{ prefixes: ["::/0"] }' }, /::\/0 meets/],
    ['loopback', { announce: '{ prefixes: [127.1.0.0/16] }' }, /loopback/],
    ['multicast', { announce: '{ prefixes: [ff02::/16] }' }, /multicast/],
    ['link-local', { announce: '{ prefixes: [fe80::/64] }' }, /link-local/],
    ['a mapped prefix', { announce: '{ prefixes: ["::ffff:192.0.2.0/120"] }' }, /mapped/],
    ['GRACEFUL_SHUTDOWN on every route', { announce: '{ prefixes: [203.0.113.0/24], communities: ["65535:0"] }' }, /GRACEFUL_SHUTDOWN/],
    ['a community out of range', { announce: '{ prefixes: [203.0.113.0/24], communities: ["65536:1"] }' }, /is no community/],
    ['IPv6 prefixes over an IPv4 session', { announce: '{ prefixes: [2001:db8::/32] }' }, /announce\.nextHop\.ipv6: .*192\.0\.2\.254/],
    [
      'self as IPv6 next hop over an IPv4 session',
      { announce: '{ prefixes: [203.0.113.0/24], nextHop: { ipv6: self } }' },
      /announce\.nextHop\.ipv6/,
    ],
    ['no router id', { gobgp: '{ asn: 64512 }' }, /routerId: is missing.*never guessed/],
    ['an ASN out of range', { gobgp: '{ asn: 4294967296, routerId: 192.0.2.1 }' }, /gobgp\.asn: must be at most 4294967295/],
    ['no peer', { peers: '[]' }, /peers: names no router/],
    [
      'a peer twice',
      { peers: '[{ address: 192.0.2.1, asn: 1 }, { address: 192.0.2.1, asn: 2 }]' },
      /peers\[1\]: 192\.0\.2\.1 stands here twice/,
    ],
    ['a peer without address', { peers: '[{ asn: 1 }]' }, /peers\[0\]: needs an address/],
    [
      'restart time above 12 bits',
      { peers: '[{ address: 192.0.2.1, asn: 1, gracefulRestart: { restartTimeSeconds: 4096 } }]' },
      /at most 4095/,
    ],
    ['a hold time below 3', { peers: '[{ address: 192.0.2.1, asn: 1, holdTimeSeconds: 2 }]' }, /holdTimeSeconds: must be at least 3/],
    ['keepalive not below hold', { peers: '[{ address: 192.0.2.1, asn: 1, keepaliveSeconds: 9 }]' }, /keepaliveSeconds: must be below/],
    ['GTSM and multihop', { peers: '[{ address: 192.0.2.1, asn: 1, multihopTtl: 3, ttlSecurityMin: 255 }]' }, /ttlSecurityMin: excludes/],
    [
      'a missing password file',
      { peers: '[{ address: 192.0.2.1, asn: 1, passwordFile: none }]' },
      /passwordFile: cannot read .*none: ENOENT/,
    ],
    [
      'peers in attached mode',
      { gobgp: '{ asn: 1, mode: attached }', announce: '{ prefixes: [203.0.113.0/24], nextHop: { ipv4: self } }' },
      /peers: must be empty/,
    ],
    ['attached mode without next hop', { gobgp: '{ asn: 1, mode: attached }', peers: '[]' }, /nextHop\.ipv4: must be written/],
    [
      'passive without a listener',
      { gobgp: '{ asn: 1, routerId: 192.0.2.1, listenPort: -1 }', peers: '[{ address: 192.0.2.1, asn: 2, passive: true }]' },
      /passive: cannot be/,
    ],
    ['an empty section', { log: '' }, /log: has no value/],
    ['a word that is none of the known ones', { log: '{ level: verbose }' }, /log\.level: must be one of debug, info, warn, error/],
    [
      'an address that YAML reads as a section',
      { gobgp: '{ asn: 1, routerId: 192.0.2.1, listenAddresses: [2001:db8::] }' },
      /needs quotes/,
    ],
  ])('%s', (_, sections, expected) => {
    const told = problems(yaml(sections));
    expect(told.join('\n')).toMatch(expected);
    for (const line of told) expect(line).toMatch(/^agent\.yaml:\d+:\d+: /);
  });

  it.each([
    ['an empty password file', '\n', /is empty/],
    ['a password of several lines', 'hunter2\nhunter3\n', /more than one line/],
    ['a password that is too long for TCP MD5', 'hunter2'.repeat(12), /more than 80 bytes/],
  ])('%s, without showing it', (_, text, expected) => {
    const told = problems(yaml({ peers: '[{ address: 192.0.2.1, asn: 1, passwordFile: p }]' }), { readText: () => text }).join('\n');
    expect(told).toMatch(expected);
    expect(told).not.toContain('hunter');
  });

  it.each([
    ['a syntax error beside it', 'sources: { neutron: { transportUrl: "rabbit://u:hunter2@h" }\nannounce: [', /not YAML/],
    ['a wrong beginning', yaml({ sources: '{ neutron: { transportUrl: "hunter2" } }' }), /must begin with rabbit/],
    ['a wrong type', yaml({ sources: '{ neutron: { transportUrl: [hunter2] } }' }), /transportUrl: must be a text/],
  ])('never shows a secret: %s', (_, text, expected) => {
    const told = problems(text).join('\n');
    expect(told).toMatch(expected);
    expect(told).not.toContain('hunter2');
  });

  it.each([
    ['a key twice', 'log: { level: info }\nlog: { level: warn }', /agent\.yaml:2:1: this key stands here twice/],
    ['an alias without anchor', `${yaml()}\nhost: *nobody`, /alias/],
    ['nothing at all', '', /sources: is missing/],
    ['a text', 'hello', /must be a section/],
    ['endless nesting', '['.repeat(200_000), /agent\.yaml:\d+:\d+: /],
    [
      'aliases that explode',
      `a: &a [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 8 }, (_, i) => `${'bcdefghi'[i]}: &${'bcdefghi'[i]} [${`*${'abcdefgh'[i]},`.repeat(10)}]`).join('\n')}`,
      /agent\.yaml/,
    ],
  ])('is told of %s', (_, text, expected) => {
    expect(problems(text).join('\n')).toMatch(expected);
  });
});

describe('warnings', () => {
  const peer = (settings: string): Readonly<Record<string, string>> => ({ peers: `[{ address: 192.0.2.254, asn: 64500, ${settings} }]` });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    [
      'any network',
      { sources: '{ neutron: { transportUrl: "rabbit://a" } }', announce: '{ prefixes: [203.0.113.0/24], networks: "*" }' },
      /networks is "\*"/,
    ],
    [
      'a port that need not be ACTIVE',
      { announce: '{ prefixes: [203.0.113.0/24], requireActive: never }' },
      /requireActive is never: a stopped instance keeps its route/,
    ],
    ['a long restart time', peer('gracefulRestart: { restartTimeSeconds: 61 }'), /restartTimeSeconds is 61/],
    ['BFD beside graceful restart', peer('bfd: { multiplier: 5 }'), /bfd stands beside gracefulRestart/],
    ['a long deferral', peer('gracefulRestart: { deferralTimeSeconds: 6 }'), /deferralTimeSeconds is 6/],
    ['a short hold time', peer('holdTimeSeconds: 6, keepaliveSeconds: 2'), /holdTimeSeconds is 6/],
    ['a sparse keepalive', peer('keepaliveSeconds: 5'), /keepaliveSeconds is 5/],
    ['more routes than the default', { limits: '{ routes: 5000 }' }, /maximum-prefix/],
    ['HTTP for everybody', { http: '{ listen: 0.0.0.0:9471 }' }, /http\.listen/],
    ['a useless denied prefix', { announce: '{ prefixes: [203.0.113.0/24], deniedPrefixes: [192.0.2.0/24] }' }, /denies nothing/],
    ['a remote API without TLS', { gobgp: '{ asn: 1, routerId: 192.0.2.1, address: "192.0.2.9:50051" }' }, /gobgp\.tls/],
  ])('%s', (_, sections, expected) => {
    const { warnings } = load(sections);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(expected);
  });

  it('warns of a next hop in the link of one of several peers', () => {
    const sections = {
      announce: '{ prefixes: [203.0.113.0/24], nextHop: { ipv4: 192.0.2.1 } }',
      peers: '[{ address: 192.0.2.254, asn: 64500 }, { address: 198.51.100.254, asn: 64500 }]',
    };
    expect(load(sections, { links: ['192.0.2.1/24', '198.51.100.1/24'] }).warnings).toEqual([
      expect.stringMatching(/link of 192\.0\.2\.254 only/),
    ]);
    expect(load(sections, { links: ['192.0.2.1/32'] }).warnings).toEqual([]);
  });
});
