/**
 * What one GoBGP release has and another has not, in one table, and the releases to stay away from. docs/gobgp.md shows both;
 * a test holds it to them. Sources: GoBGP's history and what was measured with 3.10, 3.36 and 4.8.
 */
import type { ApiVersion } from './dialect.ts';

/** `4.8.0` in parts. */
export type Release = readonly [major: number, minor: number, patch: number];

export type CapabilityName =
  | 'softwareVersion'
  | 'clientCertificates'
  | 'idleHoldTime'
  | 'listBatches'
  | 'prefixChecks'
  | 'gracefulStop'
  | 'bfd'
  | 'softResetWithdraws'
  | 'linkLocalNeighbours';

type Capability = {
  /** The first release that has it. */
  readonly since: Release;
  readonly what: string;
  readonly without: string;
};

export const CAPABILITIES: Readonly<Record<CapabilityName, Capability>> = {
  softwareVersion: {
    since: [3, 13, 0],
    what: 'tells its release over the API, as a capability of a peer (draft-abraitis-bgp-version-capability)',
    without: 'the release is known as its API major only',
  },
  clientCertificates: {
    since: [3, 13, 0],
    what: 'checks client certificates of its API (`--tls-client-ca-file`)',
    without: 'whoever reaches the API may use it: a unix socket with file permissions',
  },
  idleHoldTime: {
    since: [3, 15, 0],
    what: 'connects again soon after a NOTIFICATION (`idle_hold_time_after_reset`)',
    without: 'a router that ended the session is connected to again after 14 s to 30 s',
  },
  listBatches: {
    since: [3, 32, 0],
    what: 'lists a table in batches (`batch_size`), so that a long list does not hold up changes',
    without: 'a listing copies the whole table at once',
  },
  prefixChecks: {
    since: [4, 0, 0],
    what: 'refuses prefixes that are none',
    without: 'the client refuses them; gobgpd would send `/33` to its peers',
  },
  gracefulStop: {
    since: [4, 0, 0],
    what: 'stops BGP without a NOTIFICATION to peers with graceful restart (`StopBgp`), and is then to be restarted',
    without: 'every stop withdraws, but SIGKILL; after StopBgp the daemon can be started again over the API',
  },
  bfd: {
    since: [4, 6, 0],
    what: 'BFD (RFC 5880), asynchronous, single hop',
    without: 'a dead router is noticed after the hold time; the peer is opened without BFD, and shown as failed',
  },
  softResetWithdraws: {
    since: [4, 6, 0],
    what: 'withdraws at a soft reset what a narrower export policy no longer lets out',
    without: 'only the withdrawal of the route itself takes it back, so routes go before the policy',
  },
  linkLocalNeighbours: {
    since: [4, 8, 0],
    what: 'finds the router of an unnumbered session itself, also for peers that the API adds',
    without: "the agent takes it from the kernel's neighbour table",
  },
};

type KnownBad = { readonly from: Release; readonly upTo: Release; readonly why: string };

/** Releases with a fault that an agent of ours runs into. */
export const KNOWN_BAD: readonly KnownBad[] = [
  { from: [4, 0, 0], upTo: [4, 2, 99], why: 'may crash when routes are added (fixed in 4.3.0)' },
  { from: [4, 5, 0], upTo: [4, 5, 99], why: 'may leave a withdrawn route at the routers, because it reorders changes (fixed in 4.6.0)' },
  { from: [4, 6, 0], upTo: [4, 6, 99], why: 'holds every update back until the deferral time after a restart (fixed in 4.7.0)' },
];

/** @param text anything with a release in it: `GoBGP/4.8.0`, `gobgpd version 3.36.0` */
export function parseRelease(text: string): Release | undefined {
  const [, major, minor, patch] = /(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

export function releaseText(release: Release): string {
  return release.join('.');
}

/** @param release where it is not known, the first one of the API's major is assumed */
export function hasCapability(name: CapabilityName, api: ApiVersion, release: Release | undefined): boolean {
  const oldest: Release = [api === 'v3' ? 3 : 4, 0, 0];
  return compare(release ?? oldest, CAPABILITIES[name].since) >= 0;
}

/** One sentence of warning about a release; undefined when nothing is known against it. */
export function releaseWarning(release: Release): string | undefined {
  const bad = KNOWN_BAD.find(({ from, upTo }) => compare(release, from) >= 0 && compare(release, upTo) <= 0);
  return bad === undefined ? undefined : `GoBGP ${releaseText(release)} ${bad.why}: use another release`;
}

function compare(a: Release, b: Release): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
