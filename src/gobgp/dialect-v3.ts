/** API v3 (GoBGP 3.x): prefixes, path attributes and capabilities travel as google.protobuf.Any. */
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
import { type Codec, loadProto, type Proto } from './proto.ts';
import { FAMILIES, type WireAny } from './wire.ts';

const PACKAGE = 'apipb';
const TYPE_URL = `type.googleapis.com/${PACKAGE}.`;
/** What GoBGP 3 prints for an address that is not there: a local path has no neighbour. */
const NO_ADDRESS = '<nil>';

/** The messages inside an Any, by the last part of their type URL. */
type Messages = AttributeMessages & {
  readonly IPAddressPrefix: WirePrefix;
  readonly SoftwareVersionCapability: { readonly softwareVersion?: string };
};
type MessageName = keyof Messages;
type Codecs = { readonly [Name in MessageName]: Codec<Messages[Name]> };

export function dialectV3(): Dialect {
  const proto = loadProto('gobgp-v3.proto', PACKAGE);
  const codecs = codecsOf(proto);
  const packed = { ipv4: new WeakMap<PathAttributes, readonly WireAny[]>(), ipv6: new WeakMap<PathAttributes, readonly WireAny[]>() };
  const nlri = (prefix: Prefix): WireAny => pack(codecs, 'IPAddressPrefix', prefixToWire(prefix));

  return {
    version: 'v3',
    methods: proto.methods('GobgpApi'),
    path(prefix, attributes) {
      const family = familyOf(prefix);
      let pattrs = packed[family].get(attributes);
      if (pattrs === undefined) {
        pattrs = attributesToWire(attributes, family).map(([name, message]) => pack(codecs, name, message));
        packed[family].set(attributes, pattrs);
      }
      return { nlri: nlri(prefix), pattrs, family: FAMILIES[family] };
    },
    withdrawal: (prefix) => ({ nlri: nlri(prefix), family: FAMILIES[familyOf(prefix)], isWithdraw: true }),
    read: (path) =>
      listedPath(path, {
        prefix: prefixFromWire(unpack(codecs, 'IPAddressPrefix', path.nlri as WireAny | undefined) ?? {}),
        isAbsent: (address) => address === undefined || address === '' || address === NO_ADDRESS,
        attributes: () =>
          attributesFromWire(
            (path.pattrs ?? []).map((any) => namedAttribute(codecs, any as WireAny)),
            path.identifier ?? 0,
          ),
      }),
    softwareVersion(capabilities) {
      for (const any of capabilities) {
        const found = unpack(codecs, 'SoftwareVersionCapability', any as WireAny);
        if (found !== undefined) return found.softwareVersion;
      }
      return undefined;
    },
  };
}

function codecsOf(proto: Proto): Codecs {
  return {
    IPAddressPrefix: proto.codec('IPAddressPrefix'),
    SoftwareVersionCapability: proto.codec('SoftwareVersionCapability'),
    OriginAttribute: proto.codec('OriginAttribute'),
    AsPathAttribute: proto.codec('AsPathAttribute'),
    NextHopAttribute: proto.codec('NextHopAttribute'),
    MpReachNLRIAttribute: proto.codec('MpReachNLRIAttribute'),
    MultiExitDiscAttribute: proto.codec('MultiExitDiscAttribute'),
    LocalPrefAttribute: proto.codec('LocalPrefAttribute'),
    CommunitiesAttribute: proto.codec('CommunitiesAttribute'),
    LargeCommunitiesAttribute: proto.codec('LargeCommunitiesAttribute'),
  };
}

function pack<Name extends MessageName>(codecs: Codecs, name: Name, message: Messages[Name]): WireAny {
  return { typeUrl: `${TYPE_URL}${name}`, value: codecs[name].encode(message) };
}

function unpack<Name extends MessageName>(codecs: Codecs, name: Name, any: WireAny | undefined): Messages[Name] | undefined {
  // a message whose every field is zero has no `value`
  return any?.typeUrl === `${TYPE_URL}${name}` ? codecs[name].decode(any.value ?? new Uint8Array()) : undefined;
}

function namedAttribute(codecs: Codecs, any: WireAny): NamedAttribute | OtherAttribute {
  const name = any.typeUrl.slice(any.typeUrl.lastIndexOf('.') + 1);
  if (!name.endsWith('Attribute') || !(name in codecs)) return { other: name };
  return [name, unpack(codecs, name as keyof AttributeMessages, any)] as NamedAttribute;
}
