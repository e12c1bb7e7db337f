/** Our oslo.messaging on a real RabbitMQ. The other side is bare amqplib, so that a mistake of ours does not cancel out. */
import { createConnection, createServer, type Socket } from 'node:net';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { AgentError } from '../../src/lib/errors.ts';
import { silentLog } from '../../src/lib/log.ts';
import { type BrokerConnection, type BrokerHost, type BrokerSettings, openConnection } from '../../src/oslo/connection.ts';
import { exchangeExists, type FanoutOptions, subscribeFanout } from '../../src/oslo/fanout.ts';
import { keepConnected } from '../../src/oslo/keep-connected.ts';
import { openRpcClient, type RpcClient, type RpcRequest } from '../../src/oslo/rpc-client.ts';
import { freePort, Lab, until } from '../lab/lab.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

const lab = new Lab('oslo');
let rabbit: RabbitNode;
let other: ChannelModel;
let channel: Channel;
let connection: BrokerConnection;

function brokerSettings(change: Partial<BrokerSettings> & { host?: Partial<BrokerHost> } = {}): BrokerSettings {
  const { host, ...rest } = change;
  return {
    hosts: [{ host: '127.0.0.1', port: rabbit.port, username: 'guest', password: 'guest', ...host }],
    virtualHost: '/',
    heartbeatSeconds: 15,
    connectTimeoutMs: 5_000,
    connectionName: 'oslo-test',
    ...rest,
  };
}

async function open(change: Parameters<typeof brokerSettings>[0] = {}): Promise<BrokerConnection> {
  const settings = brokerSettings(change);
  return openConnection(settings, settings.hosts[0] as BrokerHost, silentLog);
}

beforeAll(async () => {
  rabbit = await startRabbit(lab);
});
afterAll(() => lab.close());
beforeEach(async () => {
  other = await connect(rabbit.url);
  other.on('error', () => undefined);
  channel = await other.createChannel();
  await channel.assertExchange('neutron', 'topic', { durable: false });
  connection = await open();
});
afterEach(async () => {
  await connection.close();
  await other.close().catch(() => undefined);
});

const envelope = (inner: object): Buffer => Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(inner) }));

