/** What an operator decided, as the pure core and the speaker take it. `config/` produces these from YAML. */
import type { Family, Prefix, PrefixSet } from './prefix.ts';
import type { PathAttributes, Shape } from './route.ts';

/** What decides whether and how an address is announced. */
export type DecisionSettings = {
  /** This hypervisor, byte for byte as Neutron and nova name it. */
  readonly host: string;
  /** Ids of the networks whose ports may be announced, or any network. */
  readonly networks: ReadonlySet<string> | 'any';
  /** Whether ports of networks that the source calls external (`PortBinding.external`) may be announced too. */
  readonly external: boolean;
  /** Names of sources whose ports are announced whatever their network (the file source). */
  readonly anyNetworkSources: ReadonlySet<string>;
  readonly allowedAddressPairs: boolean;
  /** Exact values, or a beginning followed by `*`: `compute:*`. */
  readonly deviceOwners: readonly string[];
  readonly vnicTypes: ReadonlySet<string>;
  readonly requireActive: RequireActive;
  readonly prefixes: PrefixSet;
  readonly deniedPrefixes: PrefixSet;
  /** The most routes that are ever desired at once. */
  readonly routeLimit: number;
  readonly graceMs: GraceMs;
  /** `attached`: unmarked local paths in GoBGP belong to somebody else and are never overwritten. */
  readonly mode: SpeakerMode;
  /** The attributes of every route, by family and shape; undefined where no next hop exists for the family. */
  readonly attributes: Readonly<Record<Family, Readonly<Record<Shape, PathAttributes>> | undefined>>;
  /** Large communities that mark a route as ours: the present marker first, then former ones. */
  readonly markers: readonly [string, ...string[]];
};

/**
 * When a port's status has to be ACTIVE: `always`; `first`: until the address is ours, and not any more from then on; `never`.
 * The latter two are for mechanism drivers that do not report it.
 */
export type RequireActive = 'always' | 'first' | 'never';

/** How long a rejected address stays announced, by the row of the grace table (docs/design.md part 5). Milliseconds. */
export type GraceMs = {
  /** `not-active` and `vif-unbound`: a reboot, a re-wiring agent, the start of a live migration. Shape unchanged. */
  readonly inactive: number;
  /** `bound-elsewhere` after a live migration. Worse shape. */
  readonly migration: number;
  /** A `deleted` push that no look-up has confirmed. Worse shape. */
  readonly unconfirmed: number;
  /** The least time between the two snapshots that let an unmentioned route go. Worse shape. */
  readonly unmentioned: number;
};

export type SpeakerMode = 'managed' | 'attached';

/** What the local GoBGP is to be, in managed mode; in attached mode only `mode`, `asn` and `markers` count. */
export type SpeakerSettings = {
  readonly mode: SpeakerMode;
  /** Our own ASN, 1 to 4294967295. In attached mode what the running GoBGP must have. */
  readonly asn: number;
  /** BGP identifier (RFC 4271 section 4.2), dotted. */
  readonly routerId: string;
  /** TCP port for incoming sessions; -1: none. */
  readonly listenPort: number;
  readonly listenAddresses: readonly string[];
  readonly markers: readonly [string, ...string[]];
  /** What may leave: host routes inside these, of ours, marked. */
  readonly prefixes: readonly Prefix[];
  /** How often an export policy prepends our ASN to a route in the worse shape; 0 where the path itself carries it. */
  readonly worsePrependsByPolicy: number;
  readonly peers: readonly PeerSettings[];
};

/** One router (GoBGP's Peer message). Times in whole seconds, as BGP has them. */
export type PeerSettings = {
  /** The neighbour's address, or the interface of an unnumbered session (RFC 8950 over link-local). */
  readonly neighbor: { readonly address: string } | { readonly interface: string };
  readonly asn: number;
  readonly description?: string;
  /** TCP MD5 (RFC 2385); never logged. */
  readonly password?: string;
  readonly localAddress?: string;
  readonly remotePort?: number;
  readonly passive: boolean;
  /** The TTL of an eBGP session over several hops. */
  readonly multihopTtl?: number;
  /** GTSM (RFC 5082): the least TTL that is accepted. */
  readonly ttlSecurityMin?: number;
  readonly holdTimeSeconds: number;
  readonly keepaliveSeconds: number;
  readonly connectRetrySeconds: number;
  readonly families: readonly Family[];
  readonly gracefulRestart:
    | { readonly restartTimeSeconds: number; readonly deferralTimeSeconds: number; readonly longLivedSeconds?: number }
    | undefined;
  /** BFD (RFC 5880) on the session's single hop; needs GoBGP 4.6. A peer is down after `multiplier` of the router's intervals. */
  readonly bfd?: BfdSettings;
};

export type BfdSettings = { readonly transmitIntervalMs: number; readonly receiveIntervalMs: number; readonly multiplier: number };

/** What names a peer in status, metrics and commands: its address or interface. */
export function peerName(peer: PeerSettings): string {
  return 'address' in peer.neighbor ? peer.neighbor.address : peer.neighbor.interface;
}
