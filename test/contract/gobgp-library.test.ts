/** The package as others get it: what is in it, and its examples, compiled and run against both APIs. It needs a build. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectGobgp } from '../../src/gobgp/client.ts';
import { pathAttributes } from '../../src/domain/route.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { startGobgpd } from '../lab/gobgpd.ts';
import { Lab, until } from '../lab/lab.ts';
import { labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let lab: Lab;
let files: string[];

beforeAll(() => {
  lab = new Lab('library');
  if (!existsSync(join(ROOT, 'dist/gobgp/index.js'))) throw new Error('dist is missing: npm run build');
  const npm = ['pack', '--ignore-scripts', '--json', '--pack-destination', lab.folder];
  const [packed] = JSON.parse(execFileSync('npm', npm, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as {
    filename: string;
    files: { path: string }[];
  }[];
  files = (packed?.files ?? []).map(({ path }) => path);
  // installed as npm would: the package as it is packed, and its dependencies beside it
  const modules = lab.path('node_modules');
  mkdirSync(join(modules, 'neutron-bgp-agent'), { recursive: true });
  execFileSync('tar', ['-xzf', lab.path(packed?.filename ?? ''), '-C', join(modules, 'neutron-bgp-agent'), '--strip-components=1']);
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => !entry.startsWith('.')))
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  cpSync(join(modules, 'neutron-bgp-agent/examples/gobgp'), lab.folder, { recursive: true });
  writeFileSync(lab.path('package.json'), '{ "type": "module" }');
});
afterAll(() => lab.close());

test('the package holds what it needs, and nothing of how it is made', () => {
  const needed = ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'dist/main.js', 'dist/gobgp/index.js', 'dist/gobgp/index.d.ts'];
  const more = ['proto/gobgp-v3.proto', 'proto/gobgp-v4.proto', 'config/standalone.yaml', 'config/agent.schema.json', 'docs/gobgp.md'];
  expect(files).toEqual(expect.arrayContaining([...needed, ...more, 'examples/gobgp/routes.ts']));
  const rooms = new Set(files.filter((file) => file.includes('/')).map((file) => file.slice(0, file.indexOf('/'))));
  expect([...rooms].toSorted()).toEqual(['config', 'dist', 'docs', 'examples', 'proto']);
  expect(files.filter((file) => /test|fixture|\.tgz$|buildinfo|\.map$|\.env|password|\.key$|node_modules/.test(file))).toEqual([]);
});

test('what the README shows, and the examples, are correct TypeScript for who installs the package', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, shown = ''] = /## The GoBGP client as a library\n[^]*?\n((?: {4}.*\n|\n)+)/.exec(readme) ?? [];
  expect(shown).toContain("from 'neutron-bgp-agent/gobgp'");
  writeFileSync(lab.path('readme.ts'), `${shown}console.log(outcome, routes);\n`);
  const strict = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const target = ['--target', 'es2023', '--module', 'nodenext', '--types', 'node', '--outDir', lab.path('out')];
  const sources = ['routes.ts', 'watch.ts', 'peers.ts', 'readme.ts'];
  execFileSync(join(ROOT, 'node_modules/.bin/tsc'), [...strict, ...target, ...sources], { cwd: lab.folder, encoding: 'utf8' });
});

describe.each(GOBGP_VERSIONS)('with GoBGP $name', (version) => {
  test('the examples do what they say', async () => {
    const gobgpd = await startGobgpd(lab, { name: `gobgpd-${version.name}`, version });
    const run = (name: string, ...args: string[]): string =>
      execFileSync(process.execPath, [lab.path('out', `${name}.js`), gobgpd.address, ...args], { encoding: 'utf8' });
    expect(run('routes').split('\n')).toEqual([
      `GoBGP at ${gobgpd.address} serves API ${version.api}`,
      'advertise done ',
      'advertise done ',
      expect.stringMatching(/^203\.0\.113\.1[01]\/32 self 64512:100$/),
      expect.stringMatching(/^203\.0\.113\.1[01]\/32 self 64512:100$/),
      'withdraw done',
      'withdraw done',
      '',
    ]);

    const watching = lab.start(`watch-${version.name}`, process.execPath, [lab.path('out/watch.js'), gobgpd.address]);
    const told = (): string => (existsSync(watching.logFile) ? readFileSync(watching.logFile, 'utf8') : '');
    await until('live', () => told().includes('live'));
    const client = connectGobgp({ address: gobgpd.address });
    lab.onClose(() => client.close());
    await client.advertise([{ prefix: prefixOf('203.0.113.1'), attributes: pathAttributes({}) }]);
    await client.withdraw([prefixOf('203.0.113.1')]);
    await until('both changes', () => told().includes('203.0.113.1/32 gone'));

    expect(run('peers', '192.0.2.254')).toMatch(/^192\.0\.2\.254 AS 64500 \w+, \d+ routes\n$/);
    expect(await client.listPeers()).toEqual([]);
    await gobgpd.restart();
    await until('the loss noticed', () => told().includes('AgentError'));
    await client.start(labSpeaker(gobgpd));
    await client.addPeer(labPeer(gobgpd, { address: '192.0.2.1', port: 179, asn: 64501 }));
    await until('live again', () => told().split('live').length > 2);
    await until('the peer', () => told().includes('peer 192.0.2.1 '));
    watching.kill('SIGTERM');
    expect(await watching.ended).toEqual({ code: 0, signal: null });
    expect(readFileSync(watching.logFile, 'utf8')).not.toContain('undefined');
  });
});
