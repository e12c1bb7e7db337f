/** From the checked file to what decides (`DecisionSettings`): networks, prefixes, graces, and the attributes of both shapes. */
import { type Family, prefixSet } from '../domain/prefix.ts';
import { GRACEFUL_SHUTDOWN, type PathAttributes, pathAttributes, type Shape } from '../domain/route.ts';
import type { DecisionSettings } from '../domain/settings.ts';
import type { ConfigFile } from './config-file.ts';
import { isInternal, nextHopOf } from './next-hop.ts';

/** Where the prepends of the worse shape are made. A path with our own ASN never goes to an iBGP peer: it would drop it. */
export type PrependPlace = 'path' | 'policy' | 'nowhere';

export function prependPlace(file: ConfigFile): PrependPlace {
  if (file.gobgp.mode === 'attached') return 'path';
  const internal = file.peers.filter((peer) => isInternal(file, peer)).length;
  if (internal === 0) return 'path';
  return internal === file.peers.length ? 'nowhere' : 'policy';
}

/** @param fileSourceName the name of the source whose ports need no network */
export function decisionSettings(file: ConfigFile, host: string, fileSourceName: string): DecisionSettings {
  const { announce, gobgp, graceSeconds } = file;
  return {
    host,
    networks: announce.networks === '*' ? 'any' : new Set(announce.networks),
    external: announce.external,
    anyNetworkSources: new Set([fileSourceName]),
    allowedAddressPairs: announce.allowedAddressPairs,
    deviceOwners: announce.deviceOwners,
    vnicTypes: new Set(announce.vnicTypes),
    requireActive: announce.requireActive,
    prefixes: prefixSet(announce.prefixes),
    deniedPrefixes: prefixSet(announce.deniedPrefixes),
    routeLimit: file.limits.routes,
    graceMs: {
      inactive: graceSeconds.inactive * 1000,
      migration: graceSeconds.migration * 1000,
      unconfirmed: graceSeconds.unconfirmed * 1000,
      unmentioned: graceSeconds.unmentioned * 1000,
    },
    mode: gobgp.mode,
    attributes: { ipv4: attributesOf(file, 'ipv4'), ipv6: attributesOf(file, 'ipv6') },
    markers: markersOf(file),
  };
}

/** The present marker first, then former ones. */
export function markersOf({ gobgp }: ConfigFile): readonly [string, ...string[]] {
  return [gobgp.marker, ...gobgp.formerMarkers.filter((marker) => marker !== gobgp.marker)];
}

function attributesOf(file: ConfigFile, family: Family): Readonly<Record<Shape, PathAttributes>> | undefined {
  const { hop } = nextHopOf(file, family);
  if (hop === undefined) return undefined;
  const { communities, largeCommunities, med, localPref } = file.announce;
  const common: Partial<PathAttributes> = {
    nextHop: hop,
    largeCommunities: [file.gobgp.marker, ...largeCommunities],
    ...(med === undefined ? {} : { med }),
  };
  const prepends = prependPlace(file) === 'path' ? file.worse.prepends : 0;
  return {
    normal: pathAttributes({ ...common, communities, ...(localPref === undefined ? {} : { localPref }) }),
    worse: pathAttributes({
      ...common,
      communities: [...communities, GRACEFUL_SHUTDOWN],
      localPref: 0,
      asPath: Array.from({ length: prepends }, () => file.gobgp.asn),
    }),
  };
}
