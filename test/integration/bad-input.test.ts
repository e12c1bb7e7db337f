/**
 * Whoever can write to the bus writes nonsense, and lies: 100,000 messages through the running daemon, over a real RabbitMQ.
 * The daemon stays up, no route changes at the router, its memory stays bounded, and every message is counted.
 */
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { type ConfirmChannel, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { innerOf, readRecording, RECORDINGS } from '../fixtures/recordings.ts';
import { type Bird, startBird } from '../lab/bird.ts';
import { ASN, type Hypervisor, ROUTER_ASN, startHypervisor } from '../lab/hypervisor.ts';
import { Lab, until } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { deletedPortObject, type LabPort, labPort, portObject, pythonJson } from '../lab/neutron-objects.ts';
import { type NeutronStandIn, startNeutronStandIn } from '../lab/neutron-stand-in.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const TOKEN = 'gAAAAA-canary-token';
const EXCHANGE = 'neutron-vo-Port-1.7_fanout';
const MESSAGES = 100_000;
/** Printed when the test fails, and enough to send the same messages again. */
const SEED = Number(process.env['BAD_INPUT_SEED'] ?? 20_261_121);
const MEMORY_MB = 200;

const lab = new Lab('bad-input');
const random = generator(SEED);
let rabbit: RabbitNode;
let neutron: NeutronStandIn;
let router: Bird;
let hv1: Hypervisor;
let channel: ConfirmChannel;
let ports: LabPort[];
let tenantNetworkId: string;

type Message = { readonly body: Buffer; readonly headers?: Record<string, unknown> };

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  neutron = await startNeutronStandIn({ url: rabbit.url, token: TOKEN });
  lab.onClose(() => neutron.close());
  const publicNetworkId = neutron.createNetwork().id;
  tenantNetworkId = neutron.createNetwork({ external: false }).id;
  const address = loopbackAddress();
  router = await startBird(lab, { name: 'tor1', asn: ROUTER_ASN, neighbors: [{ name: 'hv1', address, asn: ASN }] });
  hv1 = await startHypervisor(lab, {
    name: 'hv1',
    address,
    router,
    sources: { neutron: { transportUrl: rabbit.url.replace(/^amqp:/, 'rabbit:') } },
    change: {
      announce: { external: true, prefixes: ['203.0.113.0/24', '2001:db8:113::/64'], nextHop: { ipv6: '2001:db8:ffff::1' } },
    },
  });
  await hv1.ready();
  ports = [];
  for (const fixedIps of [['203.0.113.1'], ['203.0.113.2', '2001:db8:113::2'], ['203.0.113.3']])
    ports.push(await neutron.bootPort({ host: 'hv1', networkId: publicNetworkId, fixedIps }));
  await until('four routes', async () => (await router.routes()).length === 4);
  const connection = await connect(rabbit.url);
  lab.onClose(() => connection.close());
  channel = await connection.createConfirmChannel();
});

afterAll(() => lab.close());

// ---- one generator of a message per class of badness ----

const recordings = RECORDINGS.flatMap(readRecording)
  .filter(({ exchange }) => exchange.startsWith('neutron-vo-Port-'))
  .map(({ body }) => Buffer.from(body));

const JUNK = [null, true, 0, -1, 1.5, 2 ** 53, '', 'x'.repeat(5_000), [], {}, [[]], { a: 1 }, '\u0000', '../../etc', '2026-01-15'];

