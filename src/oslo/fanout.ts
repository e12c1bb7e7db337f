/**
 * Casts from a fanout exchange, through a private queue.
 *
 * The exchange belongs to the servers. If an agent made it first with another durability than they want, their every
 * publish on it would fail, and silently: pushes would stop for the whole cloud. So it is looked up first, and made only
 * as the servers themselves make theirs.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { AgentError, codeOf } from '../lib/errors.ts';
import { type BrokerConnection, Ending, PRIVATE_QUEUE } from './connection.ts';
import { decodeEnvelope, hexId, inflateBody } from './envelope.ts';
import type { JsonObject } from './json.ts';

export type Cast = {
  readonly method: string;
  readonly version: string;
  readonly args: JsonObject;
  readonly requestId?: string;
};

/** What an operator may know about the servers' fanouts. */
export type FanoutSettings = {
  /** Whether their exchanges are durable; without it, that is found out. */
  readonly durable?: boolean;
};

export type FanoutOptions = FanoutSettings & {
  /** The exchange is `TOPIC_fanout`. */
  readonly topic: string;
  /** Begins the private queue's name. */
  readonly queuePrefix: string;
  /** Fanout topics that the servers themselves listen on: their exchanges show how the servers declare theirs. */
  readonly serverTopics: readonly string[];
  /** Looks at the raw body, before anything is parsed; false drops the message. */
  readonly wants: (body: Buffer) => boolean;
  readonly onCast: (cast: Cast) => void;
  readonly onDropped: (why: 'foreign' | 'duplicate' | 'malformed', detail?: string) => void;
};

export type FanoutSubscription = {
  /** Resolves with the reason when no further cast can arrive. */
  readonly lost: Promise<AgentError>;
};

const MAX_CAST_BYTES = 4 * 1024 * 1024;

/** oslo keeps as many per listener (_drivers/amqp.py _MsgIdCache). */
const REMEMBERED_IDS = 64;

/** The exchange is deleted with its last queue, so it may vanish between the look and the binding. */
const BIND_ATTEMPTS = 5;

/**
 * Begins to consume; casts may arrive before this resolves.
 *
 * @throws AgentError `fanout-unknown` when the exchange is missing and no server shows how to make it
 */
export async function subscribeFanout(connection: BrokerConnection, options: FanoutOptions): Promise<FanoutSubscription> {
  const { channel, closed } = await connection.openChannel();
  const exchange = `${options.topic}_fanout`;
  const queue = `${options.queuePrefix}.${hexId()}`;
  const end = new Ending();
  void closed.then((error) => end.at(error));
  await channel.assertQueue(queue, PRIVATE_QUEUE);
  try {
    await bindToExisting(connection, exchange, queue, options);
  } catch (error) {
    // Without a consumer it would stay as long as the connection.
    await channel.deleteQueue(queue).catch(() => undefined);
    throw error;
  }
  const receive = castReceiver(options);
  await channel.consume(
    queue,
    (message) => {
      if (message === null) end.at(new AgentError('broker-queue-gone', 'retryable', `the queue of ${options.topic} is gone`));
      else receive(message);
    },
    // The queue lives as long as this channel, so an acknowledgement would keep nothing.
    { noAck: true },
  );
  return { lost: end.reached };
}

async function bindToExisting(connection: BrokerConnection, exchange: string, queue: string, options: FanoutOptions): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await ensureFanoutExchange(connection, exchange, options);
    try {
      return await connection.onScratchChannel(async (scratch) => {
        await scratch.bindQueue(queue, exchange, '');
      });
    } catch (error) {
      if (codeOf(error) !== 'broker-not-found' || attempt === BIND_ATTEMPTS) throw error;
    }
  }
}

async function ensureFanoutExchange(connection: BrokerConnection, exchange: string, options: FanoutOptions): Promise<void> {
  if (await exchangeExists(connection, exchange)) return;
  const durable = options.durable ?? (await serverDurability(connection, options));
  await connection.onScratchChannel((scratch) => declareFanout(scratch, exchange, durable));
}

