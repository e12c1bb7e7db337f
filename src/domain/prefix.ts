/** IP prefixes in canonical text (RFC 4632, RFC 5952). A `Prefix` can only be made by the functions here, so it is always valid. */
import { BlockList, isIP, SocketAddress } from 'node:net';

export type Family = 'ipv4' | 'ipv6';

declare const canonical: unique symbol;

/** Canonical text of an IP prefix without host bits: `203.0.113.10/32`, `2001:db8::/32`. */
export type Prefix = string & { readonly [canonical]: true };

const ADDRESS_BITS = { ipv4: 32, ipv6: 128 } as const;

/**
 * The canonical text of one address (RFC 5952 for IPv6), or undefined when it is none.
 * Zone ids and IPv4-mapped IPv6 addresses are none: neither can be a route.
 */
export function canonicalAddress(text: string): { address: string; family: Family } | undefined {
  const version = isIP(text);
  if (version === 4) return { address: text, family: 'ipv4' };
  if (version !== 6 || text.includes('%')) return undefined;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  return address.startsWith('::ffff:') && address.includes('.') ? undefined : { address, family: 'ipv6' };
}

/** The host route of an address: /32 or /128. Accepts `A`, `A/32` and `A/128`; undefined for all else. */
export function hostPrefix(text: string): Prefix | undefined {
  const [addressText = '', lengthText, ...rest] = text.split('/');
  const parsed = canonicalAddress(addressText);
  if (parsed === undefined || rest.length > 0) return undefined;
  const bits = ADDRESS_BITS[parsed.family];
  if (lengthText !== undefined && lengthText !== String(bits)) return undefined;
  return `${parsed.address}/${bits}` as Prefix;
}

/** A prefix of any length; undefined when the text is no prefix or has host bits. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const parsed = match?.[1] === undefined ? undefined : canonicalAddress(match[1]);
  if (parsed === undefined) return undefined;
  const length = Number(match?.[2]);
  if (length > ADDRESS_BITS[parsed.family] || hasHostBits(parsed.address, parsed.family, length)) return undefined;
  return `${parsed.address}/${length}` as Prefix;
}

export function familyOf(prefix: Prefix): Family {
  return prefix.includes(':') ? 'ipv6' : 'ipv4';
}

/** The address part: `203.0.113.10` of `203.0.113.10/32`. */
export function addressOf(prefix: Prefix): string {
  return prefix.slice(0, prefix.lastIndexOf('/'));
}

/** The length part: 32 of `203.0.113.10/32`. */
export function lengthOf(prefix: Prefix): number {
  return Number(prefix.slice(prefix.lastIndexOf('/') + 1));
}

export function isHostPrefix(prefix: Prefix): boolean {
  return lengthOf(prefix) === ADDRESS_BITS[familyOf(prefix)];
}

/** Which host routes lie inside any of some prefixes. */
export type PrefixSet = { readonly prefixes: readonly Prefix[]; readonly covers: (host: Prefix) => boolean };

export function prefixSet(prefixes: readonly Prefix[]): PrefixSet {
  const ranges = prefixes.filter((prefix) => familyOf(prefix) === 'ipv4').map(ipv4Range);
  // A BlockList takes IPv4 for IPv4-mapped IPv6, which `::/0` would cover: it is asked for IPv6 only.
  const blocks = new BlockList();
  for (const prefix of prefixes) if (familyOf(prefix) === 'ipv6') blocks.addSubnet(addressOf(prefix), lengthOf(prefix), 'ipv6');
  const covers = (host: Prefix): boolean => {
    if (familyOf(host) === 'ipv6') return blocks.check(addressOf(host), 'ipv6');
    if (ranges.length === 0) return false;
    const address = ipv4Number(host);
    return ranges.some(([first, last]) => first <= address && address <= last);
  };
  return { prefixes, covers };
}

/** The first and last address of an IPv4 prefix, as numbers. */
function ipv4Range(prefix: Prefix): readonly [number, number] {
  const first = ipv4Number(prefix);
  return [first, first + 2 ** (32 - lengthOf(prefix)) - 1];
}

/** The address of an IPv4 prefix as a number. Read digit by digit: every route is asked for this several times. */
function ipv4Number(prefix: Prefix): number {
  let [sum, octet] = [0, 0];
  for (let at = 0; at < prefix.length; at++) {
    const code = prefix.charCodeAt(at);
    if (code === 0x2f) break;
    if (code === 0x2e) [sum, octet] = [sum * 256 + octet, 0];
    else octet = octet * 10 + code - 0x30;
  }
  return sum * 256 + octet;
}

function hasHostBits(address: string, family: Family, length: number): boolean {
  const bits = ADDRESS_BITS[family];
  const hostBits = BigInt(bits - length);
  return (addressBits(address, family) & ((1n << hostBits) - 1n)) !== 0n;
}

function addressBits(address: string, family: Family): bigint {
  if (family === 'ipv4') return address.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n);
  const [head = '', tail] = address.split('::');
  const groups = (part: string): bigint[] =>
    part === '' ? [] : part.split(':').flatMap((group) => (group.includes('.') ? dotted(group) : [BigInt(`0x${group}`)]));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0n);
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | group, 0n);
}

/** The two 16-bit groups of an IPv6 address that ends in dotted decimals. */
function dotted(text: string): bigint[] {
  const bits = addressBits(text, 'ipv4');
  return [bits >> 16n, bits & 0xffffn];
}