const KINDS: readonly (readonly [string, number, () => Message])[] = [
  ['random bytes', 10, () => ({ body: Buffer.from(Array.from({ length: below(300) }, () => below(256))) })],
  ['JSON that is no message', 10, () => ({ body: Buffer.from(JSON.stringify(pick(JUNK))) })],
  ['a recorded push with bytes changed', 25, () => ({ body: flipped(pick(recordings)) })],
  ['a push of a port of ours with bytes changed', 10, () => ({ body: flipped(old(pick(ports))) })],
  ['a push that was cut off', 5, () => ({ body: cut(pick([...recordings, old(pick(ports))])) })],
  [
    'a port of ours with a field of another kind',
    15,
    () => ({ body: bodyOf(spoilt(portObject({ ...pick(ports), revisionNumber: 0 }, '1.7'))) }),
  ],
  ['an old state of a port of ours', 5, () => ({ body: old(pick(ports)) })],
  [
    'an invented port of ours outside the prefixes',
    5,
    () => ({ body: forged({ fixedIps: [pick(['8.8.8.8', '10.0.0.1', '2001:db8:999::1', '0.0.0.0', '::'])] }) }),
  ],
  ['an invented port in a network of a tenant', 3, () => ({ body: forged({}, tenantNetworkId) })],
  ['an invented port in an invented network', 3, () => ({ body: forged({}, randomUUID()) })],
  ['an invented port with pairs', 2, () => ({ body: forged({ fixedIps: [], allowedAddressPairs: ['203.0.113.77', '203.0.113.0/24'] }) })],
  ['a deletion of what is not ours', 3, () => ({ body: neutron.pushBody(deletedPortObject(randomUUID(), '1.7'), 'deleted') })],
  ['another object, version or method', 2, () => ({ body: pick(OTHERS)() })],
  ['a compressed body that is none', 1, () => ({ body: pick(recordings), headers: { compression: 'application/x-gzip' } })],
  ['a bomb', 0.01, () => ({ body: deflateSync(Buffer.alloc(200_000_000)), headers: { compression: 'application/x-gzip' } })],
];

const OTHERS = [
  () => bodyOf({ ...portObject(labPort({ id: randomUUID() }), '1.7'), 'versioned_object.version': '2.0' }),
  () => bodyOf({ ...portObject(labPort({ id: randomUUID() }), '1.7'), 'versioned_object.name': 'Subnet' }),
  () => enveloped({ ...(innerOf(old(pick(ports)).toString()) as object), method: 'hv1_explode' }),
  () => enveloped({ ...(innerOf(old(pick(ports)).toString()) as object), version: '9.0' }),
  () => enveloped({ ...(innerOf(old(pick(ports)).toString()) as object), args: { resource_list: 'hv1', event_type: 'updated' } }),
] as const;

describe(`${MESSAGES} bad messages`, () => {
  it('change no route, end no daemon, fill no memory, and each is counted', async () => {
    const { pid } = hv1.process();
    const mark = router.updates().length;
    const before = await metrics();
    const total = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
    let sent = 0;
    let mostMb = 0;
    for (const [, weight, make] of KINDS) {
      const share = Math.ceil((MESSAGES * weight) / total);
      for (let n = 0; n < share; n += 1) {
        const { body, headers = {} } = make();
        channel.publish(EXCHANGE, '', body, { contentType: 'application/json', headers });
        sent += 1;
        if (sent % 2_000 === 0) await channel.waitForConfirms();
      }
      await channel.waitForConfirms();
      mostMb = Math.max(mostMb, (await metrics()).memoryMb);
    }
    expect(sent).toBeGreaterThanOrEqual(MESSAGES);
    // A stale state is counted twice: by the source that took it, and by the table that did not.
    await until(
      'every message to be counted',
      async () => {
        const { memoryMb, received } = await metrics();
        mostMb = Math.max(mostMb, memoryMb);
        return received - before.received >= sent;
      },
      60_000,
      250,
    );
    const { outcomes } = await metrics();
    for (const outcome of ['applied', 'foreign', 'stale', 'duplicate', 'malformed', 'unsupported'] as const)
      expect([outcome, (outcomes[outcome] ?? 0) > (before.outcomes[outcome] ?? 0) || outcome === 'duplicate']).toEqual([outcome, true]);
    expect(mostMb - before.memoryMb, `seed ${SEED}`).toBeLessThan(MEMORY_MB);
    expect(hv1.process().pid).toBe(pid);
    expect(hv1.process().hasEnded()).toBe(false);
    expect(router.updates().slice(mark), `seed ${SEED}`).toEqual([]);
  });

  it('leave a daemon that works: a boot and a stop are heard, and a snapshot makes the invented ports go', async () => {
    const networkId = ports[0]?.network.id ?? '';
    const { id } = await neutron.bootPort({ host: 'hv1', networkId, fixedIps: ['203.0.113.9'] });
    await until('the route', async () => (await router.route('203.0.113.9/32')) !== undefined);
    await neutron.deletePort(id);
    await until('its end', async () => (await router.route('203.0.113.9/32')) === undefined);
    expect((await router.routes()).map(({ prefix }) => prefix).toSorted()).toEqual([
      '2001:db8:113::2/128',
      '203.0.113.1/32',
      '203.0.113.2/32',
      '203.0.113.3/32',
    ]);
  });

  it('a false deletion of a port of ours changes nothing: Neutron is asked', async () => {
    const mark = router.updates().length;
    for (const { id } of ports) await neutron.pushDeleted(id);
    await until('the look-ups', () =>
      ports.every(({ id }) =>
        hv1.log().some((line) => line.msg === 'a port that was told as deleted is there' && (line as { port?: string }).port === id),
      ),
    );
    expect(router.updates().slice(mark)).toEqual([]);
  });

  it('no token is in any line of the log, at the level debug', () => {
    const text = readFileSync(hv1.process().logFile, 'utf8');
    expect(text).toContain('malformed');
    expect(text).not.toContain(TOKEN);
    expect(text).not.toContain('canary');
    expect(text).not.toMatch(/uncaught|unhandled|TypeError|RangeError/i);
  });
});

