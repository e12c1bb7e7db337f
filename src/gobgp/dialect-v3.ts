/** API v3 (GoBGP 3.x): prefixes and path attributes travel as google.protobuf.Any. */
import { addressOf, type Family, familyOf, lengthOf, parsePrefix, type Prefix } from '../domain/prefix.ts';
import { type PathAttributes, pathAttributes } from '../domain/route.ts';
import { AgentError } from '../lib/errors.ts';
import type { Dialect, ListedPath } from './dialect.ts';
import { type Codec, loadProto } from './proto.ts';
import { FAMILIES, type Methods, type WireAny, type WirePath } from './wire.ts';

const PACKAGE = 'apipb';
const TYPE_URL = `type.googleapis.com/${PACKAGE}.`;
/** What GoBGP 3 prints for an address that is not there: a local path has no neighbour. */
const NO_ADDRESS = '<nil>';
/** Next hop self: GoBGP puts in the local address of each session. */
const UNSPECIFIED = { ipv4: '0.0.0.0', ipv6: '::' } as const;
const ORIGINS = ['igp', 'egp', 'incomplete'] as const;

type WireLargeCommunity = { readonly globalAdmin?: number; readonly localData1?: number; readonly localData2?: number };

/** The messages inside an Any, by the last part of their type URL. */
type Messages = {
  readonly IPAddressPrefix: { readonly prefixLen?: number; readonly prefix?: string };
  readonly OriginAttribute: { readonly origin?: number };
  readonly AsPathAttribute: { readonly segments?: readonly { readonly type?: string; readonly numbers?: readonly number[] }[] };
  readonly NextHopAttribute: { readonly nextHop?: string };
  readonly MpReachNLRIAttribute: { readonly nextHops?: readonly string[] };
  readonly MultiExitDiscAttribute: { readonly med?: number };
  readonly LocalPrefAttribute: { readonly localPref?: number };
  readonly CommunitiesAttribute: { readonly communities?: readonly number[] };
  readonly LargeCommunitiesAttribute: { readonly communities?: readonly WireLargeCommunity[] };
};
type MessageName = keyof Messages;
type Codecs = { readonly [Name in MessageName]: Codec<Messages[Name]> };

export function dialectV3(): Dialect {
  const proto = loadProto('gobgp-v3.proto', PACKAGE);
  const methods: Methods = proto.methods('GobgpApi');
  const codecs: Codecs = {
    IPAddressPrefix: proto.codec('IPAddressPrefix'),
    OriginAttribute: proto.codec('OriginAttribute'),
    AsPathAttribute: proto.codec('AsPathAttribute'),
    NextHopAttribute: proto.codec('NextHopAttribute'),
    MpReachNLRIAttribute: proto.codec('MpReachNLRIAttribute'),
    MultiExitDiscAttribute: proto.codec('MultiExitDiscAttribute'),
    LocalPrefAttribute: proto.codec('LocalPrefAttribute'),
    CommunitiesAttribute: proto.codec('CommunitiesAttribute'),
    LargeCommunitiesAttribute: proto.codec('LargeCommunitiesAttribute'),
  };
  const packed = { ipv4: new WeakMap<PathAttributes, readonly WireAny[]>(), ipv6: new WeakMap<PathAttributes, readonly WireAny[]>() };

  const nlri = (prefix: Prefix): WireAny => pack(codecs, 'IPAddressPrefix', { prefixLen: lengthOf(prefix), prefix: addressOf(prefix) });

  return {
    version: 'v3',
    methods,
    path(prefix, attributes) {
      const family = familyOf(prefix);
      let pattrs = packed[family].get(attributes);
      if (pattrs === undefined) {
        pattrs = packAttributes(codecs, attributes, family);
        packed[family].set(attributes, pattrs);
      }
      return { nlri: nlri(prefix), pattrs, family: FAMILIES[family] };
    },
    withdrawal: (prefix) => ({ nlri: nlri(prefix), family: FAMILIES[familyOf(prefix)], isWithdraw: true }),
    read: (path) => readPath(codecs, path),
  };
}

function pack<Name extends MessageName>(codecs: Codecs, name: Name, message: Messages[Name]): WireAny {
  return { typeUrl: `${TYPE_URL}${name}`, value: codecs[name].encode(message) };
}

/**
 * The next hop goes as NextHopAttribute for IPv6 too: GoBGP makes MP_REACH_NLRI of it, and the list stays free of the
 * prefix, so that all routes of an attribute set share it.
 */
