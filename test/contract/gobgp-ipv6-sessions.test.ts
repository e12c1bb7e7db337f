/** Sessions over IPv6, where next hop self is a usable IPv6 address: over a wire between two namespaces, so it needs root. */
import { execFileSync } from 'node:child_process';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pathAttributes } from '../../src/domain/route.ts';
import { linkLocalRouter, routerAmong } from '../../src/gobgp/link-local.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { startBird } from '../lab/bird.ts';
import { startFrr } from '../lab/frr.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { startGobgpd } from '../lab/gobgpd.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { requireNamespaces, wiredNamespaces } from '../lab/netns.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;

describe.each(GOBGP_VERSIONS)('over IPv6, GoBGP $name', (version) => {
  beforeAll(requireNamespaces);
  let lab: Lab;
  beforeEach(() => void (lab = new Lab('ipv6')));
  afterEach(() => lab.close());

  test('next hop self arrives as the address of the session, at BIRD and at FRR', async () => {
    const [here, there] = await wiredNamespaces(lab, [['fd91::1/64'], ['fd91::2/64', 'fd91::3/64']]);
    const gobgpd = await startGobgpd(lab, { version, wrapper: here.wrapper });
    const neighbors = [{ address: 'fd91::1', port: gobgpd.listenPort, asn: LAB_ASN, direct: true }];
    const router = { neighbors, wrapper: there.wrapper };
    const bird = await startBird(lab, { ...router, asn: 64500, address: 'fd91::2', port: await freePort(), routerId: '192.0.2.2' });
    const frr = await startFrr(lab, { ...router, asn: 64501, address: 'fd91::3', port: await freePort(), routerId: '192.0.2.3' });
    const settings = labSpeaker(gobgpd, {
      routerId: '192.0.2.1',
      listenAddresses: ['fd91::1'],
      peers: [bird, frr].map((some) => labPeer(gobgpd, some, { localAddress: 'fd91::1' })),
    });
    const speaker = new GobgpSpeaker({ address: gobgpd.socket });
    lab.onClose(() => speaker.close());
    await speaker.prepare(settings, signal);
    const attributes = pathAttributes({ largeCommunities: [LAB_MARKER] });
    await speaker.apply([{ kind: 'advertise', route: { prefix: prefixOf('2001:db8::1'), attributes } }], signal);
    await speaker.openPeers(settings, signal);
    await Promise.all([bird.established(), frr.established()]);
    expect(await until('at BIRD', () => bird.route('2001:db8::1/128'))).toMatchObject({
      asPath: [LAB_ASN],
      nextHop: expect.stringMatching(/^fd91::1\b/),
    });
    const best = async () => (await frr.route('2001:db8::1/128')).find(({ best: isBest }) => isBest);
    expect(await until('at FRR', best)).toMatchObject({ valid: true, nextHops: expect.arrayContaining(['fd91::1']) });
  });

  test('an unnumbered session finds its router in the neighbour table, and is recognised afterwards', async () => {
    const [here, there] = await wiredNamespaces(lab, [[], []]);
    const gobgpd = await startGobgpd(lab, { version, wrapper: here.wrapper });
    const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
    const router = ip('-n', there.name, '-6', 'address', 'show', 'dev', there.interface);
    const mac = ip('-n', there.name, 'link', 'show', 'dev', there.interface);
    const address = /fe80:[0-9a-f:]+/.exec(router)?.[0] ?? '';
    // what a router advertisement of the router would do
    const lladdr = /link\/ether ([0-9a-f:]+)/.exec(mac)?.[1] ?? '';
    ip('-n', here.name, 'neigh', 'replace', address, 'lladdr', lladdr, 'dev', here.interface, 'router', 'nud', 'reachable');
    const find = async (name: string): Promise<string> =>
      routerAmong(ip('-n', here.name, '-6', '-json', 'neigh', 'show', 'dev', name), name);
    expect(await find(here.interface)).toBe(`${address}%${here.interface}`);

    const speaker = new GobgpSpeaker({ address: gobgpd.socket, linkLocalRouter: find });
    lab.onClose(() => speaker.close());
    const { localAddress: _none, remotePort: _default, ...peer } = labPeer(gobgpd, { address: '', port: 179, asn: 64500 });
    const settings = labSpeaker(gobgpd, {
      routerId: '192.0.2.1',
      listenAddresses: ['::'],
      peers: [{ ...peer, neighbor: { interface: here.interface } }],
    });
    await speaker.prepare(settings, signal);
    expect(await speaker.openPeers(settings, signal)).toEqual([{ name: here.interface, result: 'added' }]);
    expect(await speaker.openPeers(settings, signal)).toEqual([{ name: here.interface, result: 'unchanged' }]);
    expect(await speaker.listPeers(signal)).toMatchObject([{ name: here.interface, asn: 64500 }]);
    expect(await speaker.listAdvertised(here.interface, signal)).toEqual([]);
    expect(await speaker.openPeers({ ...settings, peers: [] }, signal)).toEqual([{ name: here.interface, result: 'deleted' }]);
  });

  test('an interface without a router is told', async () => {
    await expect(linkLocalRouter('lo', signal)).rejects.toMatchObject({ code: 'no-link-local-router', kind: 'retryable' });
    await expect(linkLocalRouter('no-such-if', signal)).rejects.toMatchObject({ code: 'no-link-local-router', kind: 'retryable' });
  });
});