// ---- what the generators are made of ----

function bodyOf(resource: Record<string, unknown>): Buffer {
  return neutron.pushBody(resource, 'updated');
}

/** A state before the one that is known: whatever a changed byte makes of it, it is not news. */
function old(port: LabPort): Buffer {
  return bodyOf(portObject({ ...port, revisionNumber: 0 }, '1.7'));
}

function forged(change: Partial<LabPort>, networkId?: string): Buffer {
  const [known] = ports;
  if (known === undefined) throw new Error('no port was booted');
  const network = networkId === undefined ? known.network : { ...known.network, id: networkId };
  return bodyOf(portObject(labPort({ id: randomUUID(), fixedIps: [`203.0.113.${100 + below(100)}`], network, ...change }), '1.7'));
}

function flipped(body: Buffer): Buffer {
  const changed = Buffer.from(body);
  for (let n = 0; n <= below(2); n += 1) changed[below(changed.length)] = below(256);
  return changed;
}

function cut(body: Buffer): Buffer {
  return body.subarray(0, below(body.length));
}

/** One field of the object, at any depth, replaced by junk or taken out. */
function spoilt(resource: Record<string, unknown>): Record<string, unknown> {
  const changed = structuredClone(resource);
  let place: Record<string, unknown> = changed;
  for (;;) {
    const key = pick(Object.keys(place));
    const value = place[key];
    const isInner = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
    if (isInner && random() < 0.8) {
      place = value as Record<string, unknown>;
      continue;
    }
    if (random() < 0.2) delete place[key];
    else place[key] = pick(JUNK);
    return changed;
  }
}

function enveloped(inner: object): Buffer {
  return Buffer.from(pythonJson({ 'oslo.version': '2.0', 'oslo.message': pythonJson(inner) }));
}

async function metrics(): Promise<{ outcomes: Record<string, number>; received: number; memoryMb: number }> {
  const text = await (await fetch(hv1.metricsUrl)).text();
  const outcomes: Record<string, number> = {};
  for (const [, outcome = '', value] of text.matchAll(/bus_messages_total\{source="neutron",outcome="(\w+)"\} (\d+)/g))
    outcomes[outcome] = Number(value);
  const received = Object.entries(outcomes).reduce((sum, [outcome, count]) => sum + (outcome === 'stale' ? 0 : count), 0);
  const memory = /^process_resident_memory_bytes (\d+)/m.exec(text)?.[1];
  return { outcomes, received, memoryMb: Number(memory) / 1e6 };
}

function below(limit: number): number {
  return Math.floor(random() * limit);
}

function pick<T>(values: readonly T[]): T {
  const value = values[below(values.length)];
  if (value === undefined && values.length === 0) throw new Error('nothing to pick from');
  return value as T;
}

/** mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