/** Passive: it says nothing about the exchange's properties, and makes none. */
export async function exchangeExists(connection: BrokerConnection, exchange: string): Promise<boolean> {
  return (await unlessMissing(() => connection.onScratchChannel((scratch) => scratch.checkExchange(exchange)))) !== undefined;
}

/** How the servers declare fanout exchanges: told by the broker, which refuses a declaration that differs from what exists. */
async function serverDurability(connection: BrokerConnection, { serverTopics, queuePrefix }: FanoutOptions): Promise<boolean> {
  for (const topic of serverTopics) {
    if (!(await hasConsumers(connection, topic))) continue;
    const durable = await unlessMissing(() => durabilityOf(connection, `${topic}_fanout`, `${queuePrefix}.probe.${hexId()}`));
    if (durable !== undefined) return durable;
  }
  throw new AgentError(
    'fanout-unknown',
    'retryable',
    `no Neutron server listens on ${serverTopics.map((topic) => `${topic}_fanout`).join(' or ')}, so nothing shows how its exchanges are declared`,
  );
}

/** Passive: whether somebody listens. The queues of dead servers stay for a while. */
async function hasConsumers(connection: BrokerConnection, queue: string): Promise<boolean> {
  const found = await unlessMissing(() => connection.onScratchChannel((scratch) => scratch.checkQueue(queue)));
  return found !== undefined && found.consumerCount > 0;
}

/**
 * Whether an auto-delete exchange of others is durable. A queue of ours is bound to it meanwhile, so that it cannot vanish
 * between the look and the declaration, which would then create it.
 *
 * @throws AgentError `broker-not-found`
 */
async function durabilityOf(connection: BrokerConnection, exchange: string, holdingQueue: string): Promise<boolean> {
  return connection.onScratchChannel(async (holder) => {
    await holder.assertQueue(holdingQueue, { ...PRIVATE_QUEUE, expires: 60_000 });
    await holder.bindQueue(holdingQueue, exchange, '');
    try {
      await connection.onScratchChannel((scratch) => declareFanout(scratch, exchange, false));
      return false;
    } catch (error) {
      if (codeOf(error) === 'broker-precondition-failed') return true;
      throw error;
    } finally {
      await holder.deleteQueue(holdingQueue);
    }
  });
}

/** Undefined when the broker does not know what was asked for. */
async function unlessMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (codeOf(error) === 'broker-not-found') return undefined;
    throw error;
  }
}

async function declareFanout(channel: Channel, exchange: string, durable: boolean): Promise<void> {
  await channel.assertExchange(exchange, 'fanout', { durable, autoDelete: true });
}

/** The way of one message from the broker to `onCast`. Nothing in it throws. */
export function castReceiver(
  options: Pick<FanoutOptions, 'wants' | 'onCast' | 'onDropped'>,
): (message: Pick<ConsumeMessage, 'content' | 'properties'>) => void {
  const { wants, onCast, onDropped } = options;
  const seen: string[] = [];
  return ({ content, properties }) => {
    const inflated = inflateBody(content, properties.headers?.['compression'], MAX_CAST_BYTES);
    if (!inflated.ok) return onDropped('malformed', inflated.reason);
    if (!wants(inflated.value)) return onDropped('foreign');
    const envelope = decodeEnvelope(inflated.value);
    if (!envelope.ok) return onDropped('malformed', envelope.reason);
    const { method, version = '1.0', args, uniqueId, requestId } = envelope.value;
    if (method === undefined) return onDropped('malformed', 'no method');
    if (uniqueId !== undefined) {
      if (seen.includes(uniqueId)) return onDropped('duplicate');
      seen.push(uniqueId);
      if (seen.length > REMEMBERED_IDS) seen.shift();
    }
    onCast({ method, version, args, ...(requestId === undefined ? {} : { requestId }) });
  };
}
