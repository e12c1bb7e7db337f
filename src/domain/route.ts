/** A BGP route as we advertise it (RFC 4271): a host prefix and its path attributes, compared whole. */
import type { Prefix } from './prefix.ts';

/**
 * Path attributes in canonical form: `communities` and `largeCommunities` are sorted and without repetition,
 * because their order means nothing on the wire. Make one with `pathAttributes()`.
 */
export type PathAttributes = {
  readonly origin: 'igp' | 'egp' | 'incomplete';
  /** The AS_PATH as injected: our own ASN once for each time it is to be prepended, empty otherwise. */
  readonly asPath: readonly number[];
  /** A canonical address, or `self`: the local address of each session (RFC 4271 section 5.1.3). */
  readonly nextHop: string;
  /** MULTI_EXIT_DISC, 0 to 4294967295. */
  readonly med?: number;
  /** LOCAL_PREF, 0 to 4294967295; it reaches iBGP peers only. */
  readonly localPref?: number;
  /** `65535:0` (RFC 1997). */
  readonly communities: readonly string[];
  /** `4200000179:1:1` (RFC 8092). */
  readonly largeCommunities: readonly string[];
  /** Names of attributes found on a path that we never set; any of them makes the path differ from ours. */
  readonly others: readonly string[];
};

export type Route = { readonly prefix: Prefix; readonly attributes: PathAttributes };

/** `worse` loses against any other announcement of the prefix, but carries traffic while it is alone. */
export type Shape = 'normal' | 'worse';

/** GRACEFUL_SHUTDOWN (RFC 8326). */
export const GRACEFUL_SHUTDOWN = '65535:0';

/** Fills in the defaults and brings the attributes into canonical form. */
export function pathAttributes(attributes: Partial<PathAttributes>): PathAttributes {
  return {
    origin: 'igp',
    asPath: [],
    nextHop: 'self',
    ...attributes,
    communities: sortedSet(attributes.communities),
    largeCommunities: sortedSet(attributes.largeCommunities),
    others: sortedSet(attributes.others),
  };
}

export function sameAttributes(a: PathAttributes, b: PathAttributes): boolean {
  return (
    a === b ||
    (a.origin === b.origin &&
      a.nextHop === b.nextHop &&
      a.med === b.med &&
      a.localPref === b.localPref &&
      sameList(a.asPath, b.asPath) &&
      sameList(a.communities, b.communities) &&
      sameList(a.largeCommunities, b.largeCommunities) &&
      sameList(a.others, b.others))
  );
}

export function sameRoute(a: Route | undefined, b: Route | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.prefix === b.prefix && sameAttributes(a.attributes, b.attributes);
}

/** Whether a path carries one of our markers: what makes a route ours (docs/design.md part 6). */
export function isMarked(attributes: PathAttributes, markers: readonly string[]): boolean {
  return attributes.largeCommunities.some((community) => markers.includes(community));
}

export function shapeOf(attributes: PathAttributes): Shape {
  return attributes.communities.includes(GRACEFUL_SHUTDOWN) ? 'worse' : 'normal';
}

function sortedSet(values: readonly string[] = []): readonly string[] {
  return values.length < 2 ? values : [...new Set(values)].toSorted();
}

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a === b || (a.length === b.length && a.every((value, index) => value === b[index]));
}
