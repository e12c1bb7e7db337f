/**
 * Are the npm packages of `package-lock.json` installed? Run as a program it installs them when they are not; `test/run.mjs` does
 * that under a lock, so the question is asked again inside it. No dependencies: this runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compares the lock file with the record of what it installed that npm keeps in `node_modules`; npm writes it last. */
export function areNpmPackagesInstalled(root) {
  const recordFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(recordFile)) return false;
  const wanted = packagesOf(join(root, 'package-lock.json'));
  const installed = packagesOf(recordFile);
  const isInstalled = ([path, { integrity, optional }]) =>
    path === '' || (path in installed ? installed[path].integrity === integrity : optional === true);
  return Object.entries(wanted).every(isInstalled) && Object.keys(installed).every((path) => path in wanted);
}

function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  if (!areNpmPackagesInstalled(root)) {
    console.error('installing npm packages: npm ci');
    const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--include=dev'], { cwd: root, stdio: ['ignore', 2, 2] });
    process.exitCode = status ?? 1;
  }
}
