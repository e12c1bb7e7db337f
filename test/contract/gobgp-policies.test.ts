/** What a managed GoBGP lets out and in, seen at real routers: BIRD and FRR, eBGP and iBGP. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GRACEFUL_SHUTDOWN, type PathAttributes, pathAttributes, type Route } from '../../src/domain/route.ts';
import type { SpeakerSettings } from '../../src/domain/settings.ts';
import { Channel } from '../../src/gobgp/channel.ts';
import { connectGobgp, type GobgpClient } from '../../src/gobgp/client.ts';
import { detectDialect } from '../../src/gobgp/detect.ts';
import { ask, collect, type Session } from '../../src/gobgp/session.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { type Bird, startBird } from '../lab/bird.ts';
import { type Frr, startFrr } from '../lab/frr.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { Lab, until } from '../lab/lab.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const NEXT_HOP_6 = '2001:db8:ffff::1';

function route(prefix: string, attributes: Partial<PathAttributes> = {}): Route {
  const nextHop = prefix.includes(':') ? NEXT_HOP_6 : 'self';
  return { prefix: prefixOf(prefix), attributes: pathAttributes({ nextHop, largeCommunities: [LAB_MARKER], ...attributes }) };
}

describe.each(GOBGP_VERSIONS)('GoBGP $name', (version) => {
  describe('between routers', () => {
    let lab: Lab;
    beforeEach(() => void (lab = new Lab('transit')));
    afterEach(() => lab.close());

    async function twoRouters(gobgpd: Gobgpd): Promise<readonly [Bird, Bird]> {
      const neighbors = [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }];
      const one = await startBird(lab, { name: 'one', asn: 64500, neighbors, originate: ['0.0.0.0/0', '::/0', '203.0.113.77/32'] });
      return [one, await startBird(lab, { name: 'two', asn: 64501, neighbors })];
    }

    test('GoBGP alone carries a default route from one to the other', async () => {
      const gobgpd = await startGobgpd(lab, { version });
      const [one, two] = await twoRouters(gobgpd);
      const client = connectGobgp({ address: gobgpd.address });
      lab.onClose(() => client.close());
      await client.start(labSpeaker(gobgpd));
      for (const bird of [one, two]) await client.addPeer(labPeer(gobgpd, bird), { localRestarting: false });
      await until('the default route at the other router', () => two.route('0.0.0.0/0'));
    });

    test('ours carries none, nor anything else of a router', async () => {
      const gobgpd = await startGobgpd(lab, { version });
      const [one, two] = await twoRouters(gobgpd);
      const speaker = new GobgpSpeaker({ address: gobgpd.address });
      const client = connectGobgp({ address: gobgpd.address });
      lab.onClose(() => {
        speaker.close();
        client.close();
      });
      const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, one), labPeer(gobgpd, two)] });
      await speaker.prepare(settings, signal);
      await speaker.openPeers(settings, signal);
      await one.established();
      await two.established();
      // the last thing to arrive: what came before it is decided by then
      await until('the default route sent', async () => /Export updates:\s+[1-9]/.test(await one.command('show protocols all hv1')));
      await speaker.apply([{ kind: 'advertise', route: route('203.0.113.1') }], signal);
      await until('our route at the other router', () => two.route('203.0.113.1/32'));
      expect((await two.routes()).map(({ prefix }) => prefix)).toEqual(['203.0.113.1/32']);
      expect(two.updates().map(({ prefix }) => prefix)).toEqual(['203.0.113.1/32']);
      expect((await client.listLocRib()).map(({ prefix }) => prefix)).toEqual(['203.0.113.1/32']);
    });
  });

  describe('toward routers of every kind', () => {
    const settings = (more: Partial<SpeakerSettings> = {}): SpeakerSettings =>
      labSpeaker(gobgpd, {
        worsePrependsByPolicy: 8,
        peers: [labPeer(gobgpd, external), labPeer(gobgpd, internal), labPeer(gobgpd, frr), labPeer(gobgpd, internalFrr)],
        ...more,
      });
    let lab: Lab;
    let gobgpd: Gobgpd;
    let external: Bird;
    let internal: Bird;
    let frr: Frr;
    let internalFrr: Frr;
    let client: GobgpClient;
    let speaker: GobgpSpeaker;
    let session: Session;

    beforeAll(async () => {
      lab = new Lab('policies');
      gobgpd = await startGobgpd(lab, { version });
      const neighbors = [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }];
      external = await startBird(lab, { name: 'external', asn: 64500, neighbors });
      internal = await startBird(lab, { name: 'internal', asn: LAB_ASN, neighbors });
      frr = await startFrr(lab, { asn: 64501, neighbors });
      internalFrr = await startFrr(lab, { name: 'internal-frr', asn: LAB_ASN, neighbors });
      client = connectGobgp({ address: gobgpd.address });
      speaker = new GobgpSpeaker({ address: gobgpd.address });
      const channel = new Channel({ address: gobgpd.address });
      session = { channel, dialect: await detectDialect(channel) };
      lab.onClose(() => {
        client.close();
        speaker.close();
        channel.close();
      });
      await speaker.prepare(settings(), signal);
      await speaker.openPeers(settings(), signal);
      await Promise.all([external, internal, frr, internalFrr].map((router) => router.established()));
    });
    afterAll(() => lab.close());
    afterEach(async () => {
      await client.withdraw((await client.listLocal()).map(({ prefix }) => prefix));
      await until('empty routers', async () => (await external.routes()).length === 0 && (await frr.prefixes()).length === 0);
    });

    test('only host routes that are inside the prefixes and marked leave', async () => {
      const good = [
        route('203.0.113.1'),
        route('198.51.100.255'),
        route('2001:db8::1'),
        route('203.0.113.2', { largeCommunities: ['1:1:1', LAB_MARKER] }),
      ];
      const bad = [
        route('192.0.2.1'),
        route('2001:db9::1'),
        route('203.0.113.0/24'),
        route('203.0.113.4/31'),
        route('2001:db8::/64'),
        route('0.0.0.0/0'),
        route('203.0.113.10', { largeCommunities: [] }),
        route('203.0.113.11', { largeCommunities: ['4200000179:1:10'] }),
        route('203.0.113.12', { largeCommunities: [], communities: [GRACEFUL_SHUTDOWN] }),
        route('2001:db8::12', { largeCommunities: [] }),
      ];
      const outcomes = await client.advertise([...bad, ...good]);
      expect(outcomes.every(({ result }) => result === 'done')).toBe(true);
      const wanted = good.map(({ prefix }) => prefix as string).toSorted();
      for (const bird of [external, internal])
        await until(`the good ones at ${bird.name}`, async () => (await bird.routes()).length >= wanted.length);
      await until('the good ones at FRR', async () => (await frr.prefixes()).length >= wanted.length);
      for (const bird of [external, internal]) expect((await bird.routes()).map(({ prefix }) => prefix).toSorted()).toEqual(wanted);
      expect((await frr.prefixes()).toSorted()).toEqual(wanted);
      for (const { address } of [external, internal, frr])
        expect((await speaker.listAdvertised(address, signal)).map(({ prefix }) => prefix as string).toSorted()).toEqual(wanted);
    });

    test('the worse shape arrives: prepended at eBGP routers, LOCAL_PREF 0 at iBGP routers, the community at all', async () => {
      await client.advertise([route('203.0.113.1', { communities: [GRACEFUL_SHUTDOWN], localPref: 0 }), route('2001:db8::1')]);
      const prepended = Array.from({ length: 9 }, () => LAB_ASN);
      const at = (bird: Bird) => until(`the route at ${bird.name}`, () => bird.route('203.0.113.1/32'));
      expect(await at(external)).toMatchObject({ asPath: prepended, communities: [GRACEFUL_SHUTDOWN], largeCommunities: [LAB_MARKER] });
      expect(await at(internal)).toMatchObject({
        asPath: [],
        localPref: 0,
        communities: [GRACEFUL_SHUTDOWN],
        largeCommunities: [LAB_MARKER],
      });
      const atFrr = (router: Frr) =>
        until(`the route at ${router.name}`, async () => (await router.route('203.0.113.1/32')).find(({ best }) => best));
      expect(await atFrr(frr)).toMatchObject({ valid: true, best: true, asPath: prepended, communities: [GRACEFUL_SHUTDOWN] });
      expect(await atFrr(internalFrr)).toMatchObject({
        valid: true,
        best: true,
        asPath: [],
        localPref: 0,
        communities: [GRACEFUL_SHUTDOWN],
      });
      expect((await until('the other', () => external.route('2001:db8::1/128'))).asPath).toEqual([LAB_ASN]);
    });

    test('a route that becomes worse and better again is one UPDATE each time', async () => {
      await client.advertise([route('203.0.113.1')]);
      await until('the route', () => external.route('203.0.113.1/32'));
      const before = external.updates().length;
      await client.advertise([route('203.0.113.1', { communities: [GRACEFUL_SHUTDOWN], localPref: 0 })]);
      await until('worse', async () => ((await external.route('203.0.113.1/32'))?.asPath.length ?? 0) === 9);
      await client.advertise([route('203.0.113.1')]);
      await until('better', async () => ((await external.route('203.0.113.1/32'))?.asPath.length ?? 0) === 1);
      expect(
        external
          .updates()
          .slice(before)
          .map(({ change }) => change),
      ).toEqual(['added', 'added']);
    });

    test('IPv6 over an IPv4 session arrives with the next hop that was given', async () => {
      await client.advertise([route('2001:db8::5')]);
      expect(await until('at BIRD', () => external.route('2001:db8::5/128'))).toMatchObject({ nextHop: NEXT_HOP_6 });
      expect(await until('at FRR', async () => (await frr.route('2001:db8::5/128')).find(({ best }) => best))).toMatchObject({
        valid: true,
        best: true,
        nextHops: [NEXT_HOP_6],
      });
    });

    describe('what is there already', () => {
      const names = async () => ({
        policies: (await collect(session, 'ListPolicy', {}, {})).map(({ policy }) => policy?.name ?? '').toSorted(),
        sets: (
          await Promise.all(
            (['PREFIX', 'COMMUNITY', 'LARGE_COMMUNITY'] as const).map((definedType) =>
              collect(session, 'ListDefinedSet', { definedType }, {}),
            ),
          )
        )
          .flat()
          .map(({ definedSet }) => definedSet?.name ?? '')
          .toSorted(),
      });
      const isRepaired = async (): Promise<void> => {
        await client.advertise([route('203.0.113.1'), route('192.0.2.1'), route('203.0.113.2', { largeCommunities: [] })]);
        await until('what may leave', () => external.route('203.0.113.1/32'));
        expect((await speaker.listAdvertised(external.address, signal)).map(({ prefix }) => prefix)).toEqual(['203.0.113.1/32']);
      };

      test('the same again changes nothing', async () => {
        const before = await names();
        expect(before.policies).toHaveLength(2);
        expect(before.sets).toHaveLength(5);
        await new GobgpSpeaker({ address: gobgpd.address }).prepare(settings(), signal);
        await new GobgpSpeaker({ address: gobgpd.address }).prepare(settings({ prefixes: settings().prefixes.toReversed() }), signal);
        expect(await names()).toEqual(before);
      });

      const drift: readonly [name: string, make: () => Promise<unknown>][] = [
        [
          'a default of ACCEPT',
          () =>
            ask(
              session,
              'SetPolicyAssignment',
              { assignment: { name: 'global', direction: 'EXPORT', policies: [], defaultAction: 'ACCEPT' } },
              {},
            ),
        ],
        [
          'a policy of somebody else before ours',
          async () => {
            await ask(
              session,
              'AddPolicy',
              { policy: { name: 'everything', statements: [{ name: 'everything', actions: { routeAction: 'ACCEPT' } }] } },
              {},
            );
            const [{ assignment } = {}] = await collect(session, 'ListPolicyAssignment', { name: 'global', direction: 'EXPORT' }, {});
            const policies = [{ name: 'everything' }, ...(assignment?.policies ?? []).map(({ name = '' }) => ({ name }))];
            await ask(
              session,
              'SetPolicyAssignment',
              { assignment: { name: 'global', direction: 'EXPORT', policies, defaultAction: 'REJECT' } },
              {},
            );
          },
        ],
        [
          'a prefix added to our set',
          async () => {
            const name = (await names()).sets.find((set) => set.endsWith('-prefix')) ?? '';
            const prefixes = [{ ipPrefix: '192.0.2.0/24', maskLengthMin: 32, maskLengthMax: 32 }];
            await ask(session, 'AddDefinedSet', { definedSet: { definedType: 'PREFIX', name, prefixes } }, {});
          },
        ],
      ];
      test.each(drift)('%s is repaired, and no session notices', async (_name, make) => {
        const before = await external.sessions();
        await make();
        await speaker.prepare(settings(), signal);
        await isRepaired();
        expect(await external.sessions()).toEqual(before);
        const { policies, sets } = await names();
        expect(policies.filter((name) => name !== 'everything')).toHaveLength(2);
        expect(sets).toHaveLength(5);
      });

      test('other prefixes and markers are a new policy; the old one goes', async () => {
        const before = await external.sessions();
        const marker = '4200000179:2:2';
        const wider = settings({ prefixes: [prefixOf('192.0.2.0/24'), prefixOf('203.0.113.0/24')], markers: [marker, LAB_MARKER] });
        await speaker.prepare(wider, signal);
        await client.advertise([
          route('192.0.2.1', { largeCommunities: [marker] }),
          route('203.0.113.1'),
          route('198.51.100.1'),
          route('2001:db8::1'),
        ]);
        await until('both markers', async () => (await external.routes()).length === 2);
        expect((await external.routes()).map(({ prefix }) => prefix).toSorted()).toEqual(['192.0.2.1/32', '203.0.113.1/32']);
        expect((await names()).sets).toHaveLength(3);
        expect(await external.sessions()).toEqual(before);
        await client.withdraw((await client.listLocal()).map(({ prefix }) => prefix));
        await speaker.prepare(settings(), signal);
      });

      test('a speaker without prefixes lets nothing out', async () => {
        await speaker.prepare(settings({ prefixes: [] }), signal);
        await client.advertise([route('203.0.113.1'), route('2001:db8::1')]);
        expect(await speaker.listAdvertised(external.address, signal)).toEqual([]);
        expect(await external.routes()).toEqual([]);
        await speaker.prepare(settings(), signal);
      });
    });
  });
});
