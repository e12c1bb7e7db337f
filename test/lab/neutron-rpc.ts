/**
 * The few lines of oslo.messaging that a test needs to play a Neutron agent. Written apart from `src/oslo` on purpose:
 * a mistake there must not be made by both ends of a test.
 */
import { randomUUID } from 'node:crypto';
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import { until } from './lab.ts';

export type NeutronRpc = {
  /** Calls a method of the server; rejects with the class and message of its error, or after 20 s. */
  call(topic: 'q-plugin' | 'q-reports-plugin', method: string, args: object, version?: string): Promise<unknown>;
  close(): Promise<void>;
};

type Reply = { _msg_id: string; result: unknown; failure: string | null; ending: boolean };
type Line = { connection: ChannelModel; channel: Channel; replyQueue: string };

const CALL_TIMEOUT_MS = 20_000;

/** Connects, and waits until the server's workers listen. Connects anew when the broker went away. */
export async function openNeutronRpc(rabbitUrl: string): Promise<NeutronRpc> {
  const waiting = new Map<string, (reply: Reply) => void>();
  let line: Promise<Line> | undefined;

  const openLine = async (): Promise<Line> => {
    const connection = await connect(rabbitUrl);
    const channel = await connection.createChannel();
    for (const end of [connection, channel]) {
      end.on('error', () => {}); // followed by `close`; the calls that wait run into their timeout
      end.on('close', () => (line = undefined));
    }
    const replyQueue = `reply_${hexId()}`;
    await channel.assertQueue(replyQueue, { exclusive: true, durable: false, autoDelete: true });
    await channel.consume(
      replyQueue,
      (message) => {
        if (message === null) return;
        const reply = unwrap(message) as Reply;
        const { _msg_id: id } = reply;
        if (reply.ending) waiting.get(id)?.(reply);
      },
      { noAck: true },
    );
    return { connection, channel, replyQueue };
  };

  const call: NeutronRpc['call'] = async (topic, method, args, version = '1.0') => {
    const { channel, replyQueue } = await (line ??= openLine());
    const id = hexId();
    const request = { method, args, version, _msg_id: id, _reply_q: replyQueue, _timeout: null, _unique_id: hexId(), ...context() };
    const reply = await new Promise<Reply>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${method} within ${CALL_TIMEOUT_MS} ms`)), CALL_TIMEOUT_MS);
      waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      channel.publish('neutron', topic, wrap(request), {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        deliveryMode: 2,
        priority: 0,
        expiration: String(CALL_TIMEOUT_MS),
      });
    }).finally(() => waiting.delete(id));
    if (reply.failure !== null) {
      const { class: kind, message } = JSON.parse(reply.failure) as { class: string; message: string };
      throw new Error(`${method}: ${kind}: ${message}`);
    }
    return reply.result;
  };

  const close = async (): Promise<void> => {
    await (await line)?.connection.close();
  };

  line = openLine();
  try {
    const { connection } = await line;
    for (const topic of ['q-plugin', 'q-reports-plugin'])
      await until(`the server to listen to ${topic}`, () => hasConsumer(() => connection.createChannel(), topic), 60_000, 100);
  } catch (error) {
    await close();
    throw error;
  }
  return { call, close };
}

/** The inner message of an envelope: a JSON text inside a JSON text. */
export function unwrap(message: Pick<ConsumeMessage, 'content'>): unknown {
  const envelope = JSON.parse(message.content.toString('utf8')) as { 'oslo.message': string };
  return JSON.parse(envelope['oslo.message']);
}

function wrap(message: object): Buffer {
  return Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) }));
}

function context(): object {
  return {
    _context_is_admin: true,
    _context_roles: [],
    _context_request_id: `req-${randomUUID()}`,
    _context_user_id: null,
    _context_project_id: null,
  };
}

/** A passive check of a queue that is not there closes its channel, so each gets one of its own. */
async function hasConsumer(openChannel: () => Promise<Channel>, queue: string): Promise<boolean> {
  const channel = await openChannel();
  channel.on('error', () => {});
  const { consumerCount } = await channel.checkQueue(queue);
  await channel.close();
  return consumerCount > 0;
}

function hexId(): string {
  return randomUUID().replaceAll('-', '');
}
