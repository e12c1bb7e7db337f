/** Settings of a speaker for the lab, with the product's defaults where a test does not care. */
import { type Prefix, parsePrefix } from '../../src/domain/prefix.ts';
import type { PeerSettings, SpeakerSettings } from '../../src/domain/settings.ts';
import type { Gobgpd } from './gobgpd.ts';

export const LAB_ASN = 64512;
export const LAB_MARKER = '4200000179:1:1';

/** The documentation prefixes (RFC 5737, RFC 3849), and room for many routes. */
const LAB_PREFIXES: readonly Prefix[] = ['203.0.113.0/24', '198.51.100.0/24', '10.0.0.0/8', '2001:db8::/32'].map(prefixOf);

/** A router of the lab as a peer of that gobgpd. */
export function labPeer(
  gobgpd: Gobgpd,
  router: { host?: string; address?: string; port: number; asn: number },
  more: Partial<PeerSettings> = {},
): PeerSettings {
  return {
    neighbor: { address: router.address ?? router.host ?? '' },
    asn: router.asn,
    localAddress: gobgpd.host,
    remotePort: router.port,
    passive: false,
    holdTimeSeconds: 9,
    keepaliveSeconds: 3,
    connectRetrySeconds: 1,
    families: ['ipv4', 'ipv6'],
    gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2 },
    ...more,
  };
}

export function labSpeaker(gobgpd: Gobgpd, more: Partial<SpeakerSettings> = {}): SpeakerSettings {
  return {
    mode: 'managed',
    asn: LAB_ASN,
    routerId: gobgpd.host,
    listenPort: gobgpd.listenPort,
    listenAddresses: [gobgpd.host],
    markers: [LAB_MARKER],
    prefixes: LAB_PREFIXES,
    worsePrependsByPolicy: 0,
    peers: [],
    ...more,
  };
}

/** A prefix that is written in a test, so it is one. */
export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`);
  if (prefix === undefined) throw new Error(`${text} is no prefix`);
  return prefix;
}
