import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Bird, startBird } from '../lab/bird.ts';
import { ASN, type Hypervisor, ROUTER_ASN, startHypervisor } from '../lab/hypervisor.ts';
import { Lab, until } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const A = '203.0.113.1';
const B = '203.0.113.2';
/** What a real push carries where the caller's Keystone token is. */
const TOKEN = 'gAAAAA-canary-token';

const outer = new Lab('daemon');
let rabbit: RabbitNode;
let lab: Lab;
let neutron: NeutronStandIn;
let networkId: string;
let router: Bird;
let hv1: Hypervisor;

beforeAll(async () => {
  rabbit = await startRabbit(outer);
});
afterAll(() => outer.close());

beforeEach(async () => {
  lab = new Lab('daemon');
  neutron = await startNeutronStandIn({ url: rabbit.url, token: TOKEN }).catch(async () => {
    // The test before stopped RabbitMQ and failed.
    await rabbit.restart();
    return startNeutronStandIn({ url: rabbit.url, token: TOKEN });
  });
  networkId = neutron.createNetwork().id;
  const address = loopbackAddress();
  router = await startBird(lab, { name: 'tor1', asn: ROUTER_ASN, neighbors: [{ name: 'hv1', address, asn: ASN }] });
  hv1 = await startHypervisor(lab, {
    name: 'hv1',
    address,
    router,
    networks: [networkId],
    sources: { neutron: { transportUrl: rabbit.url.replace(/^amqp:/, 'rabbit:') } },
  });
  await hv1.ready();
});
afterEach(async () => {
  await neutron.close();
  await lab.close();
});

async function boot(address: string): Promise<string> {
  const { id } = await neutron.bootPort({ host: 'hv1', networkId, fixedIps: [address] });
  await routerHas(address);
  return id;
}

function routerHas(...addresses: string[]): Promise<boolean> {
  return until(`the router has ${addresses.join(' ')}`, async () => {
    const prefixes = (await router.routes()).map(({ prefix }) => prefix);
    return addresses.every((address) => prefixes.includes(`${address}/32`));
  });
}

async function table(): Promise<string[]> {
  return (await router.routes()).map(({ prefix }) => prefix).toSorted();
}

/** Everything the router was told since `mark`. */
function updatesSince(mark: number): string[] {
  return router
    .updates()
    .slice(mark)
    .map(({ change, prefix }) => `${change} ${prefix}`);
}

