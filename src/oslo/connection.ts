/**
 * One AMQP connection, from its opening to its end. There is no recovery in here: a connection that failed is over,
 * `closed` says why, and `keepConnected` opens another one. So nothing outlives the state of the broker it was made for.
 */
import { type Channel, type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib';
import { AgentError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** One broker node with the credentials for it. */
export type BrokerHost = {
  /** A name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly username: string;
  /** Never logged. */
  readonly password: string;
};

export type TlsSettings = {
  /** PEM. Without `ca` the system's authorities count. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Whether the certificate must name the host that was dialled. */
  readonly verifyHostname: boolean;
};

export type BrokerSettings = {
  readonly hosts: readonly BrokerHost[];
  readonly virtualHost: string;
  readonly tls?: TlsSettings;
  readonly heartbeatSeconds: number;
  readonly connectTimeoutMs: number;
  /** What `rabbitmqctl list_connections` shows. */
  readonly connectionName: string;
};

export type BrokerConnection = {
  /** `HOST:PORT`. */
  readonly peer: string;
  /** Resolves with the reason when the connection has ended, in whatever way. */
  readonly closed: Promise<AgentError>;
  isClosed(): boolean;
  /** Why the broker takes no messages from us at present (it is short of memory or disk), if so. */
  blockedReason(): string | undefined;
  /** Tells each change of `blockedReason`, until `signal` aborts. */
  onBlocked(listener: (reason: string | undefined) => void, signal: AbortSignal): void;
  openChannel(): Promise<BrokerChannel<Channel>>;
  openConfirmChannel(): Promise<BrokerChannel<ConfirmChannel>>;
  /** Runs `work` on a channel of its own: a refused declaration closes the channel it was made on. */
  onScratchChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T>;
  /** Ends what ran on the connection, with its private queues, and keeps the connection. */
  closeChannels(): Promise<void>;
  close(): Promise<void>;
};

export type BrokerChannel<T extends Channel> = {
  readonly channel: T;
  /** Resolves with the reason when the channel has ended, with its connection or alone. */
  readonly closed: Promise<AgentError>;
};

/**
 * A queue that nobody shares and that leaves with its connection. It is allowed on every RabbitMQ, and a fanout to it
 * is confirmed fast: Neutron's API requests wait for that.
 */
export const PRIVATE_QUEUE: Options.AssertQueue = {
  exclusive: true,
  durable: false,
  autoDelete: true,
  arguments: { 'x-queue-type': 'classic' },
};

/** The one end of something that can end for several reasons; the first one counts. */
export class Ending {
  readonly reached: Promise<AgentError>;
  /** Ends it. */
  readonly at: (reason: AgentError) => void;

  constructor() {
    let resolveReached: (reason: AgentError) => void = () => {};
    this.reached = new Promise((resolve) => {
      resolveReached = resolve;
    });
    this.at = resolveReached;
  }
}

/** How long a closing handshake may take before the socket is cut. */
const CLOSE_TIMEOUT_MS = 500;

/**
 * Opens a connection to one host.
 *
 * @throws AgentError `broker-credentials-refused` or `broker-vhost-refused` (terminal), `broker-unreachable` (retryable)
 */
export async function openConnection(settings: BrokerSettings, host: BrokerHost, log: Log): Promise<BrokerConnection> {
  const peer = `${host.host.includes(':') ? `[${host.host}]` : host.host}:${host.port}`;
  const model = await dial(settings, host, peer);
  let over = false;
  const closed = endOf(model, (error) => {
    over = true;
    return new AgentError('broker-connection-lost', 'retryable', `the connection to ${peer} ended`, { cause: error });
  });
  let blockedReason: string | undefined;
  const blockedListeners = new Set<(reason: string | undefined) => void>();
  const setBlocked = (reason: string | undefined): void => {
    blockedReason = reason;
    for (const listener of blockedListeners) listener(reason);
  };
  model.on('blocked', (reason) => {
    log.warn({ peer, reason }, 'RabbitMQ takes no messages');
    setBlocked(reason);
  });
  model.on('unblocked', () => {
    log.info({ peer }, 'RabbitMQ takes messages again');
    setBlocked(undefined);
  });
  const channels = new Set<Channel>();
  const opened = <T extends Channel>(channel: T): BrokerChannel<T> => {
    channels.add(channel);
    channel.on('close', () => channels.delete(channel));
    return {
      channel,
      closed: endOf(channel, (error) => new AgentError('broker-channel-closed', 'retryable', 'a channel was closed', { cause: error })),
    };
  };
  const connection: BrokerConnection = {
    peer,
    closed,
    isClosed: () => over,
    blockedReason: () => blockedReason,
    onBlocked(listener, signal) {
      if (signal.aborted) return;
      blockedListeners.add(listener);
      signal.addEventListener('abort', () => blockedListeners.delete(listener), { once: true });
    },
    openChannel: async () => opened(await model.createChannel()),
    openConfirmChannel: async () => opened(await model.createConfirmChannel()),
    async onScratchChannel(work) {
      const { channel } = await connection.openChannel();
      let failed = true;
      try {
        const result = await work(channel);
        failed = false;
        return result;
      } catch (error) {
        throw refusal(error);
      } finally {
        // The broker has closed a channel on which something was refused.
        if (!failed) await closeQuietly(channel);
      }
    },
    async closeChannels() {
      await Promise.race([Promise.all([...channels].map(closeQuietly)), timeout(CLOSE_TIMEOUT_MS)]);
    },
    async close() {
      if (over) return;
      await Promise.race([closeQuietly(model), timeout(CLOSE_TIMEOUT_MS)]);
      if (!over) socketOf(model).destroy();
    },
  };
  return connection;
}

async function dial(settings: BrokerSettings, host: BrokerHost, peer: string): Promise<ChannelModel> {
  const { tls } = settings;
  try {
    return await connect(
      {
        protocol: tls === undefined ? 'amqp' : 'amqps',
        hostname: host.host,
        port: host.port,
        username: host.username,
        password: host.password,
        // amqplib percent-decodes it.
        vhost: encodeURIComponent(settings.virtualHost),
        heartbeat: settings.heartbeatSeconds,
      },
      {
        noDelay: true,
        timeout: settings.connectTimeoutMs,
        clientProperties: { connection_name: settings.connectionName },
        ...(tls === undefined ? {} : tlsOptions(tls)),
      },
    );
  } catch (error) {
    const message = messageOf(error);
    if (message.includes('ACCESS-REFUSED'))
      throw new AgentError(
        'broker-credentials-refused',
        'terminal',
        `RabbitMQ at ${peer} refused user "${host.username}": check user and password in transport_url`,
        { cause: error },
      );
    // amqplib does not pass on what the broker says when it refuses connection.open, but nothing else is asked there.
    if (message.includes('ConnectionOpenOk'))
      throw new AgentError(
        'broker-vhost-refused',
        'terminal',
        `RabbitMQ at ${peer} has no vhost "${settings.virtualHost}", or user "${host.username}" may not use it: check transport_url`,
        { cause: error },
      );
    const wrongCertificate = tls === undefined ? undefined : certificateProblem(error, tls);
    if (wrongCertificate !== undefined)
      throw new AgentError('broker-certificate-refused', 'terminal', `the certificate of RabbitMQ at ${peer} ${wrongCertificate}`, {
        cause: error,
      });
    throw new AgentError('broker-unreachable', 'retryable', `no connection to RabbitMQ at ${peer}${tls === undefined ? '' : ' over TLS'}`, {
      cause: error,
    });
  }
}

function tlsOptions(tls: TlsSettings): object {
  const { ca, cert, key, verifyHostname } = tls;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(verifyHostname ? {} : { checkServerIdentity: () => undefined }),
  };
}

/** By Node's names for what OpenSSL finds. */
function certificateProblem(error: unknown, { ca }: TlsSettings): string | undefined {
  switch ((error as { code?: unknown } | undefined)?.code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'does not name the host that was dialled: dial a name that it holds, or switch off tls.verifyHostname';
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `is not signed by ${ca === undefined ? 'an authority of this system: name its own in tls.caFile' : 'the authority in tls.caFile'}`;
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return 'is not valid now';
    default:
      return undefined;
  }
}

type AmqpEmitter = { on(event: 'error' | 'close', listener: (error?: Error) => void): unknown };

/** An `error` comes before its `close`, and not every end has one of each. */
function endOf(emitter: AmqpEmitter, describe: (error: Error | undefined) => AgentError): Promise<AgentError> {
  const end = new Ending();
  emitter.on('error', (error) => end.at(describe(error)));
  emitter.on('close', (error) => end.at(describe(error)));
  return end.reached;
}

/** What the broker answers to a passive check or a declaration (AMQP 0-9-1 reply codes), as one of our errors. */
function refusal(error: unknown): unknown {
  switch ((error as { code?: unknown } | undefined)?.code) {
    case 404:
      return new AgentError('broker-not-found', 'retryable', 'the broker does not know it', { cause: error });
    case 403:
      return new AgentError('broker-access-refused', 'terminal', 'the permissions of the RabbitMQ user do not allow it', { cause: error });
    case 406:
      return new AgentError('broker-precondition-failed', 'terminal', 'it exists with other properties', { cause: error });
    default:
      return error;
  }
}

/** Closing what has just ended by itself fails, and that is what was wanted. */
async function closeQuietly(closable: { close(): Promise<void> }): Promise<void> {
  await closable.close().catch(() => undefined);
}

/** amqplib has no other way to give up a socket on which a closing handshake is never answered. */
function socketOf(model: ChannelModel): { destroy(): void } {
  return (model.connection as unknown as { stream: { destroy(): void } }).stream;
}

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
