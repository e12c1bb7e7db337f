/** API v4 (GoBGP 4.x): prefixes, path attributes and capabilities travel as fields of a oneof. */
import { familyOf, type Prefix } from '../domain/prefix.ts';
import type { PathAttributes } from '../domain/route.ts';
import { type Dialect, listedPath } from './dialect.ts';
import {
  type AttributeMessages,
  attributesFromWire,
  attributesToWire,
  type NamedAttribute,
  type OtherAttribute,
  prefixFromWire,
  prefixToWire,
  type WirePrefix,
} from './path-attributes.ts';
import { loadProto } from './proto.ts';
import { FAMILIES } from './wire.ts';

type WireNlri = { readonly prefix?: WirePrefix };
/** One field is set. */
type WireAttribute = Readonly<Record<string, unknown>>;
type WireCapability = { readonly softwareVersion?: { readonly softwareVersion?: string } };

/** The fields of GoBGP's Attribute. */
const FIELDS: Readonly<Record<keyof AttributeMessages, string>> = {
  OriginAttribute: 'origin',
  AsPathAttribute: 'asPath',
  NextHopAttribute: 'nextHop',
  MpReachNLRIAttribute: 'mpReach',
  MultiExitDiscAttribute: 'multiExitDisc',
  LocalPrefAttribute: 'localPref',
  CommunitiesAttribute: 'communities',
  LargeCommunitiesAttribute: 'largeCommunities',
};
const NAMES: ReadonlyMap<string, string> = new Map(Object.entries(FIELDS).map(([name, field]) => [field, name]));

export function dialectV4(): Dialect {
  const proto = loadProto('gobgp-v4.proto', 'api');
  const packed = {
    ipv4: new WeakMap<PathAttributes, readonly WireAttribute[]>(),
    ipv6: new WeakMap<PathAttributes, readonly WireAttribute[]>(),
  };
  const nlri = (prefix: Prefix): WireNlri => ({ prefix: prefixToWire(prefix) });

  return {
    version: 'v4',
    methods: proto.methods('GoBgpService'),
    path(prefix, attributes) {
      const family = familyOf(prefix);
      let pattrs = packed[family].get(attributes);
      if (pattrs === undefined) {
        pattrs = attributesToWire(attributes, family).map(([name, message]) => ({ [FIELDS[name]]: message }));
        packed[family].set(attributes, pattrs);
      }
      return { nlri: nlri(prefix), pattrs, family: FAMILIES[family] };
    },
    withdrawal: (prefix) => ({ nlri: nlri(prefix), family: FAMILIES[familyOf(prefix)], isWithdraw: true }),
    read: (path) =>
      listedPath(path, {
        prefix: prefixFromWire((path.nlri as WireNlri | undefined)?.prefix ?? {}),
        isAbsent: (address) => address === undefined || address === '',
        attributes: () =>
          attributesFromWire(
            (path.pattrs ?? []).map((one) => namedAttribute(one as WireAttribute)),
            path.identifier ?? 0,
          ),
      }),
    softwareVersion: (capabilities) =>
      (capabilities as readonly WireCapability[]).find(({ softwareVersion }) => softwareVersion !== undefined)?.softwareVersion
        ?.softwareVersion,
  };
}

/** An attribute that our .proto file does not state has no field at all. */
function namedAttribute(attribute: WireAttribute): NamedAttribute | OtherAttribute {
  const [field = 'an attribute that GoBGP alone knows'] = Object.keys(attribute);
  const name = NAMES.get(field);
  return name === undefined ? { other: field } : ([name, attribute[field]] as NamedAttribute);
}
