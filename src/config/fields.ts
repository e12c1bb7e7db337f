/** The scalars of the config file: text in, canonical value or a message out. None of them is a secret, so messages show them. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { canonicalAddress, familyOf, lengthOf, type Prefix, parsePrefix, prefixSet } from '../domain/prefix.ts';
import { GRACEFUL_SHUTDOWN } from '../domain/route.ts';
import type { ListenAddress } from './config-file.ts';

/** Ranges that hold no address of an instance (RFC 6890, RFC 4291); a prefix that meets one is a mistake. */
const NEVER_ANNOUNCED = [
  ['0.0.0.0/8', 'this network'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
  ['::/127', 'unspecified and loopback'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
].map(([text = '', what = '']) => ({ prefix: parsePrefix(text) as Prefix, what }));

/** NO_ADVERTISE (RFC 1997): a route with it goes to no peer at all. */
const NO_ADVERTISE = '65535:65282';

const UINT32 = 4_294_967_295;

/** Instead of a value: what is wrong with the text. */
class Wrong {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** A text that `parse` turns into a value, or says what is wrong with it. */
function parsedText<T>(parse: (text: string) => T | Wrong): z.ZodType<T> {
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (!(value instanceof Wrong)) return value;
    context.issues.push({ code: 'custom', message: value.message, input: text });
    return z.NEVER;
  });
}

export const prefixField: z.ZodType<Prefix> = parsedText((text) => {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return new Wrong(`${shown(text)} is no prefix${prefixHint(text)}`);
  return prefix;
});

/** A prefix whose addresses may belong to instances. */
export const announcedPrefixField: z.ZodType<Prefix> = parsedText((text) => {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return new Wrong(`${shown(text)} is no prefix${prefixHint(text)}`);
  const met = NEVER_ANNOUNCED.find((never) => contains(never.prefix, prefix) || contains(prefix, never.prefix));
  return met === undefined ? prefix : new Wrong(`${prefix} meets ${met.prefix} (${met.what}), which is never announced`);
});

export const addressField: z.ZodType<string> = parsedText(
  (text) => canonicalAddress(text)?.address ?? new Wrong(`${shown(text)} is no IP address`),
);

export const nextHopField = (family: 'ipv4' | 'ipv6'): z.ZodType<string> =>
  parsedText((text) => {
    if (text === 'self') return text;
    const parsed = canonicalAddress(text);
    if (parsed?.family !== family) return new Wrong(`${shown(text)} is neither self nor an ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`);
    if (['0.0.0.0', '::'].includes(parsed.address)) return new Wrong('write self instead of the unspecified address');
    return parsed.address;
  });

export const routerIdField: z.ZodType<string> = parsedText((text) =>
  isIP(text) === 4 && text !== '0.0.0.0' ? text : new Wrong(`${shown(text)} is no router id: four numbers with dots, not 0.0.0.0`),
);

/** RFC 1997: two 16-bit numbers. */
export const communityField: z.ZodType<string> = parsedText((text) => {
  const canonical = numbers(text, [65_535, 65_535]);
  if (canonical === undefined) return new Wrong(`${shown(text)} is no community: ASN:VALUE, each 0 to 65535`);
  if (canonical === GRACEFUL_SHUTDOWN) return new Wrong(`${canonical} is GRACEFUL_SHUTDOWN, which marks routes in the worse shape`);
  if (canonical === NO_ADVERTISE) return new Wrong(`${canonical} is NO_ADVERTISE: nothing would reach any peer`);
  return canonical;
});

/** RFC 8092: three 32-bit numbers. */
export const largeCommunityField: z.ZodType<string> = parsedText(
  (text) =>
    numbers(text, [UINT32, UINT32, UINT32]) ?? new Wrong(`${shown(text)} is no large community: ASN:VALUE:VALUE, each 0 to ${UINT32}`),
);

/** `127.0.0.1:9471`, `[::1]:9471`. */
export const listenField: z.ZodType<ListenAddress> = parsedText((text) => {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const parsed = canonicalAddress(match?.[1] ?? match?.[2] ?? '');
  const port = Number(match?.[3]);
  if (parsed === undefined || !(port <= 65_535))
    return new Wrong(`${shown(text)} is not ADDRESS:PORT, such as 127.0.0.1:9471 or [::1]:9471`);
  return { host: parsed.address, port };
});

/** Where gobgpd's API listens: `127.0.0.1:50051` or `unix:///run/gobgp/api.sock`. */
export const gobgpAddressField: z.ZodType<string> = parsedText((text) => {
  if (/^unix:\/\/\/.+/.test(text)) return text;
  const match = /^(\[[0-9a-fA-F:]+\]|[^\s/:[\]]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return port > 0 && port <= 65_535 ? text : new Wrong(`${shown(text)} is neither HOST:PORT nor unix:///PATH`);
});

/** Neutron's ids are UUIDs; a name is the usual mistake. */
export const networkIdField: z.ZodType<string> = parsedText((text) =>
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
    ? text.toLowerCase()
    : new Wrong(`${shown(text)} is no network id (a UUID, see \`openstack network show -c id NAME\`)`),
);

export const asnField: z.ZodType<number> = z.int().min(1).max(UINT32);
export const uint32Field: z.ZodType<number> = z.int().min(0).max(UINT32);
export const portField: z.ZodType<number> = z.int().min(1).max(65_535);

/** Whether every address of `inner` is in `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  return familyOf(outer) === familyOf(inner) && lengthOf(outer) <= lengthOf(inner) && prefixSet([outer]).covers(inner);
}

function prefixHint(text: string): string {
  if (/^::ffff:/i.test(text)) return ': IPv4 addresses mapped into IPv6 are no routes';
  if (canonicalAddress(text) !== undefined) return `; one address is ${text}/${text.includes(':') ? 128 : 32}`;
  const [address = '', length = ''] = text.split('/');
  if (canonicalAddress(address) !== undefined && Number(length) <= (address.includes(':') ? 128 : 32))
    return `: its host bits are not zero`;
  return ', such as 203.0.113.0/24';
}

/** `A:B` with each number in its range, without leading zeros. */
function numbers(text: string, ranges: readonly number[]): string | undefined {
  const parts = text.split(':');
  const fits =
    parts.length === ranges.length && parts.every((part, index) => /^\d{1,10}$/.test(part) && Number(part) <= (ranges[index] ?? 0));
  return fits ? parts.map(Number).join(':') : undefined;
}

/** What the file says, without control characters and not endless. */
function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
