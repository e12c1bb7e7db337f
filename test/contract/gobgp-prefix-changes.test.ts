/** Prefixes that become wider or narrower on a running GoBGP: in which order policy and routes have to change, seen in BIRD's log. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathAttributes, type Route } from '../../src/domain/route.ts';
import type { SpeakerSettings } from '../../src/domain/settings.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { type Bird, startBird } from '../lab/bird.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { startGobgpd } from '../lab/gobgpd.ts';
import { Lab, until } from '../lab/lab.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const attributes = pathAttributes({ largeCommunities: [LAB_MARKER] });
const NARROW = ['203.0.113.0/24'].map(prefixOf);
const WIDE = ['203.0.113.0/24', '198.51.100.0/24'].map(prefixOf);
const INSIDE = '203.0.113.1/32';
const OUTSIDE = '198.51.100.1/32';
const OTHER_OUTSIDE = '198.51.100.2/32';

describe.each(GOBGP_VERSIONS)('GoBGP $name', (version) => {
  let lab: Lab;
  let bird: Bird;
  let speaker: GobgpSpeaker;
  let settings: SpeakerSettings;
  let mark: number;

  beforeEach(async () => {
    lab = new Lab('prefix-changes');
    const gobgpd = await startGobgpd(lab, { version });
    bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
    speaker = new GobgpSpeaker({ address: gobgpd.address });
    lab.onClose(() => speaker.close());
    settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird)] });
  });
  afterEach(() => lab.close());

  const use = (prefixes: SpeakerSettings['prefixes']): Promise<unknown> => speaker.prepare({ ...settings, prefixes }, signal);
  const advertise = (...prefixes: string[]): Promise<unknown> =>
    speaker.apply(
      prefixes.map((prefix) => ({ kind: 'advertise', route: { prefix: prefixOf(prefix), attributes } satisfies Route })),
      signal,
    );
  const withdraw = (...prefixes: string[]): Promise<unknown> =>
    speaker.apply(
      prefixes.map((prefix) => ({ kind: 'withdraw', prefix: prefixOf(prefix) })),
      signal,
    );
  const bringUp = async (prefixes: SpeakerSettings['prefixes'], ...routes: string[]): Promise<void> => {
    await use(prefixes);
    await advertise(...routes);
    await speaker.openPeers(settings, signal);
    await bird.established();
    await until('the routes', async () => (await bird.routes()).length === routes.length);
    mark = bird.updates().length;
  };
  /** What BIRD was told since the bring-up; a route that comes last shows that what was sent before it has arrived. */
  const updates = async (): Promise<string[]> => {
    await advertise('203.0.113.200/32');
    await until('the last route', () => bird.route('203.0.113.200/32'));
    expect((await bird.sessions())[0]?.timesUp).toBe(1);
    return bird
      .updates()
      .slice(mark)
      .map(({ change, prefix }) => `${change} ${prefix}`)
      .filter((line) => line !== 'added 203.0.113.200/32');
  };

  test('wider: first the policy, then the routes', async () => {
    await bringUp(NARROW, INSIDE);
    await use(WIDE);
    await advertise(OUTSIDE);
    expect(await updates()).toEqual([`added ${OUTSIDE}`]);
  });

  test('wider, the other way round: the routes stay behind, and an advertisement of the same does not help', async () => {
    await bringUp(NARROW, INSIDE);
    await advertise(OUTSIDE);
    await use(WIDE);
    await advertise(OUTSIDE);
    expect(await updates()).toEqual([]);
  });

  test('narrower: first the routes, then the policy', async () => {
    await bringUp(WIDE, INSIDE, OUTSIDE);
    await withdraw(OUTSIDE);
    await use(NARROW);
    expect(await updates()).toEqual([`removed ${OUTSIDE}`]);
  });

  test('narrower, the other way round: what was sent stays as it was, until its route goes', async () => {
    await bringUp(WIDE, INSIDE, OUTSIDE, OTHER_OUTSIDE);
    await use(NARROW);
    await advertise(OUTSIDE);
    expect(await updates()).toEqual([]);
    await withdraw(OUTSIDE, OTHER_OUTSIDE);
    await until('the withdrawals', async () => (await bird.routes()).length === 2);
  });
});
