/** What the forwarding table of a real router's kernel sees of an upgrade of GoBGP from API v3 to v4 under a running daemon: nothing. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { startBird } from '../lab/bird.ts';
import { GOBGP_3_10, GOBGP_4_8 } from '../lab/gobgp-versions.ts';
import { startGobgpd } from '../lab/gobgpd.ts';
import { ASN, ROUTER_ASN } from '../lab/hypervisor.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { requireNamespaces, wiredNamespaces } from '../lab/netns.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const [HERE, THERE] = ['198.18.0.1', '198.18.0.2'];
const ROUTES = 100;

const lab = new Lab('fib');
beforeAll(requireNamespaces);
afterAll(() => lab.close());

it('keeps every route in the kernel of the router', async () => {
  const [hypervisor, router] = await wiredNamespaces(lab, [[`${HERE}/24`], [`${THERE}/24`]]);
  const gobgpd = await startGobgpd(lab, { wrapper: hypervisor.wrapper, version: GOBGP_3_10 });
  const bird = await startBird(lab, {
    wrapper: router.wrapper,
    asn: ROUTER_ASN,
    address: THERE,
    port: await freePort(),
    routerId: THERE,
    neighbors: [{ name: 'hv1', address: HERE, port: gobgpd.listenPort, asn: ASN, direct: true }],
    extra: 'protocol kernel fib { ipv4 { export where source = RTS_BGP; import none; }; }',
  });
  const addresses = (count: number): string =>
    stringify({ ports: Array.from({ length: count }, (_, index) => ({ addresses: [`203.0.113.${index + 1}`] })) });
  writeFileSync(lab.path('bindings.yaml'), addresses(ROUTES));
  writeFileSync(
    lab.path('agent.yaml'),
    stringify({
      stateDirectory: 'state',
      operator: { socket: 'operator.sock' },
      http: { listen: 'off' },
      sources: { file: { path: 'bindings.yaml' } },
      announce: { prefixes: ['203.0.113.0/24'] },
      gobgp: { address: gobgpd.socket, asn: ASN, routerId: HERE, listenPort: gobgpd.listenPort, listenAddresses: [HERE] },
      peers: [{ address: THERE, asn: ROUTER_ASN, localAddress: HERE, remotePort: bird.port, families: ['ipv4'] }],
    }),
  );
  const monitor = lab.start('monitor', 'ip', ['-n', router.name, 'monitor', 'route']);
  lab.start('daemon', process.execPath, [MAIN, 'run', '--config', lab.path('agent.yaml')]);
  const changes = (): string[] => {
    const text = readFileSync(monitor.logFile, 'utf8');
    return text.split('\n').filter((line) => line.includes('203.0.113.'));
  };
  await until('every route in the kernel', () => changes().length >= ROUTES, 60_000);
  expect(changes()).toHaveLength(ROUTES);

  await gobgpd.restart(GOBGP_4_8);
  await until('the session is back', async () => ((await bird.sessions())[0]?.timesUp ?? 0) >= 2, 60_000);
  await bird.established();
  // One more route is the sign that everything before it has been said.
  writeFileSync(lab.path('bindings.yaml'), addresses(ROUTES + 1));
  await until('the next route in the kernel', () => changes().some((line) => line.includes(`203.0.113.${ROUTES + 1} `)), 60_000);
  expect(changes().slice(ROUTES)).toHaveLength(1);
});
