/** Keeps a session on the broker for ever: connect, run the session, and when either ends, wait a little and begin anew. */
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type BrokerConnection, type BrokerSettings, openConnection } from './connection.ts';

export type ReconnectSettings = {
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** What worked and was lost is begun anew after up to so long, at random: all agents of a cloud lose their broker at once. */
  readonly spreadMs: number;
};

export type KeepConnectedOptions = {
  readonly broker: BrokerSettings;
  readonly reconnect: ReconnectSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: () => number;
  /**
   * Works on the connection until something it needs is gone, then throws. When the connection itself survived
   * (a queue was deleted, a channel closed), the next session runs on the same one.
   * `healthy` says that the session works, so that the next failure is answered as a first one.
   */
  readonly session: (connection: BrokerConnection, healthy: () => void, signal: AbortSignal) => Promise<void>;
  /** Told of every failure, of a connection or of a session. */
  readonly failed: (error: unknown) => void;
};

/** Runs until `signal` aborts, whatever fails. Several hosts are shuffled once and then taken in turn, as oslo does. */
export async function keepConnected(options: KeepConnectedOptions, signal: AbortSignal): Promise<void> {
  const { broker, clock, log, random = Math.random } = options;
  const hosts = shuffled(broker.hosts, random);
  const freshBackoff = (): Backoff =>
    exponentialBackoff({ firstMs: options.reconnect.firstDelayMs, capMs: options.reconnect.longestDelayMs, jitter: 0.5, random });
  let backoff = freshBackoff();
  let connection: BrokerConnection | undefined;
  let worked = false;
  for (let turn = 0; !signal.aborted; turn += 1) {
    try {
      if (connection === undefined) {
        const host = hosts[turn % hosts.length];
        if (host === undefined) throw new Error('no broker host is configured');
        connection = await unlessAborted(openConnection(broker, host, log), signal);
        if (connection === undefined) break;
        log.info({ peer: connection.peer }, 'connected to RabbitMQ');
      }
      const isHealthy = (): void => {
        backoff = freshBackoff();
        worked = true;
      };
      await options.session(connection, isHealthy, signal);
    } catch (error) {
      if (signal.aborted) break;
      const delayMs = backoff.delayMs + (worked || connection?.isClosed() === true ? random() * options.reconnect.spreadMs : 0);
      log.warn({ code: codeOf(error), error: messageOf(error), retryInMs: Math.round(delayMs) }, 'bus session failed');
      options.failed(error);
      await connection?.closeChannels();
      if (connection?.isClosed() === true) connection = undefined;
      worked = false;
      await sleep(clock, delayMs, signal);
      backoff = backoff.next();
    }
  }
  await connection?.close();
}

/** Gives up waiting when `signal` aborts; a connection that comes later is closed. */
async function unlessAborted(opening: Promise<BrokerConnection>, signal: AbortSignal): Promise<BrokerConnection | undefined> {
  let giveUp = (): void => {};
  const aborted = new Promise<undefined>((resolve) => {
    giveUp = () => resolve(undefined);
    signal.addEventListener('abort', giveUp);
    if (signal.aborted) giveUp();
  });
  try {
    const connection = await Promise.race([opening, aborted]);
    if (connection === undefined) void opening.then((late) => late.close()).catch(() => undefined);
    return connection;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function shuffled<T>(values: readonly T[], random: () => number): readonly T[] {
  return values
    .map((value) => ({ value, order: random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ value }) => value);
}
