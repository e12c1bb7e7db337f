/** The road on every release of GoBGP, and what a running daemon does when GoBGP becomes another one under it. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { type Bird, startBird } from '../lab/bird.ts';
import { GOBGP_3_10, GOBGP_4_8, GOBGP_VERSIONS, type GobgpVersion } from '../lab/gobgp-versions.ts';
import { ASN, type Hypervisor, ROUTER_ASN, startHypervisor } from '../lab/hypervisor.ts';
import { Lab, until } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';

const [A, B, V6] = ['203.0.113.1', '203.0.113.2', '2001:db8:113::1'];

let lab: Lab;
let router: Bird;
let hv: Hypervisor;
beforeEach(() => void (lab = new Lab('gobgp-upgrade')));
afterEach(() => lab.close());

const table = async (): Promise<string[]> => (await router.routes()).map(({ prefix }) => prefix).toSorted();
const routerHas = (...prefixes: string[]): Promise<unknown> =>
  until(`the router has ${prefixes.join(' ')}`, async () => JSON.stringify(await table()) === JSON.stringify(prefixes.toSorted()));
const removedSince = (mark: number): string[] =>
  router
    .updates()
    .slice(mark)
    .filter(({ change }) => change === 'removed')
    .map(({ prefix }) => prefix);

/** The whole truth for the file source. */
function bind(...addresses: string[]): void {
  const text = JSON.stringify({ ports: addresses.map((address) => ({ id: `port-${address}`, addresses: [address] })) });
  writeFileSync(lab.path('bindings.new'), text);
  renameSync(lab.path('bindings.new'), lab.path('bindings.yaml'));
}

async function start(gobgp: GobgpVersion): Promise<void> {
  const address = loopbackAddress();
  router = await startBird(lab, { name: 'tor1', asn: ROUTER_ASN, neighbors: [{ name: 'hv1', address, asn: ASN }] });
  bind();
  const change = { graceSeconds: { unmentioned: 1 } };
  hv = await startHypervisor(lab, { name: 'hv1', address, router, gobgp, change, sources: { file: { path: lab.path('bindings.yaml') } } });
  await hv.ready();
}

/** Changes the configuration file and tells the daemon. */
function reconfigure(edit: (config: { gobgp: Record<string, unknown>; announce: Record<string, unknown> }) => void): void {
  const config = parse(readFileSync(hv.configFile, 'utf8')) as Parameters<typeof edit>[0];
  edit(config);
  writeFileSync(hv.configFile, stringify(config));
  hv.process().kill('SIGHUP');
}

/** Kills gobgpd and starts it as the given release; waits until the router has a session again and no route is stale. */
async function replaceGobgpd(next: GobgpVersion): Promise<void> {
  const timesUp = (await router.sessions())[0]?.timesUp ?? 0;
  await hv.gobgpd.restart(next);
  await until('a new session', async () => (await router.sessions())[0]?.timesUp === timesUp + 1, 30_000);
  await hv.ready();
  await until('no stale route', async () => !(await router.command('show route all')).includes('stale'), 30_000);
}

describe.each(GOBGP_VERSIONS)('the road on GoBGP $name', (version) => {
  it('announces, changes, withdraws, and loses nothing when gobgpd is killed', async () => {
    await start(version);
    bind(A, V6);
    await routerHas(`${A}/32`, `${V6}/128`);
    bind(A, B, V6);
    await routerHas(`${A}/32`, `${B}/32`, `${V6}/128`);
    bind(A, V6);
    await routerHas(`${A}/32`, `${V6}/128`);
    bind(A, B, V6);
    await routerHas(`${A}/32`, `${B}/32`, `${V6}/128`);

    // a route of which nobody knows anything any more
    await hv.process().stop();
    rmSync(lab.path('hv1', 'state'), { recursive: true });
    bind(A, V6);
    await hv.start();
    const worse = await until('the worse shape', async () => {
      const route = await router.route(`${B}/32`);
      return route?.communities.includes('65535:0') === true ? route : undefined;
    });
    expect(worse.asPath.length).toBeGreaterThan(8);
    await routerHas(`${A}/32`, `${V6}/128`);

    const mark = router.updates().length;
    await replaceGobgpd(version);
    expect(removedSince(mark)).toEqual([]);
    expect(await table()).toEqual([`${V6}/128`, `${A}/32`]);
  });
});

