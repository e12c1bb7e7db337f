/**
 * The GoBGP releases that the tests run against: the one that is installed, and those of newer Debian suites, unpacked into a
 * folder that git ignores. A suite that cannot be reached fails the test that asks for it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ApiVersion } from '../../src/gobgp/dialect.ts';

export type GobgpVersion = {
  /** `3.10`: the release, as it was when this was written; backports move on inside their major. */
  readonly name: string;
  readonly api: ApiVersion;
  /** The Debian suite it comes from; undefined: what is installed. */
  readonly suite?: string;
};

export const GOBGP_3_10: GobgpVersion = { name: '3.10', api: 'v3' };
const GOBGP_3_36: GobgpVersion = { name: '3.36', api: 'v3', suite: 'trixie' };
export const GOBGP_4_8: GobgpVersion = { name: '4.8', api: 'v4', suite: 'trixie-backports' };

export const GOBGP_VERSIONS: readonly GobgpVersion[] = [GOBGP_3_10, GOBGP_3_36, GOBGP_4_8];

const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/neutron-bgp-agent/gobgp', import.meta.url));
const SCRIPT = fileURLToPath(new URL('../setup/gobgp-versions.sh', import.meta.url));

/** Fetches it when it is not there. @throws with what apt said, when it cannot be had */
export function gobgpdBinary({ suite }: GobgpVersion): string {
  if (suite === undefined) return 'gobgpd';
  const binary = join(FOLDER, suite, 'usr/bin/gobgpd');
  if (!existsSync(binary)) execFileSync('bash', [SCRIPT, FOLDER, suite], { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  return binary;
}

/** `4.8.0`, as the program itself says. */
export function gobgpdRelease(version: GobgpVersion): string {
  return execFileSync(gobgpdBinary(version), ['--version'], { encoding: 'utf8' })
    .replace(/^gobgpd version /, '')
    .trim();
}
