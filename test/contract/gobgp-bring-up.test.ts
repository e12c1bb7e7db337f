/** `prepare`, `watch` and the connection itself against the real gobgpd: found empty, running, other, hung, dead, newer. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WatchHandlers } from '../../src/core/ports.ts';
import type { Prefix } from '../../src/domain/prefix.ts';
import { pathAttributes, type Route } from '../../src/domain/route.ts';
import { connectGobgp, type GobgpClient, type GobgpOptions } from '../../src/gobgp/client.ts';
import { GobgpSpeaker } from '../../src/gobgp/speaker.ts';
import { AgentError } from '../../src/lib/errors.ts';
import { startBird } from '../lab/bird.ts';
import { GOBGP_VERSIONS } from '../lab/gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from '../lab/gobgpd.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { LAB_ASN, LAB_MARKER, labPeer, labSpeaker, prefixOf } from '../lab/speaker-settings.ts';

const signal = new AbortController().signal;
const attributes = pathAttributes({ largeCommunities: [LAB_MARKER] });
const route = (prefix: string): Route => ({ prefix: prefixOf(prefix), attributes });

describe.each(GOBGP_VERSIONS)('GoBGP $name', (version) => {
  let lab: Lab;
  let gobgpd: Gobgpd;
  beforeEach(async () => {
    lab = new Lab('bring-up');
    gobgpd = await startGobgpd(lab, { version });
  });
  afterEach(() => lab.close());

  function connect(options: Partial<GobgpOptions> = {}): { client: GobgpClient; speaker: GobgpSpeaker } {
    const client = connectGobgp({ address: gobgpd.address, ...options });
    const speaker = new GobgpSpeaker({ address: gobgpd.address, ...options });
    lab.onClose(() => {
      client.close();
      speaker.close();
    });
    return { client, speaker };
  }

  async function errorOf(promise: Promise<unknown>): Promise<AgentError> {
    const error = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(AgentError);
    return error as AgentError;
  }

  /** What a watch told, and how it ended. */
  function recordWatch(speaker: Pick<GobgpSpeaker, 'watch'>, until_: AbortSignal = signal) {
    const told: { live: number; routes: [Prefix, Route | undefined][]; peers: Parameters<WatchHandlers['peer']>[0][]; ended: unknown } = {
      live: 0,
      routes: [],
      peers: [],
      ended: undefined,
    };
    const handlers: WatchHandlers = {
      live: () => void told.live++,
      route: (prefix, some) => void told.routes.push([prefix, some]),
      peer: (peer) => void told.peers.push(peer),
    };
    const done = speaker.watch(handlers, until_).then(
      () => (told.ended = 'returned'),
      (error: unknown) => (told.ended = error),
    );
    return { told, done };
  }

  describe('managed', () => {
    test('an empty GoBGP is started and says so once', async () => {
      const { client, speaker } = connect();
      expect(await client.global()).toBeUndefined();
      expect(await speaker.prepare(labSpeaker(gobgpd), signal)).toBe('empty');
      expect(await client.global()).toEqual({
        asn: LAB_ASN,
        routerId: gobgpd.host,
        listenPort: gobgpd.listenPort,
        listenAddresses: [gobgpd.host],
      });
      await client.advertise([route('203.0.113.1')]);
      expect(await speaker.prepare(labSpeaker(gobgpd), signal)).toBe('running');
      expect(await connect().speaker.prepare(labSpeaker(gobgpd), signal)).toBe('running');
      expect(await client.listLocal()).toEqual([route('203.0.113.1')]);
    });

    test.each([
      ['ASN', { asn: 64999 }, [String(LAB_ASN), '64999']],
      ['router id', { routerId: '192.0.2.9' }, ['127.', '192.0.2.9']],
      ['listen port', { listenPort: -1 }, ['listen port', '-1']],
      ['listen addresses', { listenAddresses: [] }, ['listen addresses', '0.0.0.0, ::']],
    ])('another %s on a running GoBGP is refused, with both values and the way out', async (_name, change, words) => {
      const { speaker } = connect();
      await speaker.prepare(labSpeaker(gobgpd), signal);
      const error = await errorOf(speaker.prepare(labSpeaker(gobgpd, change), signal));
      expect(error.kind).toBe('terminal');
      for (const word of [...words, 'rebuild']) expect(error.message).toContain(word);
    });

    test('BGP is never started twice, with or without a listener', async () => {
      const { client } = connect();
      const global = { asn: LAB_ASN, routerId: '192.0.2.1', listenPort: -1, listenAddresses: [] };
      await client.start(global);
      await client.advertise([route('203.0.113.1')]);
      expect(await errorOf(client.start(global))).toMatchObject({ code: 'bgp-already-running', kind: 'bug' });
      expect(await client.listLocal()).toHaveLength(1);
    });

    test.each([
      ['ASN 0', { asn: 0 }],
      ['a router id that is none', { routerId: '192.0.2' }],
      ['port 0, which would mean 179', { listenPort: 0 }],
      ['a listen address that is none', { listenAddresses: ['somewhere'] }],
    ])('%s is refused before anything is sent', async (_name, change) => {
      const { client, speaker } = connect();
      expect(await errorOf(speaker.prepare(labSpeaker(gobgpd, change), signal))).toMatchObject({ kind: 'terminal' });
      expect(await client.global()).toBeUndefined();
    });

    test('a running GoBGP with its sessions is taken over without a reset and without an UPDATE', async () => {
      const bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
      const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird, { description: 'tor-1' })] });
      const first = connect().speaker;
      await first.prepare(settings, signal);
      await first.apply([{ kind: 'advertise', route: route('203.0.113.1') }], signal);
      expect(await first.openPeers(settings, signal)).toEqual([{ name: bird.address, result: 'added' }]);
      await bird.established();
      await until('the route', () => bird.route('203.0.113.1/32'));
      const before = { sessions: await bird.sessions(), updates: bird.updates() };

      const second = connect().speaker;
      expect(await second.prepare(settings, signal)).toBe('running');
      expect([...(await second.listLocalRoutes(signal)).values()]).toEqual([route('203.0.113.1')]);
      expect(await second.openPeers(settings, signal)).toEqual([{ name: bird.address, result: 'unchanged' }]);
      await second.apply(
        [
          { kind: 'advertise', route: route('203.0.113.1') },
          { kind: 'advertise', route: route('203.0.113.2') },
        ],
        signal,
      );
      await until('the second route', () => bird.route('203.0.113.2/32'));
      expect(await bird.sessions()).toEqual(before.sessions);
      expect(
        bird
          .updates()
          .slice(before.updates.length)
          .map(({ prefix }) => prefix),
      ).toEqual(['203.0.113.2/32']);
      expect(await second.listPeers(signal)).toMatchObject([
        { name: bird.address, asn: 64500, description: 'tor-1', state: 'established', adminDown: false, families: ['ipv4', 'ipv6'] },
      ]);
      expect((await second.listPeers(signal))[0]?.uptimeSeconds).toBeGreaterThanOrEqual(0);
    });

    test('a GoBGP that was killed and filled again before its peers are opened keeps every route at the router', async () => {
      const bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
      const settings = labSpeaker(gobgpd, { peers: [labPeer(gobgpd, bird)] });
      const routes = Array.from({ length: 50 }, (_, index) => route(`203.0.113.${index + 1}`));
      const { speaker } = connect();
      const fill = async (): Promise<void> => {
        expect(await speaker.prepare(settings, signal)).toBe('empty');
        await speaker.apply(
          routes.map((some) => ({ kind: 'advertise', route: some })),
          signal,
        );
        await speaker.openPeers(settings, signal);
        await bird.established();
      };
      await fill();
      await until('all routes', async () => (await bird.routes()).length === routes.length);
      const before = bird.updates().length;
      const { done } = recordWatch(speaker);
      await gobgpd.restart();
      await done;
      await until('the router to miss us', async () => (await bird.sessions())[0]?.established === false);
      await fill();
      expect((await bird.sessions())[0]?.timesUp).toBe(2);
      await until('routes refreshed', async () => !(await bird.command('show route all')).includes('stale'));
      expect(await bird.routes()).toHaveLength(routes.length);
      expect(
        bird
          .updates()
          .slice(before)
          .filter(({ change }) => change === 'removed'),
      ).toEqual([]);
    });
  });

  describe('attached', () => {
    test('nothing is started, set or opened', async () => {
      const { client, speaker } = connect();
      const attached = labSpeaker(gobgpd, { mode: 'attached' });
      expect(await errorOf(speaker.prepare(attached, signal))).toMatchObject({ code: 'bgp-not-started', kind: 'retryable' });
      expect(await client.global()).toBeUndefined();
      await client.start({ asn: LAB_ASN, routerId: '192.0.2.77', listenPort: -1, listenAddresses: [] });
      expect(await speaker.prepare(attached, signal)).toBe('running');
      expect(await speaker.openPeers(attached, signal)).toEqual([]);
      const other = await errorOf(speaker.prepare({ ...attached, asn: 64999 }, signal));
      expect(other.kind).toBe('terminal');
      expect(other.message).toMatch(/64512.*64999/);
    });

    test('paths of others are listed with everything they carry', async () => {
      const { client, speaker } = connect();
      await client.start({ asn: LAB_ASN, routerId: '192.0.2.77', listenPort: -1, listenAddresses: [] });
      const foreign: Route = { prefix: prefixOf('203.0.113.0/24'), attributes: pathAttributes({ med: 9, nextHop: '192.0.2.1' }) };
      await client.advertise([foreign]);
      expect((await speaker.listLocalRoutes(signal)).get(foreign.prefix)).toEqual(foreign);
    });
  });

  describe('the event stream', () => {
    test('tells that it is live, then routes and peers, until it is given up', async () => {
      const { client, speaker } = connect();
      await speaker.prepare(labSpeaker(gobgpd), signal);
      await client.advertise([route('203.0.113.1')]);
      const ending = new AbortController();
      const { told, done } = recordWatch(speaker, ending.signal);
      await until('live', () => told.live === 1);
      await client.advertise([route('203.0.113.2')]);
      await client.advertise([route('2001:db8::2')]);
      await client.withdraw([prefixOf('203.0.113.1')]);
      await until('three changes', () => told.routes.length === 3);
      expect(told.routes).toEqual([
        ['203.0.113.2/32', route('203.0.113.2')],
        ['2001:db8::2/128', route('2001:db8::2')],
        ['203.0.113.1/32', undefined],
      ]);
      const bird = await startBird(lab, { asn: 64500, neighbors: [{ address: gobgpd.host, port: gobgpd.listenPort, asn: LAB_ASN }] });
      await client.addPeer(labPeer(gobgpd, bird), { localRestarting: true });
      await until('the peer established', () => told.peers.at(-1)?.state === 'established');
      expect(told.peers.at(-1)).toEqual({ name: bird.address, asn: 64500, state: 'established' });
      ending.abort();
      await done;
      expect(told.ended).toBe('returned');
    });

    test('ends at once when gobgpd dies, and its successor is found empty', async () => {
      const { speaker } = connect();
      await speaker.prepare(labSpeaker(gobgpd), signal);
      const { told, done } = recordWatch(speaker);
      await until('live', () => told.live === 1);
      await gobgpd.kill();
      await done;
      expect(told.ended).toMatchObject({ code: 'gobgp-unavailable', kind: 'retryable' });
      expect(await errorOf(speaker.listLocalRoutes(signal))).toMatchObject({ code: 'gobgp-unavailable' });
      await gobgpd.restart();
      const start = performance.now();
      expect(await until('GoBGP again', () => speaker.prepare(labSpeaker(gobgpd), signal), 5_000)).toBe('empty');
      expect(performance.now() - start).toBeLessThan(2_500);
    });

    test('ends when gobgpd hangs; calls end at their deadline and say that the result is unknown', async () => {
      const { speaker } = connect({ deadlineMs: 500, bulkDeadlineMs: 500, heartbeatIntervalMs: 200, heartbeatDeadlineMs: 500 });
      await speaker.prepare(labSpeaker(gobgpd), signal);
      const { told, done } = recordWatch(speaker);
      await until('live', () => told.live === 1);
      gobgpd.process().kill('SIGSTOP');
      try {
        await done;
        expect(told.ended).toMatchObject({ code: 'gobgp-timeout', kind: 'retryable' });
        expect(await errorOf(speaker.prepare(labSpeaker(gobgpd), signal))).toMatchObject({ code: 'gobgp-timeout' });
        const one = await speaker.apply([{ kind: 'advertise', route: route('203.0.113.1') }], signal).catch((error: unknown) => error);
        expect(one).toMatchObject({ code: 'gobgp-timeout' });
      } finally {
        gobgpd.process().kill('SIGCONT');
      }
      expect(await until('GoBGP again', () => speaker.prepare(labSpeaker(gobgpd), signal))).toBe('running');
    });

    test('an operation without an answer is unknown, and what follows is not sent', async () => {
      const { client } = connect({ deadlineMs: 300, bulkDeadlineMs: 300 });
      await client.start({ asn: LAB_ASN, routerId: '192.0.2.1', listenPort: -1, listenAddresses: [] });
      gobgpd.process().kill('SIGSTOP');
      const many = Array.from({ length: 5_000 }, (_, index) => route(`10.0.${index >> 8}.${index & 255}`));
      const outcomes = await client.advertise(many);
      gobgpd.process().kill('SIGCONT');
      expect(outcomes.map(({ result }) => result)).toEqual(many.map(() => 'unknown'));
      expect(outcomes.at(-1)).toMatchObject({ error: expect.stringContaining('not sent') });
      expect(await client.advertise([route('203.0.113.1')])).toMatchObject([{ result: 'done' }]);
    });

    test('a call that is given up ends at once', async () => {
      const { client } = connect();
      gobgpd.process().kill('SIGSTOP');
      const ending = new AbortController();
      const call = errorOf(client.detect(ending.signal));
      ending.abort();
      expect(await call).toMatchObject({ code: 'gobgp-aborted' });
      gobgpd.process().kill('SIGCONT');
    });
  });

  describe('the connection', () => {
    test('a GoBGP that is not there is told within moments, by address', async () => {
      const address = `127.0.0.1:${await freePort()}`;
      const { speaker } = connect({ address });
      const start = performance.now();
      const error = await errorOf(speaker.prepare(labSpeaker(gobgpd), signal));
      expect(error).toMatchObject({ code: 'gobgp-unavailable', kind: 'retryable' });
      expect(error.message).toContain(address);
      expect(performance.now() - start).toBeLessThan(1_000);
    });

    test('one may wait for a GoBGP that comes later', async () => {
      await gobgpd.kill();
      const { client } = connect();
      const found = client.detect(signal, 10_000);
      await gobgpd.restart();
      expect(await found).toBe(version.api);
    });

    test('the unix socket serves as well as TCP', async () => {
      const { client, speaker } = connect({ address: gobgpd.socket });
      expect(await speaker.prepare(labSpeaker(gobgpd), signal)).toBe('empty');
      expect(await client.detect()).toBe(version.api);
    });
  });
});
