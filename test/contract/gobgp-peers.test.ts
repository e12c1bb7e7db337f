/** The peers of a managed GoBGP against real routers: every setting takes effect, a change is noticed, nothing else is touched. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathAttributes } from '../../src/domain/route.ts';
import type { PeerSettings } from '../../src/domain/settings.ts';
import { GobgpSpeaker, type GobgpSpeakerOptions } from '../../src/gobgp/speaker.ts';
import { type Bird, type BirdNeighbor, startBird } from '../lab/bird.ts';
import { startFrr } from '../lab/frr.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const SECRET = 'correct horse battery staple';

describe.each(GOBGP_VERSIONS)('GoBGP $name', (version) => {
  let lab: Lab;
  let gobgpd: Gobgpd;
  let speaker: GobgpSpeaker;
  beforeEach(async () => {
    lab = new Lab('peers');
    gobgpd = await startGobgpd(lab, { version });
    speaker = connect();
    await speaker.prepare(labSpeaker(gobgpd), signal);
  });
  afterEach(() => lab.close());

  function connect(options: Partial<GobgpSpeakerOptions> = {}): GobgpSpeaker {
    const connected = new GobgpSpeaker({ address: gobgpd.address, ...options });
    lab.onClose(() => connected.close());
    return connected;
  }

  const open = (...peers: PeerSettings[]) => speaker.openPeers(labSpeaker(gobgpd, { peers }), signal);
  const birdFor = (name: string, neighbor: Partial<BirdNeighbor> = {}): Promise<Bird> =>
    startBird(lab, { name, asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN, ...neighbor }] });

  describe('every setting takes effect', () => {
    test('timers, families, graceful restart and its long-lived kind', async () => {
      const bird = await birdFor('bird');
      const gracefulRestart = { restartTimeSeconds: 4_095, deferralTimeSeconds: 1, longLivedSeconds: 86_400 };
      await open(labPeer(gobgpd, bird, { holdTimeSeconds: 12, keepaliveSeconds: 4, families: ['ipv4'], gracefulRestart }));
      await bird.established();
      const state = await bird.command('show protocols all hv1');
      const remote = state.slice(state.indexOf('Neighbor capabilities'), state.indexOf('Session:'));
      expect(state).toMatch(/Hold timer: +[\d.]+\/12/);
      expect(remote).toMatch(/AF announced: ipv4\n/);
      expect(remote).toMatch(/Restart time: 4095/);
      expect(remote).toMatch(/LL stale time: 86400/);
      expect(await speaker.listPeers(signal)).toMatchObject([{ families: ['ipv4'] }]);
    });

    test('without graceful restart none is offered', async () => {
      const bird = await birdFor('bird');
      await open(labPeer(gobgpd, bird, { gracefulRestart: undefined }));
      await bird.established();
      const state = await bird.command('show protocols all hv1');
      expect(state.slice(state.indexOf('Neighbor capabilities'))).not.toMatch(/Graceful restart/);
    });

    test('a passive router is connected to on its port, a passive peer waits', async () => {
      const waiting = await startBird(lab, { name: 'waiting', asn: 64500, neighbors: [{ address: gobgpd.host, asn: LAB_ASN }] });
      const calling = await birdFor('calling');
      const { remotePort: _unknown, ...passive } = labPeer(gobgpd, calling, { passive: true });
      await open(labPeer(gobgpd, waiting), passive);
      await Promise.all([waiting.established(), calling.established()]);
    });

    test('the right MD5 password lets the session come up, a wrong one does not', async () => {
      const right = await birdFor('right', { password: SECRET });
      const wrong = await birdFor('wrong', { password: 'something else' });
      const outcomes = await open(labPeer(gobgpd, right, { password: SECRET }), labPeer(gobgpd, wrong, { password: SECRET }));
      await right.established();
      expect((await wrong.sessions())[0]?.established).toBe(false);
      expect(JSON.stringify([outcomes, await speaker.listPeers(signal)])).not.toContain(SECRET);
    });

    test('GTSM with a router that asks for it', async () => {
      const settings = ['ttl-security hops 1'];
      const frr = await startFrr(lab, {
        asn: 64501,
        neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN, settings }],
      });
      await open(labPeer(gobgpd, frr, { ttlSecurityMin: 255 }));
      await frr.established();
    });

    test('several hops with a router that is far', async () => {
      const bird = await birdFor('bird');
      await open(labPeer(gobgpd, bird, { multihopTtl: 5 }));
      await bird.established();
    });
  });

  describe('a change', () => {
    /** A peer that never answers. */
    const silent = async (more: Partial<PeerSettings> = {}): Promise<PeerSettings> => {
      const address = loopbackAddress();
      return labPeer(gobgpd, { address, port: await freePort(address), asn: 64500 }, { password: SECRET, ...more });
    };
    const { password: _none, ...withoutPassword } = { password: SECRET };
    const rows: readonly [name: string, change: (peer: PeerSettings) => PeerSettings][] = [
      ['ASN', (peer) => ({ ...peer, asn: 64999 })],
      ['password', (peer) => ({ ...peer, password: `${SECRET}!` })],
      ['no password', ({ password: _gone, ...peer }) => ({ ...peer, ...withoutPassword })],
      ['local address', (peer) => ({ ...peer, localAddress: loopbackAddress() })],
      ['remote port', (peer) => ({ ...peer, remotePort: 1790 })],
      ['passive', (peer) => ({ ...peer, passive: true })],
      ['multihop', (peer) => ({ ...peer, multihopTtl: 3 })],
      ['GTSM', (peer) => ({ ...peer, ttlSecurityMin: 254 })],
      ['hold time', (peer) => ({ ...peer, holdTimeSeconds: 30 })],
      ['keepalive', (peer) => ({ ...peer, keepaliveSeconds: 2 })],
      ['connect retry', (peer) => ({ ...peer, connectRetrySeconds: 5 })],
      ['families', (peer) => ({ ...peer, families: ['ipv6'] })],
      ['no graceful restart', (peer) => ({ ...peer, gracefulRestart: undefined })],
      ['restart time', (peer) => ({ ...peer, gracefulRestart: { restartTimeSeconds: 31, deferralTimeSeconds: 2 } })],
      ['deferral time', (peer) => ({ ...peer, gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 3 } })],
      ['long-lived', (peer) => ({ ...peer, gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2, longLivedSeconds: 60 } })],
    ];

    test.each(rows)('of the %s is noticed, once', async (_name, change) => {
      const peer = await silent();
      const name = 'address' in peer.neighbor ? peer.neighbor.address : '';
      expect(await open(peer)).toEqual([{ name, result: 'added' }]);
      expect(await open(peer)).toEqual([{ name, result: 'unchanged' }]);
      const changed = change(peer);
      expect(await open(changed)).toEqual([{ name, result: 'replaced' }]);
      expect(await open(changed)).toEqual([{ name, result: 'unchanged' }]);
      expect(await open()).toEqual([{ name, result: 'deleted' }]);
      expect(await speaker.listPeers(signal)).toEqual([]);
    });

    test('of the label, the order of families or the spelling of an address is none', async () => {
      const peer = await silent({ neighbor: { address: '2001:db8::9' }, localAddress: '::1' });
      await open(peer);
      const same: PeerSettings = { ...peer, neighbor: { address: '2001:DB8:0::9' }, description: 'tor', families: ['ipv6', 'ipv4'] };
      expect(await open(same)).toEqual([{ name: '2001:db8::9', result: 'unchanged' }]);
      expect(await speaker.listPeers(signal)).toMatchObject([{ name: '2001:db8::9', description: 'tor' }]);
    });

    test('of two routers takes one session at a time; the third is not touched', async () => {
      const [one, two, three] = [await birdFor('one'), await birdFor('two'), await birdFor('three')];
      const peers = (holdTimeSeconds: number): PeerSettings[] => [
        labPeer(gobgpd, one, { holdTimeSeconds }),
        labPeer(gobgpd, two, { holdTimeSeconds }),
        labPeer(gobgpd, three),
      ];
      await speaker.apply(
        [{ kind: 'advertise', route: { prefix: prefixOf('203.0.113.1'), attributes: pathAttributes({ largeCommunities: [LAB_MARKER] }) } }],
        signal,
      );
      await open(...peers(9));
      await Promise.all([one, two, three].map((bird) => bird.established()));
      await Promise.all([one, two, three].map((bird) => until(`the route at ${bird.name}`, () => bird.route('203.0.113.1/32'))));

      const replacing = open(...peers(15));
      let over = false;
      void replacing.finally(() => (over = true));
      const together: number[] = [];
      await until(
        'both replaced',
        async () => {
          const up = await Promise.all([one, two].map(async (bird) => (await bird.sessions())[0]?.established === true));
          together.push(up.filter(Boolean).length);
          return over;
        },
        45_000,
        50,
      );
      expect((await replacing).map(({ result }) => result).toSorted()).toEqual(['replaced', 'replaced', 'unchanged']);
      expect(Math.min(...together)).toBe(1);
      await Promise.all([one, two].map((bird) => bird.established()));
      expect((await three.sessions())[0]?.timesUp).toBe(1);
      for (const bird of [one, two]) expect((await bird.sessions())[0]?.timesUp).toBe(2);
    });

    test('stops when the first router does not come back', async () => {
      speaker = connect({ replacedPeerWaitMs: 1_000 });
      const [one, two] = [await birdFor('one'), await birdFor('two')];
      await open(labPeer(gobgpd, one), labPeer(gobgpd, two));
      await Promise.all([one.established(), two.established()]);
      const outcomes = await open(labPeer(gobgpd, one, { password: SECRET }), labPeer(gobgpd, two, { password: SECRET }));
      const [replaced, kept] = outcomes;
      expect(replaced?.result).toBe('replaced');
      expect(kept).toMatchObject({ result: 'failed', error: expect.stringContaining(replaced?.name ?? '-') });
      expect(JSON.stringify(outcomes)).not.toContain(SECRET);
      const survivor = kept?.name === one.address ? one : two;
      expect((await survivor.sessions())[0]).toMatchObject({ established: true, timesUp: 1 });
      // with the old settings back, nothing is left to do but to take the first one back
      const again = await open(labPeer(gobgpd, one), labPeer(gobgpd, two));
      expect(again.map(({ result }) => result).toSorted()).toEqual(['replaced', 'unchanged']);
      await Promise.all([one.established(), two.established()]);
    });

    test('a router that takes the place of another has the routes before the other loses them', async () => {
      const [before, after] = [await birdFor('before'), await birdFor('after')];
      await speaker.apply(
        [{ kind: 'advertise', route: { prefix: prefixOf('203.0.113.1'), attributes: pathAttributes({ largeCommunities: [LAB_MARKER] }) } }],
        signal,
      );
      await open(labPeer(gobgpd, before));
      await until('the route at the first', () => before.route('203.0.113.1/32'));
      const outcomes = await open(labPeer(gobgpd, after));
      expect(outcomes).toEqual([
        { name: after.address, result: 'added' },
        { name: before.address, result: 'deleted' },
      ]);
      const lost = await until('the loss at the first', () => before.updates().find(({ change }) => change === 'removed'));
      const gained = await until('the route at the other', () => after.updates().find(({ change }) => change === 'added'));
      expect(gained.time).toBeLessThan(lost.time);
    });

    test('a peer that is no longer configured goes, with its session', async () => {
      const bird = await birdFor('bird');
      await open(labPeer(gobgpd, bird));
      await bird.established();
      expect(await open()).toEqual([{ name: bird.address, result: 'deleted' }]);
      await until('the session gone', async () => (await bird.sessions())[0]?.established === false);
    });
  });

  describe('what is refused before anything is sent', () => {
    const refused: readonly [name: string, change: Partial<PeerSettings>, words: RegExp][] = [
      [
        'a restart time of 4096 s, which would be advertised as 0',
        { gracefulRestart: { restartTimeSeconds: 4_096, deferralTimeSeconds: 2 } },
        /restart time 4096/,
      ],
      ['a restart time of 0 s', { gracefulRestart: { restartTimeSeconds: 0, deferralTimeSeconds: 2 } }, /restart time 0/],
      ['an empty password', { password: '' }, /password is empty/],
      ['a password that the kernel cannot hold', { password: SECRET.repeat(4) }, /longer than 80/],
      ['multihop with GTSM', { multihopTtl: 2, ttlSecurityMin: 255 }, /exclude/],
      ['an address that is none', { neighbor: { address: 'router' } }, /address is none/],
      ['no family', { families: [] }, /family/],
      ['a keepalive above the hold time', { keepaliveSeconds: 10 }, /keepalive/],
    ];
    test.each(refused)('%s', async (_name, change, words) => {
      const peer = labPeer(gobgpd, { address: '192.0.2.1', port: 179, asn: 64500 }, change);
      const error: unknown = await speaker.prepare(labSpeaker(gobgpd, { peers: [peer] }), signal).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'invalid-settings', kind: 'terminal', message: expect.stringMatching(words) });
      expect((error as Error).message).not.toContain(SECRET);
      expect(await open(peer)).toMatchObject([{ result: 'failed', error: expect.stringMatching(words) }]);
      expect(await speaker.listPeers(signal)).toEqual([]);
    });
  });
});
