/** A peer's settings as GoBGP's Peer message and back: what is sent, what is compared, what is shown. */
import type { PeerStatus, SessionState } from '../core/ports.ts';
import { canonicalAddress, type Family } from '../domain/prefix.ts';
import type { PeerSettings } from '../domain/settings.ts';
import { FAMILIES, familyFromWire, type WirePeer, type WireSessionState } from './wire.ts';

export type ListedPeer = {
  /** Its interface, or its address in canonical text. */
  readonly name: string;
  /** What GoBGP knows it by. */
  readonly address: string;
  readonly status: PeerStatus;
  /** Established, and not waiting any more for End-of-RIB of others (RFC 4724): it has our routes, or is about to. */
  readonly isServed: boolean;
  /** Whether it is configured as wanted, its password included, which is not shown here. */
  readonly isConfiguredAs: (wanted: PeerSettings) => boolean;
};

/**
 * @param options `localRestarting`: our routers kept our routes (RFC 4724); GoBGP then waits for their End-of-RIB or the
 * deferral time before it sends. `linkLocal`: the router's address on the interface of an unnumbered session, with zone
 * (`fe80::1%eth0`); GoBGP before 4.8 does not look it up for peers that the API adds.
 */
export function peerToWire(peer: PeerSettings, options: { readonly localRestarting: boolean; readonly linkLocal?: string }): WirePeer {
  const { gracefulRestart, password, multihopTtl, ttlSecurityMin, localAddress, remotePort, bfd } = peer;
  const longLivedSeconds = gracefulRestart?.longLivedSeconds;
  return {
    conf: {
      peerAsn: peer.asn,
      ...('address' in peer.neighbor ? { neighborAddress: peer.neighbor.address } : { neighborInterface: peer.neighbor.interface }),
      ...(password === undefined ? {} : { authPassword: password }),
    },
    ...(options.linkLocal === undefined ? {} : { state: { neighborAddress: options.linkLocal } }),
    ...(multihopTtl === undefined ? {} : { ebgpMultihop: { enabled: true, multihopTtl } }),
    ...(ttlSecurityMin === undefined ? {} : { ttlSecurity: { enabled: true, ttlMin: ttlSecurityMin } }),
    ...(bfd === undefined
      ? {}
      : {
          bfd: {
            enabled: true,
            desiredMinimumTxInterval: bfd.transmitIntervalMs * 1_000,
            requiredMinimumReceive: bfd.receiveIntervalMs * 1_000,
            detectionMultiplier: bfd.multiplier,
          },
        }),
    timers: {
      config: {
        connectRetry: peer.connectRetrySeconds,
        holdTime: peer.holdTimeSeconds,
        keepaliveInterval: peer.keepaliveSeconds,
        // after a NOTIFICATION GoBGP would rest for 30 s
        idleHoldTimeAfterReset: peer.connectRetrySeconds,
      },
    },
    transport: {
      passiveMode: peer.passive,
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(remotePort === undefined ? {} : { remotePort }),
    },
    gracefulRestart:
      gracefulRestart === undefined
        ? { enabled: false }
        : {
            enabled: true,
            restartTime: gracefulRestart.restartTimeSeconds,
            deferralTime: gracefulRestart.deferralTimeSeconds,
            longlivedEnabled: longLivedSeconds !== undefined,
            localRestarting: options.localRestarting,
          },
    afiSafis: [...new Set(peer.families)].map((family) => ({
      config: { family: FAMILIES[family], enabled: true },
      mpGracefulRestart: { config: { enabled: gracefulRestart !== undefined } },
      ...(longLivedSeconds === undefined ? {} : { longLivedGracefulRestart: { config: { enabled: true, restartTime: longLivedSeconds } } }),
    })),
  };
}

/** Labels, and what GoBGP fills in by itself, do not count. */
function isConfiguredAs(listed: WirePeer, wanted: PeerSettings): boolean {
  const want = peerToWire(wanted, { localRestarting: false });
  if (JSON.stringify(sessionSettings(listed)) !== JSON.stringify(sessionSettings(want))) return false;
  // without one GoBGP lists the address of the session, or an unspecified one
  return wanted.localAddress === undefined || canonicalText(listed.transport?.localAddress) === canonicalText(wanted.localAddress);
}