describe('the daemon', () => {
  it('stops within 2 s, withdraws nothing, and the session outlives it', async () => {
    await boot(A);
    const mark = router.updates().length;
    const begin = performance.now();
    hv1.process().kill('SIGTERM');
    expect(await hv1.process().ended).toEqual({ code: 0, signal: null });
    expect(performance.now() - begin).toBeLessThan(2_000);
    const [session] = await router.sessions();
    await hv1.start();
    await hv1.ready();
    expect(updatesSince(mark)).toEqual([]);
    expect((await router.sessions())[0]?.timesUp).toBe(session?.timesUp);
    expect(await table()).toEqual([`${A}/32`]);
  });

  it('learns on its start what was deleted and what moved while it was away', async () => {
    const [deleted, moved] = [await boot(A), await boot(B)];
    const stays = await boot('203.0.113.3');
    await until('the state is kept', () => readFileSync(lab.path('hv1', 'state', 'state.json'), 'utf8').includes(stays));
    await hv1.process().stop();
    await neutron.deletePort(deleted);
    await neutron.evacuate(moved, 'hv2');
    await hv1.start();
    await until('what moved is withdrawn', async () => !(await table()).includes(`${B}/32`));
    await hv1.ready();
    // Nobody told of the deletion, and a look-up that finds nothing proves nothing: it stays, but loses to anyone else.
    expect((await router.route(`${A}/32`))?.communities).toEqual(['65535:0']);
    expect((await hv1.routes()).find(({ prefix }) => prefix === `${A}/32`)).toMatchObject({
      set: 'held',
      shape: 'worse',
      reason: 'not-found',
    });
    expect((await router.route('203.0.113.3/32'))?.communities).toEqual([]);
  });

  it('survives SIGKILL of gobgpd: the router keeps every route', async () => {
    await boot(A);
    await boot(B);
    const mark = router.updates().length;
    await hv1.gobgpd.kill();
    await until('the loss is noticed', async () => (await hv1.status()).speaker.state === 'away');
    await hv1.gobgpd.restart();
    await router.established(30_000);
    await until('GoBGP has its routes again', async () => (await hv1.status()).routes.own === 2);
    await hv1.ready();
    expect(updatesSince(mark).filter((update) => update.startsWith('removed'))).toEqual([]);
    expect(await table()).toEqual([`${A}/32`, `${B}/32`]);
  });

  it('starts with gobgpd and RabbitMQ away, says so, and needs no restart when they come', async () => {
    await hv1.process().stop();
    await hv1.gobgpd.kill();
    await neutron.close();
    await rabbit.stop();
    await hv1.start();
    const { stdout } = await hv1.cli('status');
    expect(stdout).toMatch(/neutron.*ECONNREFUSED/s);
    await until('both are said to be away', async () => {
      const { speaker, sources } = await hv1.status();
      return speaker.state === 'away' && sources[0]?.inSync === false;
    });
    await hv1.gobgpd.restart();
    await rabbit.restart();
    neutron = await startNeutronStandIn({ url: rabbit.url, token: TOKEN });
    ({ id: networkId } = neutron.createNetwork({ id: networkId }));
    await hv1.ready(60_000);
    await boot(A);
  });

  it('keeps its routes while RabbitMQ is away, and hears what it missed when it is back', async () => {
    const stays = await boot(A);
    const moves = await boot(B);
    const mark = router.updates().length;
    await rabbit.stop();
    await until('the loss is noticed', async () => (await hv1.status()).sources[0]?.inSync === false);
    expect(updatesSince(mark)).toEqual([]);
    const kept = [stays, moves].map((id) => neutron.port(id));
    await rabbit.restart();
    neutron = await startNeutronStandIn({ url: rabbit.url, token: TOKEN });
    for (const port of kept) neutron.ports.set(port.id, port);
    neutron.muted = true;
    await neutron.evacuate(moves, 'hv2');
    neutron.muted = false;
    await until('what moved is withdrawn', async () => (await table()).join() === `${A}/32`, 30_000);
    expect(updatesSince(mark)).toEqual([`removed ${B}/32`]);
  });

  it('repairs what somebody changed in GoBGP by hand', async () => {
    await boot(A);
    const mark = router.updates().length;
    await lab.start('meddler', 'gobgp', [
      '-u',
      hv1.gobgpd.host,
      '-p',
      hv1.gobgpd.address.split(':')[1] ?? '',
      'global',
      'rib',
      'del',
      `${A}/32`,
    ]).ended;
    await until('it is gone and back', () => updatesSince(mark).length === 2);
    expect(updatesSince(mark)).toEqual([`removed ${A}/32`, `added ${A}/32`]);
  });

  it('never lets a foreign route out of a managed GoBGP', async () => {
    await boot(A);
    const gobgp = (...args: string[]) =>
      lab.start('foreigner', 'gobgp', ['-u', hv1.gobgpd.host, '-p', hv1.gobgpd.address.split(':')[1] ?? '', 'global', 'rib', ...args])
        .ended;
    await gobgp('add', '203.0.113.99/32');
    await gobgp('add', '198.51.100.0/24');
    await until('it is shown as foreign', async () => (await hv1.routes()).filter(({ set }) => set === 'foreign').length === 2);
    await boot(B);
    expect(await table()).toEqual([`${A}/32`, `${B}/32`]);
  });

  it('is the only one: a second daemon names the first and exits', async () => {
    const { code, stderr } = await hv1.cli('run', '--config', hv1.configFile);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`pid ${hv1.process().pid}`);
  });

  it('takes over a socket that a killed daemon left', async () => {
    hv1.process().kill('SIGKILL');
    await hv1.process().ended;
    await hv1.start();
    await hv1.ready();
  });

  it('reads its configuration again on SIGHUP; a broken one changes nothing and says so', async () => {
    await boot(A);
    const good = readFileSync(hv1.configFile, 'utf8');
    writeFileSync(hv1.configFile, good.replace('prefixes:', 'prefixs:'));
    hv1.process().kill('SIGHUP');
    await until('the problem is shown', async () => (await hv1.status()).warnings.some((warning) => warning.includes('prefixs')));
    expect(await table()).toEqual([`${A}/32`]);
    const config = parse(good) as { announce: { deniedPrefixes?: string[] } };
    config.announce.deniedPrefixes = [`${A}/32`];
    writeFileSync(hv1.configFile, JSON.stringify(config));
    hv1.process().kill('SIGHUP');
    await until('the denied address is withdrawn', async () => (await table()).length === 0);
    expect((await hv1.status()).warnings).toEqual([]);
  });

  it('shows itself: metrics, health, explain, and no token in any log line', async () => {
    const id = await boot(A);
    const metrics = await (await fetch(hv1.metricsUrl)).text();
    for (const line of [
      'neutron_bgp_agent_routes{family="ipv4",set="desired"} 1',
      'neutron_bgp_agent_routes{family="ipv4",set="own"} 1',
      'neutron_bgp_agent_source_in_sync{source="neutron"} 1',
      'neutron_bgp_agent_operations_total{kind="advertise",outcome="done"} 1',
      'neutron_bgp_agent_event_to_advertise_seconds_count 1',
    ])
      expect(metrics).toContain(line);
    expect(metrics).toMatch(/peer_session_state\{peer="[\d.]+",asn="64500",state="established"\} 1/);
    const { code, stdout } = await hv1.cli('explain', A);
    expect(code).toBe(0);
    expect(stdout).toContain(id);
    expect((await fetch(hv1.metricsUrl.replace('/metrics', '/readyz'))).status).toBe(200);
    expect(readFileSync(hv1.process().logFile, 'utf8')).not.toContain(TOKEN);
    expect(neutron.agents.size).toBe(1);
  });
});

describe('the command line without a daemon', () => {
  it('says that it is not running, and where it looked', async () => {
    await hv1.process().stop();
    const { code, stderr } = await hv1.cli('routes');
    expect(code).toBe(3);
    expect(stderr).toContain('operator.sock');
  });
});
