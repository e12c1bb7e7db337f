/** The GoBGP that is installed on this machine, for `config check`, which asks no daemon. A running one tells its release itself. */
import { spawnSync } from 'node:child_process';
import type { SpeakerSettings } from '../domain/settings.ts';
import { peerName } from '../domain/settings.ts';
import { hasCapability, parseRelease, releaseText, releaseWarning } from './capabilities.ts';

/** What `gobgpd --version` prints; undefined where there is none on the PATH. */
export function installedGobgpd(): string | undefined {
  const { status, stdout } = spawnSync('gobgpd', ['--version'], { encoding: 'utf8', timeout: 2_000 });
  return status === 0 ? stdout.trim() : undefined;
}

/** What an operator should know of that release, given the settings. @param text what it prints */
export function installedWarnings(text: string, { peers }: SpeakerSettings): readonly string[] {
  const release = parseRelease(text);
  if (release === undefined) return [];
  const warning = releaseWarning(release);
  const withBfd = hasCapability('bfd', release[0] >= 4 ? 'v4' : 'v3', release) ? [] : peers.filter(({ bfd }) => bfd !== undefined);
  return [
    ...(warning === undefined ? [] : [`${warning} (it is what gobgpd --version says here)`]),
    ...withBfd.map((peer) => `peers: ${peerName(peer)} asks for bfd, which needs GoBGP 4.6; gobgpd here is ${releaseText(release)}`),
  ];
}

/** Whether an address of the API is on this machine. */
export function isLocalAddress(address: string): boolean {
  return /^(unix:|localhost:|127\.|\[::1\]:)/.test(address);
}
