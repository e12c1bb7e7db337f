/**
 * Path attributes as GoBGP's attribute messages and back: what is the same in every API. How a message is put into a path,
 * as google.protobuf.Any or as a field of a oneof, is the dialect's affair.
 */
import { addressOf, type Family, lengthOf, parsePrefix, type Prefix } from '../domain/prefix.ts';
import { type PathAttributes, pathAttributes } from '../domain/route.ts';

/** Next hop self: GoBGP puts in the local address of each session. */
const UNSPECIFIED = { ipv4: '0.0.0.0', ipv6: '::' } as const;
const ORIGINS = ['igp', 'egp', 'incomplete'] as const;

type WireLargeCommunity = { readonly globalAdmin?: number; readonly localData1?: number; readonly localData2?: number };

/** GoBGP's messages by their names in both APIs. */
export type AttributeMessages = {
  readonly OriginAttribute: { readonly origin?: number };
  readonly AsPathAttribute: { readonly segments?: readonly { readonly type?: string; readonly numbers?: readonly number[] }[] };
  readonly NextHopAttribute: { readonly nextHop?: string };
  readonly MpReachNLRIAttribute: { readonly nextHops?: readonly string[] };
  readonly MultiExitDiscAttribute: { readonly med?: number };
  readonly LocalPrefAttribute: { readonly localPref?: number };
  readonly CommunitiesAttribute: { readonly communities?: readonly number[] };
  readonly LargeCommunitiesAttribute: { readonly communities?: readonly WireLargeCommunity[] };
};

/** One attribute of a path: its message's name and the message. */
export type NamedAttribute = {
  readonly [Name in keyof AttributeMessages]: readonly [name: Name, message: AttributeMessages[Name]];
}[keyof AttributeMessages];

/** An attribute that we only read; it makes a path differ from every one of ours. */
export type OtherAttribute = { readonly other: string };

/** IPAddressPrefix of both APIs. */
export type WirePrefix = { readonly prefixLen?: number; readonly prefix?: string };

export function prefixToWire(prefix: Prefix): WirePrefix {
  return { prefixLen: lengthOf(prefix), prefix: addressOf(prefix) };
}

/** Undefined when it is no prefix that we understand. */
export function prefixFromWire({ prefix = '', prefixLen = 0 }: WirePrefix): Prefix | undefined {
  return parsePrefix(`${prefix}/${prefixLen}`);
}

/**
 * The next hop goes as NextHopAttribute for IPv6 too: GoBGP makes MP_REACH_NLRI of it, and the list stays free of the
 * prefix, so that all routes of an attribute set share it.
 */
export function attributesToWire(attributes: PathAttributes, family: Family): readonly NamedAttribute[] {
  const { asPath, med, localPref, communities, largeCommunities } = attributes;
  const list: NamedAttribute[] = [
    ['OriginAttribute', { origin: ORIGINS.indexOf(attributes.origin) }],
    ['NextHopAttribute', { nextHop: attributes.nextHop === 'self' ? UNSPECIFIED[family] : attributes.nextHop }],
  ];
  if (asPath.length > 0) list.push(['AsPathAttribute', { segments: [{ type: 'AS_SEQUENCE', numbers: asPath }] }]);
  if (med !== undefined) list.push(['MultiExitDiscAttribute', { med }]);
  if (localPref !== undefined) list.push(['LocalPrefAttribute', { localPref }]);
  if (communities.length > 0)
    list.push([
      'CommunitiesAttribute',
      {
        communities: communities.map((community) => {
          const [high = 0, low = 0] = community.split(':').map(Number);
          return high * 65_536 + low;
        }),
      },
    ]);
  if (largeCommunities.length > 0)
    list.push([
      'LargeCommunitiesAttribute',
      {
        communities: largeCommunities.map((community) => {
          const [globalAdmin = 0, localData1 = 0, localData2 = 0] = community.split(':').map(Number);
          return { globalAdmin, localData1, localData2 };
        }),
      },
    ]);
  return list;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** @param identifier that of ADD-PATH: a path with one is never ours */
export function attributesFromWire(list: Iterable<NamedAttribute | OtherAttribute>, identifier: number): PathAttributes {
  const found: Mutable<Partial<PathAttributes>> = {};
  const others: string[] = identifier === 0 ? [] : [`path identifier ${identifier}`];
  for (const attribute of list) {
    if ('other' in attribute) {
      others.push(attribute.other);
      continue;
    }
    const [name, message] = attribute;
    switch (name) {
      case 'OriginAttribute':
        found.origin = ORIGINS[message.origin ?? 0] ?? 'incomplete';
        break;
      case 'AsPathAttribute': {
        const { segments = [] } = message;
        found.asPath = segments.flatMap(({ numbers = [] }) => numbers);
        if (segments.some(({ type }) => type !== 'AS_SEQUENCE')) others.push('AS_PATH with sets');
        break;
      }
      case 'NextHopAttribute':
        found.nextHop = nextHopFromWire(message.nextHop);
        break;
      case 'MpReachNLRIAttribute':
        found.nextHop = nextHopFromWire(message.nextHops?.[0]);
        break;
      case 'MultiExitDiscAttribute':
        found.med = message.med ?? 0;
        break;
      case 'LocalPrefAttribute':
        found.localPref = message.localPref ?? 0;
        break;
      case 'CommunitiesAttribute':
        found.communities = (message.communities ?? []).map((community) => `${Math.floor(community / 65_536)}:${community % 65_536}`);
        break;
      case 'LargeCommunitiesAttribute':
        found.largeCommunities = (message.communities ?? []).map(
          ({ globalAdmin = 0, localData1 = 0, localData2 = 0 }) => `${globalAdmin}:${localData1}:${localData2}`,
        );
        break;
    }
  }
  return pathAttributes({ ...found, others });
}

function nextHopFromWire(nextHop = ''): string {
  return nextHop === UNSPECIFIED.ipv4 || nextHop === UNSPECIFIED.ipv6 ? 'self' : nextHop;
}
