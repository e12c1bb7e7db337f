/**
 * Calls over the bus (oslo_messaging/_drivers/amqpdriver.py): a request to a topic of the control exchange, an answer
 * on a private reply queue, matched by `_msg_id`. Every call is at-least-once: one that timed out may still have acted.
 */
import type { ConsumeMessage, Message } from 'amqplib';
import { type Clock, sleep } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import { type BrokerConnection, Ending, PRIVATE_QUEUE } from './connection.ts';
import { adminContext, decodeEnvelope, encodeEnvelope, hexId, inflateBody, MESSAGE_PROPERTIES } from './envelope.ts';
import type { JsonObject } from './json.ts';
import { remoteError } from './remote-error.ts';

export type RpcRequest = {
  readonly exchange: string;
  readonly topic: string;
  readonly method: string;
  /** The lowest version that has the method: a server below it refuses, one above it serves. */
  readonly version: string;
  readonly args: JsonObject;
  readonly timeoutMs: number;
};

export type RpcClient = {
  /**
   * @throws AgentError `rpc-timeout`, `rpc-unroutable` (no queue of that topic), `rpc-lost` (retryable), `rpc-aborted`,
   *   or a RemoteError
   */
  call(request: RpcRequest, signal: AbortSignal): Promise<unknown>;
  /** Resolves with the reason when no further answer can arrive. */
  readonly lost: Promise<AgentError>;
};

const MAX_REPLY_BYTES = 64 * 1024 * 1024;

type PendingCall = { readonly method: string; readonly resolve: (result: unknown) => void; readonly reject: (error: Error) => void };

/**
 * Declares and consumes a reply queue on `connection`. The queue is exclusive and named anew for each connection: the
 * server remembers the name of a vanished reply queue as dead for a minute.
 *
 * @param options `queuePrefix` begins the queue's name
 */
export async function openRpcClient(connection: BrokerConnection, options: { queuePrefix: string; clock: Clock }): Promise<RpcClient> {
  const pending = new Map<string, PendingCall>();
  const replyQueue = `${options.queuePrefix}.${hexId()}`;
  const consumer = await connection.openChannel();
  const publisher = await connection.openConfirmChannel();
  const end = new Ending();
  void consumer.closed.then((error) => end.at(error));
  void publisher.closed.then((error) => end.at(error));
  void end.reached.then((cause) => [...pending.values()].forEach((call) => call.reject(unanswered(call.method, cause))));

  await consumer.channel.assertQueue(replyQueue, PRIVATE_QUEUE);
  await consumer.channel.consume(
    replyQueue,
    (message) => {
      if (message === null) end.at(new AgentError('broker-queue-gone', 'retryable', 'the reply queue is gone'));
      else settle(message);
    },
    { noAck: true },
  );
  publisher.channel.on('return', (message: Message) => {
    const envelope = decodeEnvelope(message.content);
    const call = envelope.ok ? pending.get(envelope.value.msgId ?? '') : undefined;
    call?.reject(
      new AgentError('rpc-unroutable', 'retryable', `${call.method} reached nobody: there is no queue "${message.fields.routingKey}"`),
    );
  });

  /** Replies that are late, doubled or unreadable find no call and are dropped; then the call times out. */
  function settle(message: ConsumeMessage): void {
    const body = inflateBody(message.content, message.properties.headers?.['compression'], MAX_REPLY_BYTES);
    const envelope = body.ok ? decodeEnvelope(body.value) : body;
    if (!envelope.ok || envelope.value.ending === false) return;
    const { msgId, failure, result } = envelope.value;
    const call = pending.get(msgId ?? '');
    if (call === undefined) return;
    if (failure === undefined || failure === null) call.resolve(result);
    else call.reject(remoteError(failure, call.method));
  }

  return {
    lost: end.reached,
    async call({ exchange, topic, method, version, args, timeoutMs }, signal) {
      const msgId = hexId();
      const message = {
        method,
        args,
        version,
        _msg_id: msgId,
        _reply_q: replyQueue,
        _timeout: null,
        _unique_id: hexId(),
        ...adminContext(),
      };
      // Left in the queue by servers that are down, an expired request is thrown away instead of piling up.
      const properties = { ...MESSAGE_PROPERTIES, expiration: String(timeoutMs), mandatory: true };
      const settled = new AbortController();
      let abort = (): void => {};
      try {
        return await new Promise<unknown>((resolve, reject) => {
          abort = () => reject(new AgentError('rpc-aborted', 'retryable', `${method} was given up`));
          signal.addEventListener('abort', abort);
          if (signal.aborted) abort();
          pending.set(msgId, { method, resolve, reject });
          const send = (): void => {
            // amqplib throws at once on a channel that is closed.
            try {
              publisher.channel.publish(exchange, topic, encodeEnvelope(message), properties, (error: unknown) => {
                if (error !== null && error !== undefined) reject(unanswered(method, error));
              });
            } catch (error) {
              reject(unanswered(method, error));
            }
          };
          const blocked = connection.blockedReason();
          if (blocked === undefined) send();
          else connection.onBlocked((reason) => reason === undefined && send(), settled.signal);
          void sleep(options.clock, timeoutMs, settled.signal).then(() => reject(timedOut(method, timeoutMs, blocked)));
        });
      } finally {
        signal.removeEventListener('abort', abort);
        pending.delete(msgId);
        settled.abort();
      }
    },
  };
}

function timedOut(method: string, timeoutMs: number, blocked: string | undefined): AgentError {
  const seconds = timeoutMs / 1000;
  return blocked === undefined
    ? new AgentError('rpc-timeout', 'retryable', `${method} was not answered within ${seconds} s`)
    : new AgentError(
        'broker-blocked',
        'retryable',
        `${method} was held back and not answered within ${seconds} s: RabbitMQ takes no messages (${blocked})`,
      );
}

function unanswered(method: string, cause: unknown): AgentError {
  return new AgentError('rpc-lost', 'retryable', `${method} will not be answered`, { cause });
}