describe('connecting', () => {
  const failure = (opening: Promise<BrokerConnection>): Promise<unknown> =>
    opening.then(
      () => 'connected',
      (error: unknown) => error,
    );

  test('a wrong password is told as such, and never shown', async () => {
    const error = await failure(open({ host: { password: 's3cret' } }));
    expect(error).toMatchObject({ code: 'broker-credentials-refused', kind: 'terminal' });
    expect(String(error)).toContain('refused user "guest"');
    expect(JSON.stringify([String(error), (error as AgentError).cause])).not.toContain('s3cret');
  });

  test('a missing vhost is told as such', async () => {
    const error = await failure(open({ virtualHost: 'no/such' }));
    expect(error).toMatchObject({ code: 'broker-vhost-refused', kind: 'terminal' });
    expect(String(error)).toContain('"no/such"');
  });

  test('nobody there can be tried again', async () => {
    expect(await failure(open({ host: { port: await freePort() } }))).toMatchObject({ code: 'broker-unreachable', kind: 'retryable' });
  });

  test('a vhost with a slash in its name', async () => {
    await rabbit.ctl('add_vhost', 'a/b');
    await rabbit.ctl('set_permissions', '-p', 'a/b', 'guest', '.*', '.*', '.*');
    const inVhost = await open({ virtualHost: 'a/b' });
    expect(await exchangeExists(inVhost, 'neutron')).toBe(false);
    await inVhost.close();
  });

  test('keeps trying, tells each failure, and begins anew after a loss', async () => {
    const user = ['late', 'pw'] as const;
    const failures: string[] = [];
    const sessions: BrokerConnection[] = [];
    const stopping = new AbortController();
    const running = keepConnected(
      {
        broker: brokerSettings({ host: { username: user[0], password: user[1] } }),
        reconnect: { firstDelayMs: 50, longestDelayMs: 200, spreadMs: 0 },
        clock: systemClock,
        log: silentLog,
        failed: (error) => failures.push((error as AgentError).code),
        session: async (session, healthy, signal) => {
          sessions.push(session);
          healthy();
          throw await Promise.race([
            session.closed,
            new Promise<Error>((resolve) => signal.addEventListener('abort', () => resolve(new Error('aborted')))),
          ]);
        },
      },
      stopping.signal,
    );
    await until('two refusals', () => failures.length >= 2);
    expect(new Set(failures)).toEqual(new Set(['broker-credentials-refused']));
    await rabbit.ctl('add_user', ...user);
    await rabbit.ctl('set_permissions', '-p', '/', user[0], '.*', '.*', '.*');
    await until('a session', () => sessions.length === 1);
    await rabbit.ctl('close_all_user_connections', user[0], 'test');
    await until('another session', () => sessions.length === 2);
    expect(failures.at(-1)).toBe('broker-connection-lost');
    stopping.abort();
    await running;
    expect(sessions[1]?.isClosed()).toBe(true);
  });

  test('only what worked and was lost waits for its share of the spread', async () => {
    const delays: number[] = [];
    const stopping = new AbortController();
    let sessions = 0;
    await keepConnected(
      {
        // The first attempt fails, nobody being there: `random` shuffles nothing.
        broker: {
          ...brokerSettings(),
          hosts: [{ ...brokerSettings().hosts[0], port: await freePort() }, ...brokerSettings().hosts] as BrokerHost[],
        },
        reconnect: { firstDelayMs: 100, longestDelayMs: 100, spreadMs: 30_000 },
        random: () => 0.5,
        clock: {
          ...systemClock,
          wakeAt: async (ms) => void delays.push(Math.round((ms - systemClock.monotonicMs()) / 100) * 100),
        },
        log: silentLog,
        failed: () => undefined,
        session: async (session, healthy) => {
          sessions += 1;
          if (sessions === 1) throw new Error('not yet');
          if (sessions === 2) healthy();
          if (sessions === 3) await session.close();
          if (sessions === 5) stopping.abort();
          throw new Error(`session ${sessions}`);
        },
      },
      stopping.signal,
    );
    // Nobody there; not yet; healthy before it failed; its connection lost; nobody at the next host; failed early.
    expect(delays).toEqual([100, 100, 15_100, 15_100, 100, 100]);
  });

  test('another host takes over', async () => {
    // A host that can be taken away: a pipe to the broker.
    const pipes = new Set<Socket>();
    const gate = createServer((socket) => {
      const onward = createConnection(rabbit.port, '127.0.0.1');
      for (const [from, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        pipes.add(from);
        from.on('error', () => undefined).on('close', () => to.destroy());
        from.pipe(to);
      }
    });
    const port = await freePort();
    await new Promise<void>((resolve) => gate.listen(port, '127.0.0.1', resolve));
    const [broker] = brokerSettings().hosts as [BrokerHost];
    const peers: string[] = [];
    const stopping = new AbortController();
    const running = keepConnected(
      {
        broker: { ...brokerSettings(), hosts: [{ ...broker, port }, broker] },
        reconnect: { firstDelayMs: 10, longestDelayMs: 50, spreadMs: 0 },
        random: () => 0.5,
        clock: systemClock,
        log: silentLog,
        failed: () => undefined,
        session: async (session, healthy, signal) => {
          peers.push(session.peer);
          healthy();
          const aborted = new Promise<Error>((resolve) => signal.addEventListener('abort', () => resolve(new Error('aborted'))));
          throw await Promise.race([session.closed, aborted]);
        },
      },
      stopping.signal,
    );
    await until('the first host', () => peers.length === 1);
    gate.close();
    for (const pipe of pipes) pipe.destroy();
    await until('the second host', () => peers.length === 2);
    expect(peers).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${rabbit.port}`]);
    stopping.abort();
    await running;
  });

  test('a session that fails on a living connection gets another turn on it, without its channels', async () => {
    const turns: BrokerConnection[] = [];
    const stopping = new AbortController();
    const running = keepConnected(
      {
        broker: brokerSettings(),
        reconnect: { firstDelayMs: 10, longestDelayMs: 10, spreadMs: 0 },
        clock: systemClock,
        log: silentLog,
        failed: () => undefined,
        session: async (session, _healthy, signal) => {
          turns.push(session);
          const { channel: mine } = await session.openChannel();
          await mine.assertQueue('private-to-a-session', { exclusive: true, durable: false, autoDelete: true });
          await mine.consume('private-to-a-session', () => undefined);
          if (turns.length < 3) throw new Error('a queue is gone');
          if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        },
      },
      stopping.signal,
    );
    await until('three turns', () => turns.length === 3);
    expect(new Set(turns).size).toBe(1);
    stopping.abort();
    await running;
  });
});

describe('calls', () => {
  let client: RpcClient;
  const request = (change: Partial<RpcRequest> = {}): RpcRequest => ({
    exchange: 'neutron',
    topic: 'q-test',
    method: 'bulk_pull',
    version: '1.1',
    args: { a: 1 },
    timeoutMs: 5_000,
    ...change,
  });
  const never = new AbortController().signal;

  /** Serves `q-test`: each request gets the inner messages that `answer` makes of it, in order. */
  async function serve(
    answer: (inner: Record<string, unknown>) => readonly object[],
  ): Promise<{ inner: Record<string, unknown>; properties: Record<string, unknown> }[]> {
    const seen: { inner: Record<string, unknown>; properties: Record<string, unknown> }[] = [];
    await channel.assertQueue('q-test', { durable: false, autoDelete: true });
    await channel.bindQueue('q-test', 'neutron', 'q-test');
    await channel.consume(
      'q-test',
      (message) => {
        if (message === null) return;
        const outer = JSON.parse(message.content.toString()) as { 'oslo.message': string };
        const inner = JSON.parse(outer['oslo.message']) as Record<string, unknown>;
        seen.push({ inner, properties: message.properties as unknown as Record<string, unknown> });
        for (const reply of answer(inner))
          channel.publish('', String(inner['_reply_q']), envelope({ _msg_id: inner['_msg_id'], _unique_id: 'u', ...reply }));
      },
      { noAck: true },
    );
    return seen;
  }

  beforeEach(async () => {
    client = await openRpcClient(connection, { queuePrefix: 'reply_bgp.hv1', clock: systemClock });
  });

  test('a request as oslo makes it, and its result', async () => {
    const seen = await serve(() => [{ result: [1, 2], failure: null, ending: true }]);
    expect(await client.call(request(), never)).toEqual([1, 2]);
    const [{ inner, properties } = { inner: {}, properties: {} }] = seen;
    expect(inner).toEqual({
      method: 'bulk_pull',
      args: { a: 1 },
      version: '1.1',
      _msg_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      _reply_q: expect.stringMatching(/^reply_bgp\.hv1\.[0-9a-f]{32}$/) as string,
      _timeout: null,
      _unique_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      _context_is_admin: true,
      _context_roles: ['admin', 'member', 'reader'],
      _context_user_id: null,
      _context_project_id: null,
      _context_request_id: expect.stringMatching(/^req-/) as string,
    });
    expect(properties).toMatchObject({
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      deliveryMode: 2,
      priority: 0,
      headers: {},
      expiration: '5000',
    });
    expect(properties).toMatchObject({ replyTo: undefined, correlationId: undefined, messageId: undefined, type: undefined });
  });

  test('answers find their call, whatever their order', async () => {
    const waiting: Record<string, unknown>[] = [];
    await serve((inner) => {
      waiting.push(inner);
      return [];
    });
    const calls = [1, 2, 3].map((n) => client.call(request({ args: { n } }), never));
    await until('three requests', () => waiting.length === 3);
    for (const inner of waiting.toReversed())
      channel.publish(
        '',
        String(inner['_reply_q']),
        envelope({ _msg_id: inner['_msg_id'], result: (inner['args'] as { n: number }).n, failure: null, ending: true }),
      );
    expect(await Promise.all(calls)).toEqual([1, 2, 3]);
  });

  test('signs of life, strangers, repetitions and nonsense do not answer a call', async () => {
    await serve(() => [
      { result: null, failure: null, ending: false },
      { _msg_id: 'somebody-else', result: 'wrong', ending: true },
      { _msg_id: 7, result: 'wrong', ending: true },
      { result: 'right', failure: null, ending: true },
      { result: 'again', failure: null, ending: true },
    ]);
    expect(await client.call(request(), never)).toBe('right');
    expect(await client.call(request(), never)).toBe('right');
  });

  test('a failure is an error with the name of what was raised', async () => {
    await serve(() => [{ result: null, failure: JSON.stringify({ class: 'InvalidInput', message: 'not so', tb: ['x'] }), ending: true }]);
    await expect(client.call(request(), never)).rejects.toMatchObject({
      code: 'rpc-remote-error',
      remoteClass: 'InvalidInput',
      message: expect.stringContaining('not so') as string,
    });
  });

  test('silence is a timeout', async () => {
    await serve(() => []);
    await expect(client.call(request({ timeoutMs: 200 }), never)).rejects.toMatchObject({ code: 'rpc-timeout', kind: 'retryable' });
  });

  test('a topic that nobody has is told at once', async () => {
    const startedMs = performance.now();
    await expect(client.call(request({ topic: 'q-nobody', timeoutMs: 30_000 }), never)).rejects.toMatchObject({ code: 'rpc-unroutable' });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  test('an expired request does not wait for a server', async () => {
    await channel.assertQueue('q-slow', { durable: false, autoDelete: false });
    await channel.bindQueue('q-slow', 'neutron', 'q-slow');
    await expect(client.call(request({ topic: 'q-slow', timeoutMs: 100 }), never)).rejects.toMatchObject({ code: 'rpc-timeout' });
    await until('the request to expire', async () => (await channel.checkQueue('q-slow')).messageCount === 0);
    await channel.deleteQueue('q-slow');
  });

  test('while the broker takes no messages, calls wait for it, and it is told', async () => {
    await serve(() => [{ result: 'late', failure: null, ending: true }]);
    const told: (string | undefined)[] = [];
    connection.onBlocked((reason) => told.push(reason), never);
    await rabbit.ctl('set_vm_memory_high_watermark', '0.0001');
    try {
      // RabbitMQ says so to those who publish.
      void client.call(request({ timeoutMs: 20_000 }), never).catch(() => undefined);
      await until('the broker to block us', () => connection.blockedReason() !== undefined);
      await expect(client.call(request({ timeoutMs: 200 }), never)).rejects.toMatchObject({ code: 'broker-blocked', kind: 'retryable' });
      const waiting = client.call(request({ timeoutMs: 20_000 }), never);
      await rabbit.ctl('set_vm_memory_high_watermark', '0.4');
      expect(await waiting).toBe('late');
    } finally {
      await rabbit.ctl('set_vm_memory_high_watermark', '0.4');
    }
    expect(told).toEqual(['low on memory', undefined]);
  });

  test('giving up', async () => {
    await serve(() => []);
    const aborting = new AbortController();
    const call = client.call(request(), aborting.signal);
    aborting.abort();
    await expect(call).rejects.toMatchObject({ code: 'rpc-aborted' });
    await expect(client.call(request(), aborting.signal)).rejects.toMatchObject({ code: 'rpc-aborted' });
  });

  test('a lost connection ends every call, those that come later too', async () => {
    await serve(() => []);
    const call = client.call(request(), never);
    const rejected = expect(call).rejects.toMatchObject({ code: 'rpc-lost' });
    await connection.close();
    await rejected;
    await client.lost;
    await expect(client.call(request(), never)).rejects.toMatchObject({ code: 'rpc-lost' });
  });

  test('the reply queue is private, and deleting it ends the client', async () => {
    const queue =
      (await rabbit.ctl('list_queues', 'name', 'durable', 'exclusive', 'auto_delete', 'arguments'))
        .split('\n')
        .find((line) => line.startsWith('reply_bgp.hv1.')) ?? '';
    expect(queue.split('\t').slice(1, 4)).toEqual(['false', 'true', 'true']);
    await rabbit.ctl('delete_queue', queue.split('	')[0] ?? '');
    expect(await client.lost).toMatchObject({ code: 'broker-queue-gone' });
    expect(connection.isClosed()).toBe(false);
  });
});

describe('fanout', () => {
  const topic = 'neutron-vo-Port-1.7';
  const listen = (change: Partial<FanoutOptions> = {}, on: BrokerConnection = connection): Promise<{ lost: Promise<AgentError> }> =>
    subscribeFanout(on, {
      topic,
      queuePrefix: 'bgp-agent.hv1.vo-port',
      serverTopics: ['q-plugin', 'q-server-resource-versions'],
      wants: () => true,
      onCast: () => undefined,
      onDropped: () => undefined,
      ...change,
    });
  const exchanges = async (): Promise<string[]> =>
    (await rabbit.ctl('list_exchanges', 'name', 'type', 'durable', 'auto_delete')).split('\n').filter((line) => line.includes('_fanout'));
  /** As a server declares the fanout it listens on itself. */
  async function serverListensOn(serverTopic: string, durable: boolean): Promise<string> {
    await channel.assertExchange(`${serverTopic}_fanout`, 'fanout', { durable, autoDelete: true });
    const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
    await channel.bindQueue(queue, `${serverTopic}_fanout`, '');
    await channel.assertQueue(serverTopic, { durable: false, autoDelete: true });
    await channel.consume(serverTopic, () => undefined, { noAck: true });
    return queue;
  }

  test.each([
    ['q-plugin', false],
    ['q-plugin', true],
    ['q-server-resource-versions', false],
    ['q-server-resource-versions', true],
  ])('the missing exchange is made as the servers make theirs: %s durable %s', async (serverTopic, durable) => {
    await serverListensOn(serverTopic, durable);
    await listen();
    expect((await exchanges()).toSorted()).toEqual(
      [`${topic}_fanout\tfanout\t${durable}\ttrue`, `${serverTopic}_fanout\tfanout\t${durable}\ttrue`].toSorted(),
    );
    // The server's own declaration, made before each publish, is not refused.
    await channel.assertExchange(`${topic}_fanout`, 'fanout', { durable, autoDelete: true });
  });

  test('an exchange that exists is used as it is', async () => {
    await channel.assertExchange(`${topic}_fanout`, 'fanout', { durable: true, autoDelete: true });
    await listen();
    expect(await exchanges()).toEqual([`${topic}_fanout\tfanout\ttrue\ttrue`]);
  });

  test('where nothing shows how servers declare, nothing is made', async () => {
    await expect(listen()).rejects.toMatchObject({ code: 'fanout-unknown' });
    expect(await exchanges()).toEqual([]);
  });

  test('the queues of dead servers show nothing: no server may be there to declare them again', async () => {
    await serverListensOn('q-plugin', true);
    await channel.assertQueue('left-behind', { durable: true });
    await channel.bindQueue('left-behind', 'q-plugin_fanout', '');
    await channel.assertQueue('q-server-resource-versions', { durable: false });
    await channel.close();
    channel = await other.createChannel();
    const found = await exchanges();
    await expect(listen()).rejects.toMatchObject({ code: 'fanout-unknown' });
    expect(await exchanges()).toEqual(found);
    for (const queue of ['left-behind', 'q-server-resource-versions']) await channel.deleteQueue(queue);
  });

  test.each([true, false])('a durability that is told is not asked for: %s', async (durable) => {
    await listen({ durable });
    expect(await exchanges()).toEqual([`${topic}_fanout\tfanout\t${durable}\ttrue`]);
  });

  test('a server that goes at any moment of it is not made up for wrongly', async () => {
    const looks: number[] = [];
    // Between any two of our steps the last queue of the server's exchange goes, and with it the exchange.
    for (let step = 1; step <= 8; step += 1) {
      const queue = await serverListensOn('q-plugin', true);
      let steps = 0;
      const interrupted: BrokerConnection = {
        ...connection,
        async onScratchChannel(work) {
          if ((steps += 1) === step) await channel.deleteQueue(queue);
          return connection.onScratchChannel(work);
        },
      };
      await listen({}, interrupted).catch(() => undefined);
      const durable = (await exchanges()).map((line) => line.split('\t')[2]);
      expect({ step, durable: durable.filter((value) => value !== 'true') }).toEqual({ step, durable: [] });
      looks.push(durable.length);
      await connection.closeChannels();
      await channel.deleteQueue(queue);
    }
    expect(Math.min(...looks)).toBe(0);
    expect(Math.max(...looks)).toBe(2);
  });

  test('casts arrive with what concerns us, once', async () => {
    await serverListensOn('q-plugin', false);
    const casts: object[] = [];
    const dropped: string[] = [];
    await listen({ wants: (body) => body.includes('hv1'), onCast: (cast) => casts.push(cast), onDropped: (why) => dropped.push(why) });
    const cast = (host: string, uniqueId: string): Buffer =>
      envelope({ method: 'push', version: '1.1', args: { host }, _unique_id: uniqueId, _context_auth_token: 'gAAAAA' });
    for (const body of [cast('hv1', '1'), cast('hv2', '2'), cast('hv1', '1'), Buffer.from('hv1 {'), cast('hv1', '3')])
      channel.publish(`${topic}_fanout`, '', body);
    await until('all five', () => casts.length + dropped.length === 5);
    expect(dropped).toEqual(['foreign', 'duplicate', 'malformed']);
    expect(casts).toEqual([
      { method: 'push', version: '1.1', args: { host: 'hv1' } },
      { method: 'push', version: '1.1', args: { host: 'hv1' } },
    ]);
  });
});
