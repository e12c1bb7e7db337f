/**
 * Which release of GoBGP runs. No call of its API says so, but a peer's capabilities do (from 3.13 on): those of internal
 * peers, and of peers that ask for it. Where no such peer is, one is added that can never have a session, looked at, and
 * deleted; it shows nowhere else.
 */
import { codeOf } from '../lib/errors.ts';
import { parseRelease, type Release } from './capabilities.ts';
import { ask, collect, type Session, type Settings } from './session.ts';
import type { WirePeer } from './wire.ts';

/** Of the range that nobody can use (RFC 1112 section 4). */
const PROBE_ADDRESS = '240.0.0.1';
/** Reserved (RFC 7607 asks for more than 0). */
const PROBE_ASN = 65_535;

export function isReleaseProbe({ conf, state }: WirePeer): boolean {
  return (conf?.neighborAddress || state?.neighborAddress) === PROBE_ADDRESS;
}

/**
 * The release of a daemon whose BGP was started; undefined when it does not tell.
 * @param mayProbe whether a peer may be added for it
 */
export async function findRelease(session: Session, mayProbe: boolean, settings: Settings): Promise<Release | undefined> {
  const listed = await listedRelease(session, settings);
  if (listed !== undefined && !listed.isProbe) return listed.release;
  // The probe of a process that was killed in between tells as well; it goes with this one.
  return mayProbe ? probe(session, settings, listed !== undefined) : listed?.release;
}

async function listedRelease(session: Session, settings: Settings): Promise<{ release: Release; isProbe: boolean } | undefined> {
  for (const { peer } of await collect(session, 'ListPeer', {}, settings)) {
    const text = session.dialect.softwareVersion(peer?.state?.localCap ?? []);
    const release = text === undefined ? undefined : parseRelease(text);
    if (release !== undefined) return { release, isProbe: peer !== undefined && isReleaseProbe(peer) };
  }
  return undefined;
}

async function probe(session: Session, settings: Settings, isThere: boolean): Promise<Release | undefined> {
  const peer: WirePeer = {
    conf: { neighborAddress: PROBE_ADDRESS, peerAsn: PROBE_ASN, adminDown: true, sendSoftwareVersion: true },
    transport: { passiveMode: true },
  };
  try {
    if (!isThere) await ask(session, 'AddPeer', { peer }, settings);
    return (await listedRelease(session, settings))?.release;
  } catch (error) {
    // a daemon that takes no such peer does not tell its release; what is wrong with it shows elsewhere
    if (codeOf(error) === 'gobgp-refused') return undefined;
    throw error;
  } finally {
    await ask(session, 'DeletePeer', { address: PROBE_ADDRESS }, { ...settings, signal: undefined }).catch(() => undefined);
  }
}
