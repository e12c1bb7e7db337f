/** What one release of GoBGP has and another has not: how it is known, and that the table of capabilities is right. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathAttributes } from '../../src/domain/route.ts';
import { connectGobgp, type GobgpClient } from '../../src/gobgp/client.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { startBird } from '../lab/bird.ts';
import { GOBGP_4_8, GOBGP_VERSIONS, gobgpdRelease } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { Lab, until } from '../lab/lab.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const route = { prefix: prefixOf('203.0.113.1'), attributes: pathAttributes({ largeCommunities: [LAB_MARKER] }) };

describe.each(GOBGP_VERSIONS)('GoBGP $name', (version) => {
  let lab: Lab;
  let gobgpd: Gobgpd;
  let client: GobgpClient;
  let speaker: GobgpSpeaker;

  beforeEach(async () => {
    lab = new Lab('releases');
    gobgpd = await startGobgpd(lab, { version });
    client = connectGobgp({ address: gobgpd.address });
    speaker = new GobgpSpeaker({ address: gobgpd.address });
    lab.onClose(() => {
      client.close();
      speaker.close();
    });
  });
  afterEach(() => lab.close());

  test('tells its release, if it does, without a trace', async () => {
    const told: string[] = [];
    await speaker.prepare(labSpeaker(gobgpd), signal);
    const ending = new AbortController();
    const watching = client.watch({ live: () => told.push('live'), route: () => {}, peer: ({ name }) => told.push(name) }, ending.signal);
    await until('live', () => told.length > 0);
    const release = await client.release(true, signal);
    expect(release).toBe(version.name === '3.10' ? undefined : gobgpdRelease(version));
    await speaker.prepare(labSpeaker(gobgpd), signal);
    expect(speaker.facts()).toEqual({ version: `GoBGP ${release ?? '3.x'}`, warnings: [] });
    expect(await client.listPeers(signal)).toEqual([]);
    ending.abort();
    await watching;
    expect(told).toEqual(['live']);
    // nothing stays that a later probe would stumble over
    expect(await connectedRelease()).toBe(release);
  });

  const connectedRelease = async (): Promise<string | undefined> => {
    const other = connectGobgp({ address: gobgpd.socket });
    try {
      return await other.release(true, signal);
    } finally {
      other.close();
    }
  };

  // the others take longer, or as long
  if (version === GOBGP_4_8) {
    test('connects again soon to a router that ended the session', async () => {
      const bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, asn: LAB_ASN }] });
      const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird)] });
      await speaker.prepare(settings, signal);
      await speaker.openPeers(settings, signal);
      await bird.established();
      const start = performance.now();
      await bird.command('restart hv1');
      await until('the session again', async () => (await bird.sessions())[0]?.timesUp === 2, 60_000);
      expect(performance.now() - start).toBeLessThan(20_000);
    });
  }

  test('stops BGP; routers with graceful restart keep the routes where it can', async () => {
    const bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
    const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird)] });
    await speaker.prepare(settings, signal);
    await speaker.apply([{ kind: 'advertise', route }], signal);
    await speaker.openPeers(settings, signal);
    await until('the route', () => bird.route(route.prefix));
    const mark = bird.updates().length;
    const isGraceful = await client.has('gracefulStop', signal);
    expect(await client.stop(signal)).toBe(isGraceful ? 'restart-needed' : 'startable');
    await until('the session lost', async () => (await bird.sessions())[0]?.established === false);
    if (isGraceful) {
      await expect(client.global(signal)).rejects.toMatchObject({ code: 'gobgp-stopped', kind: 'retryable' });
      await expect(speaker.prepare(settings, signal)).rejects.toMatchObject({ message: expect.stringContaining('restarted') });
      await gobgpd.restart();
    }
    expect(await until('GoBGP again', () => speaker.prepare(settings, signal))).toBe('empty');
    await speaker.apply([{ kind: 'advertise', route }], signal);
    await speaker.openPeers(settings, signal);
    await bird.established();
    await until('the route again', () => bird.route(route.prefix));
    const changes = bird
      .updates()
      .slice(mark)
      .map(({ change }) => change);
    expect(changes.includes('removed')).toBe(!isGraceful);
  });
});
