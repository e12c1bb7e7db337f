/** Routes into the real gobgpd and out of it, with a real BIRD as the witness of what was sent. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../src/domain/plan.ts';
import type { Prefix } from '../../src/domain/prefix.ts';
import { type PathAttributes, pathAttributes, type Route } from '../../src/domain/route.ts';
import { Channel } from '../../src/gobgp/channel.ts';
import { connectGobgp, type GobgpClient } from '../../src/gobgp/client.ts';
import { detectDialect } from '../../src/gobgp/detect.ts';
import { applyOperations } from '../../src/gobgp/routes.ts';
import { ask, type Session } from '../../src/gobgp/session.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { type Bird, startBird } from '../lab/bird.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { Lab, until } from '../lab/lab.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const marked = (attributes: Partial<PathAttributes> = {}): PathAttributes =>
  pathAttributes({ ...attributes, largeCommunities: [LAB_MARKER, ...(attributes.largeCommunities ?? [])] });
const route = (prefix: string, attributes: Partial<PathAttributes> = {}): Route => ({
  prefix: prefixOf(prefix),
  attributes: marked(attributes),
});
const advertise = (some: Route): Operation => ({ kind: 'advertise', route: some });
const byPrefix = (list: readonly Route[]): Route[] => list.toSorted((a, b) => a.prefix.localeCompare(b.prefix));
const NEXT_HOP_6 = '2001:db8:ffff::1';

describe.each(GOBGP_VERSIONS)('routes of GoBGP $name', (version) => {
  let lab: Lab;
  let gobgpd: Gobgpd;
  let bird: Bird;
  let client: GobgpClient;
  let session: Session;

  beforeAll(async () => {
    lab = new Lab('routes');
    gobgpd = await startGobgpd(lab, { version });
    bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
    const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird)] });
    const speaker = new GobgpSpeaker({ address: gobgpd.address });
    await speaker.prepare(settings, signal);
    await speaker.openPeers(settings, signal);
    speaker.close();
    client = connectGobgp({ address: gobgpd.socket });
    const channel = new Channel({ address: gobgpd.address });
    session = { channel, dialect: await detectDialect(channel) };
    lab.onClose(() => {
      client.close();
      channel.close();
    });
    await bird.established();
  });
  afterAll(() => lab.close());

  const held = async (prefix: string): Promise<Route | undefined> =>
    (await client.listLocal()).find((some) => some.prefix === prefixOf(prefix));
  const atBird = (prefix: string) => until(`${prefix} at BIRD`, () => bird.route(prefix));
  const withdrawAll = async (): Promise<void> => {
    await client.withdraw((await client.listLocal()).map(({ prefix }) => prefix));
    await until('an empty BIRD', async () => (await bird.routes()).length === 0);
  };

  describe('every path attribute comes back as it was sent, and arrives at the router', () => {
    const rows: readonly [name: string, prefix: string, attributes: Partial<PathAttributes>][] = [
      ['nothing but the marker', '203.0.113.1/32', {}],
      ['origin EGP', '203.0.113.2/32', { origin: 'egp' }],
      ['origin INCOMPLETE', '203.0.113.3/32', { origin: 'incomplete' }],
      ['prepends', '203.0.113.4/32', { asPath: [LAB_ASN, LAB_ASN] }],
      ['a foreign next hop', '203.0.113.5/32', { nextHop: '192.0.2.1' }],
      ['MED', '203.0.113.6/32', { med: 4_294_967_295 }],
      ['MED 0, which is not its absence', '203.0.113.7/32', { med: 0 }],
      ['LOCAL_PREF 0', '203.0.113.8/32', { localPref: 0 }],
      ['communities', '203.0.113.9/32', { communities: ['65535:0', '64512:65535', '0:1'] }],
      ['large communities', '203.0.113.10/32', { largeCommunities: ['4294967295:0:4294967295', '1:2:3'] }],
      ['IPv6', '2001:db8::1/128', { nextHop: NEXT_HOP_6, med: 3, communities: ['64512:1'], localPref: 7 }],
      ['IPv6, next hop self', '2001:db8::2/128', {}],
    ];

    test.each(rows)('%s', async (_name, prefix, attributes) => {
      const sent = route(prefix, attributes);
      expect(await client.advertise([sent])).toMatchObject([{ result: 'done' }]);
      expect(await held(prefix)).toEqual(sent);
      if (prefix.includes(':') && attributes.nextHop === undefined) return;
      const { asPath = [], med, nextHop = gobgpd.host } = attributes;
      const { communities, largeCommunities, origin } = sent.attributes;
      expect(await atBird(prefix)).toMatchObject({
        asPath: [LAB_ASN, ...asPath],
        nextHop,
        communities,
        largeCommunities,
        origin,
        ...(med === undefined ? {} : { med }),
      });
    });

    test('in bulk as well', async () => {
      await withdrawAll();
      const routes = rows.map(([, prefix, attributes]) => route(prefix, attributes));
      expect((await client.advertise(routes)).every(({ result }) => result === 'done')).toBe(true);
      expect(byPrefix(await client.listLocal())).toEqual(byPrefix(routes));
    });
  });

  describe('what is never sent', () => {
    const rows: readonly [name: string, prefix: string, attributes: Partial<PathAttributes>, error: RegExp][] = [
      ['a length that no prefix has', '203.0.113.41/33', {}, /no prefix/],
      ['an octet above 255', '300.0.2.41/32', {}, /no prefix/],
      ['host bits', '203.0.113.41/24', {}, /no prefix/],
      ['an IPv4-mapped address', '::ffff:203.0.113.41/128', {}, /no prefix/],
      ['another spelling of an address', '2001:DB8::41/128', {}, /no prefix/],
      ['an address alone', '203.0.113.41', {}, /no prefix/],
      ['nothing', '', {}, /no prefix/],
      ['an unspecified next hop', '203.0.113.41/32', { nextHop: '0.0.0.0' }, /next hop/],
      ['an IPv4 next hop for IPv6', '2001:db8::41/128', { nextHop: '192.0.2.1' }, /next hop/],
      ['a community out of range', '203.0.113.41/32', { communities: ['65536:0'] }, /community/],
      ['a large community out of range', '203.0.113.41/32', { largeCommunities: ['1:2'] }, /community/],
      ['a MED out of range', '203.0.113.41/32', { med: 4_294_967_296 }, /MED/],
      ['a LOCAL_PREF below 0', '203.0.113.41/32', { localPref: -1 }, /LOCAL_PREF/],
      ['AS 0', '203.0.113.41/32', { asPath: [0] }, /AS_PATH/],
      ['attributes that we only read', '203.0.113.41/32', { others: ['AggregatorAttribute'] }, /Aggregator/],
    ];

    test.each(rows)('%s', async (_name, prefix, attributes, error) => {
      const before = byPrefix(await client.listLocal());
      const forged: Route = { prefix: prefix as Prefix, attributes: marked(attributes) };
      expect(await client.advertise([forged])).toMatchObject([{ result: 'failed', error: expect.stringMatching(error) }]);
      expect(byPrefix(await client.listLocal())).toEqual(before);
    });

    test.each(['', '203.0.113.41/33', '203.0.113.41', undefined])(
      'a withdrawal of %j, which could become one of everything',
      async (prefix) => {
        await client.advertise([route('203.0.113.40'), route('2001:db8::40', { nextHop: NEXT_HOP_6 })]);
        expect(await client.withdraw([prefix as Prefix])).toMatchObject([{ result: 'failed' }]);
        expect(await held('203.0.113.40')).toBeDefined();
        expect(await held('2001:db8::40')).toBeDefined();
      },
    );

    test(`gobgpd itself ${version.api === 'v3' ? 'would take' : 'refuses'} /33 too`, async () => {
      const spare = await startGobgpd(lab, { name: 'spare', version });
      const channel = new Channel({ address: spare.address });
      try {
        const direct: Session = { channel, dialect: session.dialect };
        await ask(direct, 'StartBgp', { global: { asn: 1, routerId: '10.0.0.1', listenPort: -1 } }, {});
        const path = session.dialect.path('203.0.113.41/33' as Prefix, marked());
        const adding = ask(direct, 'AddPath', { tableType: 'GLOBAL', path }, {});
        if (version.api === 'v3') await expect(adding).resolves.toBeDefined();
        else await expect(adding).rejects.toMatchObject({ code: 'gobgp-refused' });
      } finally {
        channel.close();
        await spare.stop();
      }
    });
  });

  test('a withdrawal takes its own prefix and no other', async () => {
    await client.advertise([route('203.0.113.50'), route('203.0.113.51'), route('2001:db8::50', { nextHop: NEXT_HOP_6 })]);
    expect(await client.withdraw([prefixOf('203.0.113.50')])).toMatchObject([{ result: 'done' }]);
    expect(await held('203.0.113.50')).toBeUndefined();
    expect(await held('203.0.113.51')).toBeDefined();
    await client.withdraw([prefixOf('2001:db8::50')]);
    expect(await held('2001:db8::50')).toBeUndefined();
    await until('BIRD without it', async () => (await bird.route('2001:db8::50/128')) === undefined);
    expect(await client.withdraw([prefixOf('203.0.113.59')])).toMatchObject([{ result: 'done' }]);
  });

  test('an advertisement of what is there already causes no UPDATE, a changed one causes one', async () => {
    await client.advertise([route('203.0.113.60')]);
    await atBird('203.0.113.60/32');
    const updates = (): readonly string[] => bird.updates().flatMap(({ prefix, change }) => (prefix === '203.0.113.60/32' ? change : []));
    const before = updates().length;
    for (let again = 0; again < 5; again++) await client.advertise([route('203.0.113.60')]);
    await client.advertise([route('203.0.113.60', { med: 5 })]);
    await until('the MED at BIRD', async () => (await bird.route('203.0.113.60/32'))?.med === 5);
    expect(updates().slice(before)).toEqual(['added']);
  });

  describe('in bulk', () => {
    const many = (count: number, attributes: PathAttributes): Route[] =>
      Array.from({ length: count }, (_, index) => ({ prefix: prefixOf(`10.0.${index >> 8}.${index & 255}`), attributes }));

    test('one route that GoBGP refuses is one failure, and the order of outcomes is that of the operations', async () => {
      const bad: Route = { prefix: prefixOf('10.0.1.3'), attributes: { ...marked(), nextHop: 'nowhere' } };
      const routes = many(2_350, marked()).map((good) => (good.prefix === bad.prefix ? bad : good));
      const outcomes = await applyOperations(session, routes.map(advertise), () => undefined, {});
      expect(outcomes.map(({ operation }) => operation)).toEqual(routes.map(advertise));
      expect(outcomes.filter(({ result }) => result !== 'done')).toEqual([
        { operation: advertise(bad), result: 'failed', error: expect.stringMatching(/^GoBGP refused AddPath: .*nowhere/) },
      ]);
      expect((await client.listLocal()).filter(({ prefix }) => prefix.startsWith('10.0.'))).toHaveLength(routes.length - 1);
      await withdrawAll();
    });

    test('a route that we refuse is not sent, the others are', async () => {
      const bad: Route = { prefix: '10.0.0.256/32' as Prefix, attributes: marked() };
      const outcomes = await client.advertise([...many(3, marked()), bad, route('203.0.113.70')]);
      expect(outcomes.map(({ result }) => result)).toEqual(['done', 'done', 'done', 'failed', 'done']);
      await withdrawAll();
    });

    test('advertise and withdraw go in one call, in order', async () => {
      await client.advertise([route('203.0.113.80')]);
      const outcomes = await client.apply([
        advertise(route('203.0.113.81')),
        advertise(route('203.0.113.82')),
        { kind: 'withdraw', prefix: prefixOf('203.0.113.80') },
        { kind: 'withdraw', prefix: prefixOf('203.0.113.82') },
      ]);
      expect(outcomes.every(({ result }) => result === 'done')).toBe(true);
      expect((await client.listLocal()).map(({ prefix }) => prefix)).toEqual(['203.0.113.81/32']);
      await withdrawAll();
    });

    test('10,000 routes arrive, and go', async () => {
      const routes = many(10_000, marked());
      expect((await client.advertise(routes)).filter(({ result }) => result !== 'done')).toEqual([]);
      await until('10,000 at BIRD', async () =>
        (await bird.command('show route count')).includes('10000 of 10000 routes for 10000 networks in table master4'),
      );
      const outcomes = await client.withdraw(routes.map(({ prefix }) => prefix));
      expect(outcomes.filter(({ result }) => result !== 'done')).toEqual([]);
      await until('none at BIRD', async () =>
        (await bird.command('show route count')).includes('0 of 0 routes for 0 networks in table master4'),
      );
    });
  });
});
