/**
 * What we never send. GoBGP 3 checks almost nothing: it sends `/33` to its peers, who answer with NOTIFICATION, and
 * announces 0.0.0.0/32 for `300.0.2.41/32`. Types do not protect callers in JavaScript, so everything is looked at here.
 */
import { isIP } from 'node:net';
import { canonicalAddress, hostPrefix, parsePrefix } from '../domain/prefix.ts';
import type { Operation } from '../domain/plan.ts';
import type { PathAttributes } from '../domain/route.ts';
import { type PeerSettings, peerName, type SpeakerSettings } from '../domain/settings.ts';
import { AgentError } from '../lib/errors.ts';

const UINT16 = 0xffff;
const UINT32 = 0xffff_ffff;
/** restart_time has 12 bits (RFC 4724 section 3); GoBGP wraps larger values silently. */
const LONGEST_RESTART_SECONDS = 4_095;
/** RFC 9494 section 3.1. */
const LONGEST_LONG_LIVED_SECONDS = 0xff_ffff;
const LONGEST_MD5_PASSWORD = 80;

/** What is wrong with an operation; undefined when it may be sent. Attribute sets are looked at once. */
export type OperationCheck = (operation: Operation) => string | undefined;

export function operationCheck(): OperationCheck {
  const good = new WeakSet<PathAttributes>();
  return (operation) => {
    const prefix = operation.kind === 'advertise' ? operation.route.prefix : operation.prefix;
    if (!isPrefix(prefix)) return `${String(prefix)} is no prefix in canonical form`;
    if (operation.kind === 'withdraw') return undefined;
    const { attributes } = operation.route;
    if (!good.has(attributes)) {
      const problem = attributesProblem(attributes);
      if (problem !== undefined) return problem;
      good.add(attributes);
    }
    return prefix.includes(':') && attributes.nextHop !== 'self' && !attributes.nextHop.includes(':')
      ? `an IPv6 route cannot have the next hop ${attributes.nextHop}`
      : undefined;
  };
}

function isPrefix(text: unknown): boolean {
  return typeof text === 'string' && (hostPrefix(text) ?? parsePrefix(text)) === text;
}

function attributesProblem(attributes: PathAttributes): string | undefined {
  const { origin, asPath, nextHop, med, localPref, communities, largeCommunities, others } = attributes;
  if (!['igp', 'egp', 'incomplete'].includes(origin)) return `origin ${origin} does not exist`;
  if (asPath.length > 255 || !asPath.every((asn) => isUint(asn, UINT32) && asn > 0)) return `AS_PATH ${asPath.join(' ')} cannot be sent`;
  if (nextHop !== 'self' && !isNextHop(nextHop)) return `${nextHop} is no next hop`;
  if (med !== undefined && !isUint(med, UINT32)) return `MED ${med} is out of range`;
  if (localPref !== undefined && !isUint(localPref, UINT32)) return `LOCAL_PREF ${localPref} is out of range`;
  const badCommunity = communities.find((text) => !isTuple(text, 2, UINT16)) ?? largeCommunities.find((text) => !isTuple(text, 3, UINT32));
  if (badCommunity !== undefined) return `${badCommunity} is no community`;
  return others.length > 0 ? `the attributes ${others.join(', ')} cannot be sent` : undefined;
}

function isNextHop(text: string): boolean {
  return canonicalAddress(text)?.address === text && text !== '0.0.0.0' && text !== '::';
}

