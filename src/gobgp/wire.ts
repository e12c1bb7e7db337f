/**
 * GoBGP's messages as proto-loader gives and takes them, the same for every dialect: names are those of our .proto files,
 * enums are names, absent fields are left out. Nothing of this leaves the folder.
 */
import type { Family } from '../domain/prefix.ts';

export type WireAny = { readonly typeUrl: string; readonly value: Uint8Array };
export type WireFamily = { readonly afi?: 'IP' | 'IP6'; readonly safi?: 'UNICAST' };

export const FAMILIES: Readonly<Record<Family, WireFamily>> = {
  ipv4: { afi: 'IP', safi: 'UNICAST' },
  ipv6: { afi: 'IP6', safi: 'UNICAST' },
};

/** Undefined for a family that we do not speak. */
export function familyFromWire(family: WireFamily | undefined): Family | undefined {
  if (family?.safi !== 'UNICAST') return undefined;
  return family.afi === 'IP' ? 'ipv4' : family.afi === 'IP6' ? 'ipv6' : undefined;
}

export type WireGlobal = {
  readonly asn?: number;
  readonly routerId?: string;
  readonly listenPort?: number;
  readonly listenAddresses?: readonly string[];
};

/** `nlri` and `pattrs` are the dialect's own. */
export type WirePath = {
  readonly nlri?: unknown;
  readonly pattrs?: readonly unknown[];
  readonly isWithdraw?: boolean;
  readonly family?: WireFamily;
  readonly sourceId?: string;
  readonly filtered?: boolean;
  readonly neighborIp?: string;
  readonly identifier?: number;
};

export type WireTableType = 'GLOBAL' | 'ADJ_OUT';

export type WireSessionState = 'UNKNOWN' | 'IDLE' | 'CONNECT' | 'ACTIVE' | 'OPENSENT' | 'OPENCONFIRM' | 'ESTABLISHED';

export type WirePeer = {
  readonly conf?: {
    readonly authPassword?: string;
    readonly neighborAddress?: string;
    readonly peerAsn?: number;
    readonly neighborInterface?: string;
    readonly adminDown?: boolean;
    readonly sendSoftwareVersion?: boolean;
  };
  readonly ebgpMultihop?: { readonly enabled?: boolean; readonly multihopTtl?: number };
  readonly state?: {
    readonly neighborAddress?: string;
    readonly sessionState?: WireSessionState;
    readonly adminState?: 'UP' | 'DOWN' | 'PREFIX_LIMIT';
    /** The dialect's own. */
    readonly localCap?: readonly unknown[];
  };
  readonly timers?: {
    readonly config?: {
      readonly connectRetry?: number;
      readonly holdTime?: number;
      readonly keepaliveInterval?: number;
      readonly idleHoldTimeAfterReset?: number;
    };
    readonly state?: { readonly uptime?: { readonly seconds?: number; readonly nanos?: number } };
  };
  readonly transport?: { readonly localAddress?: string; readonly passiveMode?: boolean; readonly remotePort?: number };
  readonly gracefulRestart?: {
    readonly enabled?: boolean;
    readonly restartTime?: number;
    readonly deferralTime?: number;
    readonly longlivedEnabled?: boolean;
    readonly localRestarting?: boolean;
  };
  readonly afiSafis?: readonly WireAfiSafi[];
  readonly ttlSecurity?: { readonly enabled?: boolean; readonly ttlMin?: number };
  /** Of API v4; microseconds. */
  readonly bfd?: {
    readonly enabled?: boolean;
    readonly desiredMinimumTxInterval?: number;
    readonly requiredMinimumReceive?: number;
    readonly detectionMultiplier?: number;
  };
};

export type WireAfiSafi = {
  readonly mpGracefulRestart?: { readonly config?: { readonly enabled?: boolean } };
  readonly config?: { readonly family?: WireFamily; readonly enabled?: boolean };
  readonly longLivedGracefulRestart?: { readonly config?: { readonly enabled?: boolean; readonly restartTime?: number } };
};

export type WireDefinedType = 'PREFIX' | 'COMMUNITY' | 'LARGE_COMMUNITY';

export type WireDefinedSet = {
  readonly definedType?: WireDefinedType;
  readonly name?: string;
  readonly list?: readonly string[];
  readonly prefixes?: readonly { readonly ipPrefix?: string; readonly maskLengthMin?: number; readonly maskLengthMax?: number }[];
};

export type WireMatchSet = { readonly type?: 'ANY' | 'ALL' | 'INVERT'; readonly name?: string };

