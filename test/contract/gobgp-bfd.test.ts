/** BFD against BIRD, over a wire between two namespaces: GoBGP sends to port 3784 of its neighbour and listens on its own. Needs root. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pathAttributes } from '../../src/domain/route.ts';
import type { SpeakerSettings } from '../../src/domain/settings.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { type Bird, startBird } from '../lab/bird.ts';
import { GOBGP_3_10, GOBGP_4_8, type GobgpVersion } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { requireNamespaces, wiredNamespaces } from '../lab/netns.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const bfd = { transmitIntervalMs: 100, receiveIntervalMs: 100, multiplier: 3 };
const route = { prefix: prefixOf('203.0.113.1'), attributes: pathAttributes({ largeCommunities: [LAB_MARKER] }) };

describe('BFD', () => {
  beforeAll(requireNamespaces);
  let lab: Lab;
  let gobgpd: Gobgpd;
  let bird: Bird;
  let speaker: GobgpSpeaker;
  let settings: SpeakerSettings;
  beforeEach(() => void (lab = new Lab('bfd')));
  afterEach(() => lab.close());

  async function start(version: GobgpVersion): Promise<void> {
    const [here, there] = await wiredNamespaces(lab, [['198.18.0.1/30'], ['198.18.0.2/30']]);
    gobgpd = await startGobgpd(lab, { version, wrapper: here.wrapper });
    const neighbors = [
      { address: '198.18.0.1', port: gobgpd.listenPort, asn: LAB_ASN, direct: true, gracefulRestart: false, extra: 'bfd on;' },
    ];
    const extra = 'protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }';
    bird = await startBird(lab, { asn: 64500, address: '198.18.0.2', port: await freePort(), neighbors, extra, wrapper: there.wrapper });
    speaker = new GobgpSpeaker({ address: gobgpd.socket });
    lab.onClose(() => speaker.close());
    settings = labSpeaker(gobgpd, {
      routerId: '198.18.0.1',
      listenAddresses: ['198.18.0.1'],
      peers: [labPeer(gobgpd, bird, { localAddress: '198.18.0.1', gracefulRestart: undefined, bfd })],
    });
    await speaker.prepare(settings, signal);
    await speaker.apply([{ kind: 'advertise', route }], signal);
  }

  test('a gobgpd that hangs is noticed long before the hold time; a change of the timers is noticed, once', async () => {
    await start(GOBGP_4_8);
    expect(await speaker.openPeers(settings, signal)).toEqual([{ name: bird.address, result: 'added' }]);
    await bird.established();
    await until('the route', () => bird.route(route.prefix));
    await until('BFD up', async () => /198\.18\.0\.1\s+\S+\s+Up/.test(await bird.command('show bfd sessions')));
    expect(await speaker.openPeers(settings, signal)).toEqual([{ name: bird.address, result: 'unchanged' }]);
    const begin = performance.now();
    gobgpd.process().kill('SIGSTOP');
    await until('the route gone', async () => (await bird.route(route.prefix)) === undefined);
    expect(performance.now() - begin).toBeLessThan(3_000);
    gobgpd.process().kill('SIGCONT');
    const other = { ...settings, peers: settings.peers.map((peer) => ({ ...peer, bfd: { ...bfd, multiplier: 5 } })) };
    expect(await speaker.openPeers(other, signal)).toMatchObject([{ result: 'replaced' }]);
    expect(await speaker.openPeers(other, signal)).toMatchObject([{ result: 'unchanged' }]);
    await bird.established();
  });

  test('a GoBGP without it opens the peer all the same, and says what is missing', async () => {
    await start(GOBGP_3_10);
    const failed = [{ name: bird.address, result: 'failed', error: expect.stringMatching(/without BFD.*4\.6/) }];
    expect(await speaker.openPeers(settings, signal)).toEqual(failed);
    await bird.established();
    await until('the route', () => bird.route(route.prefix));
    expect(await speaker.openPeers(settings, signal)).toEqual(failed);
    expect((await bird.sessions())[0]?.timesUp).toBe(1);
  });
});