describe('another GoBGP under a running daemon', () => {
  it.each([
    { before: GOBGP_3_10, after: GOBGP_4_8 },
    { before: GOBGP_4_8, after: GOBGP_3_10 },
  ])('$before.name to $after.name: the router loses no route, and the API is found anew', async ({ before, after }) => {
    await start(before);
    const addresses = Array.from({ length: 100 }, (_, index) => `203.0.113.${index + 1}`);
    bind(...addresses, V6);
    await until('all routes', async () => (await table()).length === 101);
    const mark = router.updates().length;
    await replaceGobgpd(after);
    expect(removedSince(mark)).toEqual([]);
    expect(await table()).toHaveLength(101);
    expect((await hv.status()).speaker).toEqual({
      state: 'ready',
      version: expect.stringMatching(`^GoBGP ${after.api === 'v3' ? 3 : 4}\\.`),
    });
    bind(...addresses, V6, '203.0.113.200');
    await until('a route by the new API', () => router.route('203.0.113.200/32'));
  });
});

describe.each([GOBGP_3_10, GOBGP_4_8])('a running GoBGP $name', (version) => {
  it('gets another router id by rebuild alone', async () => {
    await start(version);
    bind(A);
    await routerHas(`${A}/32`);
    const mark = router.updates().length;
    reconfigure(({ gobgp }) => (gobgp.routerId = '192.0.2.77'));
    await until('the refusal', async () => (await hv.status()).warnings.some((text) => /192\.0\.2\.77.*rebuild/.test(text)));
    bind(A, B);
    await routerHas(`${A}/32`, `${B}/32`);

    const asked = await hv.cli('rebuild');
    expect(asked.code).toBe(1);
    expect(asked.stdout).toMatch(/configured 192\.0\.2\.77/);
    expect(asked.stdout).toContain(router.address);
    expect((await router.sessions())[0]?.timesUp).toBe(1);

    expect((await hv.cli('rebuild', '--yes')).code).toBe(0);
    if (version === GOBGP_4_8) {
      await until('the daemon says what to do', async () => (await hv.status()).speaker.reason?.includes('restarted'));
      await hv.gobgpd.restart();
    }
    await until('the session again', async () => (await router.sessions())[0]?.timesUp === 2, 30_000);
    await until('the new router id', async () => (await router.command('show protocols all hv1')).includes('192.0.2.77'));
    await routerHas(`${A}/32`, `${B}/32`);
    await hv.ready();
    expect((await hv.status()).warnings.join()).not.toContain('rebuild');
    // GoBGP 4 stops without a NOTIFICATION
    expect(removedSince(mark)).toEqual(version === GOBGP_4_8 ? [] : expect.arrayContaining([`${A}/32`]));
  });

  it('gets other prefixes with nothing sent but what they change', async () => {
    await start(version);
    bind(A, '198.51.100.1');
    await routerHas(`${A}/32`);
    const mark = router.updates().length;
    const since = (): string[] =>
      router
        .updates()
        .slice(mark)
        .map(({ change, prefix }) => `${change} ${prefix}`);
    reconfigure(({ announce }) => (announce.prefixes = ['203.0.113.0/24', '198.51.100.0/24']));
    await routerHas(`${A}/32`, '198.51.100.1/32');
    expect(since()).toEqual(['added 198.51.100.1/32']);
    reconfigure(({ announce }) => (announce.prefixes = ['198.51.100.0/24', '2001:db8:113::/64']));
    await routerHas('198.51.100.1/32');
    expect(since()).toEqual(['added 198.51.100.1/32', `removed ${A}/32`]);
    reconfigure(({ announce }) => (announce.prefixes = ['203.0.113.0/24']));
    await routerHas(`${A}/32`);
    expect(since().slice(2).toSorted()).toEqual([`added ${A}/32`, 'removed 198.51.100.1/32']);
    expect((await router.sessions())[0]?.timesUp).toBe(1);
  });
});
