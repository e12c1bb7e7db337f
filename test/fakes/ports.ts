/** Builders of the values that most tests start from: a port that is announced, and the settings that announce it. */
import type { Claim } from '../../src/domain/decision.ts';
import type { HostBinding, PortBinding } from '../../src/domain/port-binding.ts';
import { hostPrefix, type Prefix, parsePrefix, prefixSet } from '../../src/domain/prefix.ts';
import { GRACEFUL_SHUTDOWN, pathAttributes, type Route, type Shape } from '../../src/domain/route.ts';
import type { DecisionSettings, SpeakerSettings } from '../../src/domain/settings.ts';

export const MARKER = '4200000179:1:1';
export const PUBLIC_NETWORK = 'net-public';

export function host(address: string): Prefix {
  const prefix = hostPrefix(address);
  if (prefix === undefined) throw new Error(`not an address: ${address}`);
  return prefix;
}

function prefixes(...texts: string[]): Prefix[] {
  return texts.map((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new Error(`not a prefix: ${text}`);
    return prefix;
  });
}

export function binding(change: Partial<HostBinding> = {}): HostBinding {
  return { host: 'hv1', status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal', ...change };
}

/** An instance's port on hv1 that passes every check. */
export function port(change: Partial<PortBinding> = {}): PortBinding {
  return {
    portId: 'port-1',
    revisionNumber: 4,
    updatedAt: '2026-01-15T10:00:07Z',
    status: 'ACTIVE',
    adminStateUp: true,
    deviceOwner: 'compute:nova',
    networkId: PUBLIC_NETWORK,
    fixedIps: ['203.0.113.10'],
    allowedAddressPairs: [],
    bindings: [binding()],
    ...change,
  };
}

export function claim(change: Partial<PortBinding> = {}, rest: Partial<Claim> = {}): Claim {
  return { source: 'neutron', state: 'present', port: port(change), holds: true, ...rest };
}

const attributes = {
  normal: pathAttributes({ largeCommunities: [MARKER] }),
  worse: pathAttributes({ largeCommunities: [MARKER], communities: [GRACEFUL_SHUTDOWN], localPref: 0, asPath: [64512, 64512] }),
};

export function settings(change: Partial<DecisionSettings> = {}): DecisionSettings {
  return {
    host: 'hv1',
    networks: new Set([PUBLIC_NETWORK]),
    external: false,
    anyNetworkSources: new Set(['file']),
    allowedAddressPairs: false,
    deviceOwners: ['compute:*'],
    vnicTypes: new Set(['normal', 'direct']),
    requireActive: 'always',
    prefixes: prefixSet(prefixes('203.0.113.0/24', '2001:db8::/64')),
    deniedPrefixes: prefixSet(prefixes('203.0.113.128/25')),
    routeLimit: 100,
    graceMs: { inactive: 30_000, migration: 2_000, unconfirmed: 60_000, unmentioned: 60_000 },
    mode: 'managed',
    attributes: { ipv4: attributes, ipv6: attributes },
    markers: [MARKER],
    ...change,
  };
}

export const speakerSettings: SpeakerSettings = {
  mode: 'managed',
  asn: 64512,
  routerId: '127.0.0.1',
  listenPort: 1790,
  listenAddresses: ['127.0.0.1'],
  markers: [MARKER],
  prefixes: prefixes('203.0.113.0/24', '2001:db8::/64'),
  worsePrependsByPolicy: 0,
  peers: [],
};

export function route(address: string, shape: Shape = 'normal'): Route {
  return { prefix: host(address), attributes: attributes[shape] };
}

/** A path that somebody else put into GoBGP. */
export function foreignRoute(address: string): Route {
  return { prefix: host(address), attributes: pathAttributes({ nextHop: '198.18.0.9' }) };
}
