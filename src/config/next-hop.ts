/** Which next hop the routes of a family get, or why they get none (docs/design.md parts 5 and 7). */
import type { Problem } from '../lib/checked-yaml.ts';
import { type Family, familyOf } from '../domain/prefix.ts';
import type { ConfigFile, PeerSection } from './config-file.ts';

export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** `hop` is undefined where no route of the family can be announced. */
export type NextHop = { readonly hop: string | undefined; readonly problems: readonly Problem[] };

export function nextHopOf(file: ConfigFile, family: Family): NextHop {
  const configured = file.announce.nextHop[family];
  const hasPrefixes = file.announce.prefixes.some((prefix) => familyOf(prefix) === family);
  if (file.gobgp.mode === 'attached') return attachedNextHop(configured, family, hasPrefixes);

  const carriers = peersWith(file, family);
  if (carriers.length === 0) return { hop: undefined, problems: [] };
  if (configured !== undefined && configured !== 'self') return { hop: configured, problems: [] };
  const unfit = family === 'ipv6' ? carriers.filter((peer) => !isOverIpv6(peer)) : [];
  if (unfit.length === 0) return { hop: 'self', problems: [] };
  if (configured === undefined && !hasPrefixes) return { hop: undefined, problems: [] };
  const message =
    `IPv6 routes need the IPv6 address that is their next hop: ${unfit.map(nameOf).join(', ')} would carry IPv6 over an IPv4 session, ` +
    `where "self" is no usable next hop. Write announce.nextHop.ipv6, or leave ipv6 out of the families of ${unfit.length === 1 ? 'that peer' : 'those peers'}`;
  return { hop: undefined, problems: [{ path: ['announce', 'nextHop', 'ipv6'], message }] };
}

function attachedNextHop(configured: string | undefined, family: Family, hasPrefixes: boolean): NextHop {
  if (configured !== undefined || !hasPrefixes) return { hop: configured, problems: [] };
  const message =
    'must be written in attached mode, because the peers are not known here: an address, or self if every session is over this family';
  return { hop: undefined, problems: [{ path: ['announce', 'nextHop', family], message }] };
}

/** The peers that carry a family. */
export function peersWith(file: ConfigFile, family: Family): readonly PeerSection[] {
  return file.peers.filter(({ families }) => families.includes(family));
}

function isOverIpv6(peer: PeerSection): boolean {
  return peer.interface !== undefined || (peer.address?.includes(':') ?? false);
}

/** A peer's address or interface. */
export function nameOf(peer: PeerSection): string {
  return peer.address ?? peer.interface ?? '(peer)';
}

export function isInternal(file: ConfigFile, peer: PeerSection): boolean {
  return peer.asn === file.gobgp.asn;
}