function isUint(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function isTuple(text: string, parts: number, max: number): boolean {
  const numbers = text.split(':');
  return numbers.length === parts && numbers.every((number) => /^(0|[1-9]\d{0,9})$/.test(number) && Number(number) <= max);
}

/** @throws a terminal `AgentError` that names what is wrong, never the password */
export function checkGlobal({
  asn,
  routerId,
  listenPort,
  listenAddresses,
}: Pick<SpeakerSettings, 'asn' | 'routerId' | 'listenPort' | 'listenAddresses'>): void {
  const must = requirement('the BGP speaker');
  must(isUint(asn, UINT32) && asn > 0, `ASN ${asn} is out of range`);
  must(isIP(routerId) === 4 && routerId !== '0.0.0.0', `router id ${routerId} is not dotted or 0.0.0.0`);
  must(listenPort === -1 || (isUint(listenPort, UINT16) && listenPort > 0), `listen port ${listenPort} is neither a port nor -1`);
  for (const address of listenAddresses) must(isIP(address) !== 0, `listen address ${address} is none`);
}

/** @throws a terminal `AgentError` that names the peer and what is wrong, never the password */
export function checkPeer(peer: PeerSettings): void {
  const must = requirement(`peer ${peerName(peer)}`);
  const isIn = (value: number, min: number, max: number): boolean => isUint(value, max) && value >= min;
  const optional = (value: number | undefined, min: number, max: number): boolean => value === undefined || isIn(value, min, max);
  if ('address' in peer.neighbor) must(isIP(peer.neighbor.address) !== 0, 'its address is none');
  else must(/^[^\s/%]{1,15}$/.test(peer.neighbor.interface), 'its interface cannot exist');
  must(isIn(peer.asn, 1, UINT32), `ASN ${peer.asn} is out of range`);
  must(peer.localAddress === undefined || isIP(peer.localAddress) !== 0, `local address ${peer.localAddress} is none`);
  must(optional(peer.remotePort, 1, UINT16), `remote port ${peer.remotePort} is out of range`);
  must(optional(peer.multihopTtl, 1, 255), `multihop TTL ${peer.multihopTtl} is out of range`);
  must(optional(peer.ttlSecurityMin, 1, 255), `TTL security ${peer.ttlSecurityMin} is out of range`);
  must(peer.multihopTtl === undefined || peer.ttlSecurityMin === undefined, 'multihop and TTL security exclude each other');
  must(isIn(peer.holdTimeSeconds, 3, UINT16), `hold time ${peer.holdTimeSeconds} s is out of range`);
  must(isIn(peer.keepaliveSeconds, 1, peer.holdTimeSeconds), `keepalive ${peer.keepaliveSeconds} s is not within the hold time`);
  must(isIn(peer.connectRetrySeconds, 1, UINT16), `connect retry ${peer.connectRetrySeconds} s is out of range`);
  must(peer.families.length > 0, 'it has no address family');
  const { password } = peer;
  must(
    password === undefined || (password.length > 0 && Buffer.byteLength(password) <= LONGEST_MD5_PASSWORD),
    'its password is empty or longer than 80 bytes',
  );
  if (peer.bfd !== undefined) {
    const { transmitIntervalMs, receiveIntervalMs, multiplier } = peer.bfd;
    must(isIn(transmitIntervalMs, 10, 60_000), `BFD interval ${transmitIntervalMs} ms is not within 10 to 60000`);
    must(isIn(receiveIntervalMs, 10, 60_000), `BFD interval ${receiveIntervalMs} ms is not within 10 to 60000`);
    must(isIn(multiplier, 1, 255), `BFD multiplier ${multiplier} is not within 1 to 255`);
    must(peer.multihopTtl === undefined, 'BFD and multihop exclude each other: GoBGP has BFD for a single hop');
  }
  if (peer.gracefulRestart === undefined) return;
  const { restartTimeSeconds, deferralTimeSeconds, longLivedSeconds } = peer.gracefulRestart;
  must(isIn(restartTimeSeconds, 1, LONGEST_RESTART_SECONDS), `restart time ${restartTimeSeconds} s is not within 1 to 4095`);
  must(isIn(deferralTimeSeconds, 1, UINT16), `deferral time ${deferralTimeSeconds} s is out of range`);
  must(optional(longLivedSeconds, 1, LONGEST_LONG_LIVED_SECONDS), `long-lived time ${longLivedSeconds} s is out of range`);
}

function requirement(subject: string): (holds: boolean, problem: string) => void {
  return (holds, problem) => {
    if (!holds) throw new AgentError('invalid-settings', 'terminal', `${subject}: ${problem}`);
  };
}