export type WireStatement = {
  readonly name?: string;
  readonly conditions?: {
    readonly prefixSet?: WireMatchSet;
    readonly neighborSet?: Uint8Array;
    readonly asPathLength?: { readonly type?: 'EQ' | 'GE' | 'LE'; readonly length?: number };
    readonly asPathSet?: Uint8Array;
    readonly communitySet?: WireMatchSet;
    readonly extCommunitySet?: Uint8Array;
    readonly rpkiResult?: number;
    readonly routeType?: 'ANY_ROUTE' | 'INTERNAL' | 'EXTERNAL' | 'LOCAL';
    readonly largeCommunitySet?: WireMatchSet;
    readonly nextHopInList?: readonly string[];
    readonly afiSafiIn?: readonly Uint8Array[];
    readonly communityCount?: Uint8Array;
    readonly origin?: number;
    readonly localPrefEq?: Uint8Array;
    readonly medEq?: Uint8Array;
  };
  readonly actions?: {
    readonly routeAction?: WireRouteAction;
    readonly community?: Uint8Array;
    readonly med?: Uint8Array;
    readonly asPrepend?: { readonly asn?: number; readonly repeat?: number; readonly useLeftMost?: boolean };
    readonly extCommunity?: Uint8Array;
    readonly nexthop?: Uint8Array;
    readonly localPref?: Uint8Array;
    readonly largeCommunity?: Uint8Array;
    readonly originAction?: Uint8Array;
  };
};

export type WireRouteAction = 'NONE' | 'ACCEPT' | 'REJECT';
export type WirePolicy = { readonly name?: string; readonly statements?: readonly WireStatement[] };
export type WireDirection = 'IMPORT' | 'EXPORT';

export type WireAssignment = {
  readonly name?: string;
  readonly direction?: WireDirection;
  readonly policies?: readonly WirePolicy[];
  readonly defaultAction?: WireRouteAction;
};

export type WirePeerEvent = { readonly type?: 'UNKNOWN' | 'INIT' | 'END_OF_INIT' | 'STATE'; readonly peer?: WirePeer };

/** Request and reply of every call we make. */
export type Calls = {
  readonly GetBgp: [object, { readonly global?: WireGlobal }];
  readonly StartBgp: [{ readonly global: WireGlobal }, object];
  /** `allowGracefulRestart` is of API v4. */
  readonly StopBgp: [{ readonly allowGracefulRestart?: boolean }, object];
  readonly AddPath: [{ readonly tableType: 'GLOBAL'; readonly path: WirePath }, object];
  /** Without `path` GoBGP would delete every local path of every family. */
  readonly DeletePath: [{ readonly tableType: 'GLOBAL'; readonly family: WireFamily; readonly path: WirePath }, object];
  readonly AddPathStream: [{ readonly tableType: 'GLOBAL'; readonly paths: readonly WirePath[] }, object];
  readonly ListPath: [
    { readonly tableType: WireTableType; readonly family: WireFamily; readonly name?: string; readonly batchSize?: number },
    { readonly destination?: { readonly paths?: readonly WirePath[] } },
  ];
  readonly WatchEvent: [
    { readonly peer: object; readonly table: { readonly filters: readonly { readonly type: 'BEST'; readonly init: boolean }[] } },
    { readonly peer?: WirePeerEvent; readonly table?: { readonly paths?: readonly WirePath[] } },
  ];
  readonly AddPeer: [{ readonly peer: WirePeer }, object];
  readonly DeletePeer: [{ readonly address: string }, object];
  readonly ListPeer: [{ readonly address?: string }, { readonly peer?: WirePeer }];
  readonly AddDefinedSet: [{ readonly definedSet: WireDefinedSet }, object];
  readonly DeleteDefinedSet: [{ readonly definedSet: WireDefinedSet; readonly all: boolean }, object];
  readonly ListDefinedSet: [{ readonly definedType: WireDefinedType }, { readonly definedSet?: WireDefinedSet }];
  readonly AddPolicy: [{ readonly policy: WirePolicy }, object];
  readonly DeletePolicy: [{ readonly policy: WirePolicy; readonly all: boolean }, object];
  readonly ListPolicy: [object, { readonly policy?: WirePolicy }];
  readonly ListPolicyAssignment: [{ readonly name: 'global'; readonly direction: WireDirection }, { readonly assignment?: WireAssignment }];
  readonly SetPolicyAssignment: [{ readonly assignment: WireAssignment }, object];
};

export type CallName = keyof Calls;

/** How one call is made: its HTTP/2 path and the codecs of its messages. */
export type Method<Request, Reply> = {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Reply;
};

export type Methods = { readonly [Name in CallName]: Method<Calls[Name][0], Calls[Name][1]> };