function packAttributes(codecs: Codecs, attributes: PathAttributes, family: Family): readonly WireAny[] {
  const { asPath, med, localPref, communities, largeCommunities } = attributes;
  const list = [
    pack(codecs, 'OriginAttribute', { origin: ORIGINS.indexOf(attributes.origin) }),
    pack(codecs, 'NextHopAttribute', { nextHop: attributes.nextHop === 'self' ? UNSPECIFIED[family] : attributes.nextHop }),
  ];
  if (asPath.length > 0) list.push(pack(codecs, 'AsPathAttribute', { segments: [{ type: 'AS_SEQUENCE', numbers: asPath }] }));
  if (med !== undefined) list.push(pack(codecs, 'MultiExitDiscAttribute', { med }));
  if (localPref !== undefined) list.push(pack(codecs, 'LocalPrefAttribute', { localPref }));
  if (communities.length > 0)
    list.push(
      pack(codecs, 'CommunitiesAttribute', {
        communities: communities.map((community) => {
          const [high = 0, low = 0] = community.split(':').map(Number);
          return high * 65_536 + low;
        }),
      }),
    );
  if (largeCommunities.length > 0)
    list.push(
      pack(codecs, 'LargeCommunitiesAttribute', {
        communities: largeCommunities.map((community) => {
          const [globalAdmin = 0, localData1 = 0, localData2 = 0] = community.split(':').map(Number);
          return { globalAdmin, localData1, localData2 };
        }),
      }),
    );
  return list;
}

function readPath(codecs: Codecs, path: WirePath): ListedPath {
  const isAbsent = (address: string | undefined): boolean => address === undefined || address === '' || address === NO_ADDRESS;
  const { prefix: address = '', prefixLen = 0 } = unpack(codecs, 'IPAddressPrefix', path.nlri as WireAny | undefined) ?? {};
  const prefix = parsePrefix(`${address}/${prefixLen}`);
  return {
    prefix,
    isLocal: isAbsent(path.neighborIp) && isAbsent(path.sourceId),
    isWithdraw: path.isWithdraw === true,
    isFiltered: path.filtered === true,
    route: () => {
      if (prefix === undefined) throw new AgentError('gobgp-path', 'bug', `a path without a prefix that is one: ${address}/${prefixLen}`);
      return { prefix, attributes: unpackAttributes(codecs, (path.pattrs ?? []) as readonly WireAny[], path.identifier ?? 0) };
    },
  };
}

function unpack<Name extends MessageName>(codecs: Codecs, name: Name, any: WireAny | undefined): Messages[Name] | undefined {
  // a message whose every field is zero has no `value`
  return any?.typeUrl === `${TYPE_URL}${name}` ? codecs[name].decode(any.value ?? new Uint8Array()) : undefined;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

function unpackAttributes(codecs: Codecs, pattrs: readonly WireAny[], identifier: number): PathAttributes {
  const found: Mutable<Partial<PathAttributes>> = {};
  const others: string[] = identifier === 0 ? [] : [`path identifier ${identifier}`];
  for (const any of pattrs) {
    const name = any.typeUrl.slice(any.typeUrl.lastIndexOf('.') + 1);
    const value = any.value ?? new Uint8Array();
    switch (name) {
      case 'OriginAttribute':
        found.origin = ORIGINS[codecs.OriginAttribute.decode(value).origin ?? 0] ?? 'incomplete';
        break;
      case 'AsPathAttribute': {
        const { segments = [] } = codecs.AsPathAttribute.decode(value);
        found.asPath = segments.flatMap(({ numbers = [] }) => numbers);
        if (segments.some(({ type }) => type !== 'AS_SEQUENCE')) others.push('AS_PATH with sets');
        break;
      }
      case 'NextHopAttribute':
        found.nextHop = nextHopFromWire(codecs.NextHopAttribute.decode(value).nextHop);
        break;
      case 'MpReachNLRIAttribute':
        found.nextHop = nextHopFromWire(codecs.MpReachNLRIAttribute.decode(value).nextHops?.[0]);
        break;
      case 'MultiExitDiscAttribute':
        found.med = codecs.MultiExitDiscAttribute.decode(value).med ?? 0;
        break;
      case 'LocalPrefAttribute':
        found.localPref = codecs.LocalPrefAttribute.decode(value).localPref ?? 0;
        break;
      case 'CommunitiesAttribute':
        found.communities = (codecs.CommunitiesAttribute.decode(value).communities ?? []).map(
          (community) => `${Math.floor(community / 65_536)}:${community % 65_536}`,
        );
        break;
      case 'LargeCommunitiesAttribute':
        found.largeCommunities = (codecs.LargeCommunitiesAttribute.decode(value).communities ?? []).map(
          ({ globalAdmin = 0, localData1 = 0, localData2 = 0 }) => `${globalAdmin}:${localData1}:${localData2}`,
        );
        break;
      default:
        others.push(name);
    }
  }
  return pathAttributes({ ...found, others });
}

function nextHopFromWire(nextHop = ''): string {
  return nextHop === UNSPECIFIED.ipv4 || nextHop === UNSPECIFIED.ipv6 ? 'self' : nextHop;
}