/** Everything whose change needs a new session, in one order and with absent fields filled in. */
function sessionSettings(peer: WirePeer): readonly unknown[] {
  const { conf, ebgpMultihop, ttlSecurity, timers, transport, gracefulRestart, bfd, afiSafis = [] } = peer;
  const isGraceful = gracefulRestart?.enabled === true;
  const isLongLived = isGraceful && gracefulRestart.longlivedEnabled === true;
  const families = afiSafis.map(({ config, mpGracefulRestart, longLivedGracefulRestart }) => [
    familyFromWire(config?.family) ?? 'other',
    isGraceful && mpGracefulRestart?.config?.enabled === true,
    isLongLived && longLivedGracefulRestart?.config?.enabled === true ? (longLivedGracefulRestart.config.restartTime ?? 0) : 0,
  ]);
  return [
    conf?.peerAsn ?? 0,
    conf?.authPassword ?? '',
    conf?.adminDown ?? false,
    ebgpMultihop?.enabled === true ? (ebgpMultihop.multihopTtl ?? 0) : 0,
    ttlSecurity?.enabled === true ? (ttlSecurity.ttlMin ?? 0) : 0,
    timers?.config?.connectRetry ?? 0,
    timers?.config?.holdTime ?? 0,
    timers?.config?.keepaliveInterval ?? 0,
    transport?.passiveMode ?? false,
    transport?.remotePort ?? 0,
    bfd?.enabled === true ? [bfd.desiredMinimumTxInterval ?? 0, bfd.requiredMinimumReceive ?? 0, bfd.detectionMultiplier ?? 0] : [],
    isGraceful ? [gracefulRestart.restartTime ?? 0, gracefulRestart.deferralTime ?? 0, isLongLived] : [],
    families.toSorted(([a], [b]) => String(a).localeCompare(String(b))),
  ];
}

const SESSION_STATES: Readonly<Record<WireSessionState, SessionState>> = {
  UNKNOWN: 'unknown',
  IDLE: 'idle',
  CONNECT: 'connect',
  ACTIVE: 'active',
  OPENSENT: 'opensent',
  OPENCONFIRM: 'openconfirm',
  ESTABLISHED: 'established',
};

/** Why the peer is not up is told by nobody: GoBGP's API does not carry the reason of a disconnect. */
export function readPeer(wire: WirePeer, now: Date): ListedPeer {
  const { conf, state, timers, afiSafis = [] } = wire;
  const address = stateAddress(wire);
  const name = peerNameFromWire(wire);
  const sessionState = sessionStateFromWire(wire);
  const upSince = timers?.state?.uptime?.seconds ?? 0;
  const families = afiSafis.map(({ config }) => familyFromWire(config?.family)).filter((family): family is Family => family !== undefined);
  return {
    name,
    address,
    isConfiguredAs: (wanted) => isConfiguredAs(wire, wanted),
    isServed: sessionState === 'established' && wire.gracefulRestart?.localRestarting !== true,
    status: {
      name,
      asn: conf?.peerAsn ?? 0,
      state: sessionState,
      adminDown: conf?.adminDown === true || (state?.adminState ?? 'UP') !== 'UP',
      ...(sessionState === 'established' ? { uptimeSeconds: Math.max(0, now.getTime() / 1000 - upSince) } : {}),
      families,
    },
  };
}

export function sessionStateFromWire({ state }: WirePeer): SessionState {
  return SESSION_STATES[state?.sessionState ?? 'UNKNOWN'];
}

/** What names the peer in our status: its interface, else its address. */
export function peerNameFromWire(wire: WirePeer): string {
  const neighborInterface = wire.conf?.neighborInterface ?? '';
  return neighborInterface === '' ? canonicalText(stateAddress(wire)) : neighborInterface;
}

/** An address in one text, whoever wrote it; link-local ones keep their zone. */
export function canonicalText(address = ''): string {
  return canonicalAddress(address)?.address ?? address;
}

function stateAddress({ conf, state }: WirePeer): string {
  return state?.neighborAddress || conf?.neighborAddress || '';
}
