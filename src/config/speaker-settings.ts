/** From the checked file to what the local GoBGP is to be (`SpeakerSettings`). */
import type { PeerSettings, SpeakerSettings } from '../domain/settings.ts';
import type { ConfigFile, PeerSection } from './config-file.ts';
import { localIpv4Addresses } from './cross-checks.ts';
import { markersOf, prependPlace } from './decision-settings.ts';

/** @param passwords the MD5 passwords by the index of their peer */
export function speakerSettings(file: ConfigFile, passwords: ReadonlyMap<number, string>): SpeakerSettings {
  const { gobgp } = file;
  return {
    mode: gobgp.mode,
    asn: gobgp.asn,
    routerId: gobgp.routerId ?? localIpv4Addresses(file.peers)[0] ?? '0.0.0.0',
    listenPort: gobgp.listenPort,
    listenAddresses: gobgp.listenAddresses,
    markers: markersOf(file),
    prefixes: file.announce.prefixes,
    worsePrependsByPolicy: prependPlace(file) === 'policy' ? file.worse.prepends : 0,
    peers: file.peers.map((peer, index) => peerSettings(peer, passwords.get(index))),
  };
}

function peerSettings(peer: PeerSection, password: string | undefined): PeerSettings {
  const { enabled, restartTimeSeconds, deferralTimeSeconds, longLivedSeconds } = peer.gracefulRestart;
  return {
    neighbor: peer.address === undefined ? { interface: peer.interface ?? '' } : { address: peer.address },
    asn: peer.asn,
    passive: peer.passive,
    holdTimeSeconds: peer.holdTimeSeconds,
    keepaliveSeconds: peer.keepaliveSeconds,
    connectRetrySeconds: peer.connectRetrySeconds,
    families: peer.families,
    gracefulRestart: enabled
      ? { restartTimeSeconds, deferralTimeSeconds, ...(longLivedSeconds === undefined ? {} : { longLivedSeconds }) }
      : undefined,
    ...present({
      description: peer.description,
      password,
      localAddress: peer.localAddress,
      remotePort: peer.remotePort,
      multihopTtl: peer.multihopTtl,
      ttlSecurityMin: peer.ttlSecurityMin,
      bfd: peer.bfd,
    }),
  };
}

/** Without the keys whose value is undefined. */
function present<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
