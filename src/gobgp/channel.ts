/**
 * One gRPC channel to one gobgpd: unary calls with deadlines, streams in both directions, errors classified, abort signals
 * obeyed. It knows nothing of BGP.
 *
 * No gRPC keepalive: gobgpd keeps grpc-go's default enforcement and answers pings more often than every 5 minutes with
 * GOAWAY. A hung daemon is found by deadlines and by the heartbeat of `watch.ts`.
 */
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientOptions,
  connectivityState,
  credentials,
  Metadata,
} from '@grpc/grpc-js';
import { AgentError } from '../lib/errors.ts';
import { fromGrpc } from './errors.ts';
import type { Method } from './wire.ts';

/** PEM texts. A client certificate needs gobgpd 3.13 or newer. */
export type TlsOptions = { readonly ca?: string; readonly certificate?: string; readonly key?: string };

export type ChannelOptions = {
  /** `HOST:PORT` or `unix:///PATH`. */
  readonly address: string;
  readonly tls?: TlsOptions;
  /** For calls that answer at once; default 5,000. */
  readonly deadlineMs?: number;
  /** For calls that carry or list a table; default 60,000. */
  readonly bulkDeadlineMs?: number;
};

type CallSettings = {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number | undefined;
  readonly waitForReady?: boolean;
};

type Cancellable = { cancel(): void };

const MEBIBYTE = 2 ** 20;

/** gRPC's settings for a daemon on the same host: it is back within a second, its tables fit one message. */
const GRPC_OPTIONS: ClientOptions = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 64 * MEBIBYTE,
  'grpc.use_local_subchannel_pool': 1,
  // 'unix:' addresses and host names would otherwise be looked up for service configurations in DNS
  'grpc.service_config_disable_resolution': 1,
  // a proxy of the environment must never stand between us and the local daemon
  'grpc.enable_http_proxy': 0,
};

export class Channel {
  readonly address: string;
  readonly #client: Client;
  readonly #deadlineMs: number;
  readonly #bulkDeadlineMs: number;
  /** Streams without end. */
  readonly #endless = new Set<{ pause(): unknown; resume(): unknown }>();
  #closed = false;

  constructor(options: ChannelOptions) {
    this.address = options.address;
    this.#deadlineMs = options.deadlineMs ?? 5_000;
    this.#bulkDeadlineMs = options.bulkDeadlineMs ?? 60_000;
    this.#client = new Client(grpcTarget(options.address), grpcCredentials(options.tls), GRPC_OPTIONS);
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  /** Calls back once, when the connection that exists now is gone. */
  onDisconnect(callback: () => void): void {
    if (this.#closed) return;
    this.#client.getChannel().watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, callback);
  }

  unary<Request, Reply>(method: Method<Request, Reply>, request: Request, settings: CallSettings = {}): Promise<Reply> {
    return this.#call(
      method,
      settings,
      (options, metadata, done) =>
        this.#client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadata, options, done),
      { deadlineMs: this.#deadlineMs },
    );
  }

  /** Writes every request, never more than the other side takes, and gives the one reply. */
  clientStream<Request, Reply>(method: Method<Request, Reply>, requests: Iterable<Request>, settings: CallSettings = {}): Promise<Reply> {
    return this.#call(
      method,
      settings,
      (options, metadata, done) => {
        let over = false;
        const call = this.#client.makeClientStreamRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          metadata,
          options,
          (error, reply) => {
            over = true;
            done(error, reply);
          },
        );
        const iterator = requests[Symbol.iterator]();
        const pump = (): void => {
          if (over) return;
          for (let next = iterator.next(); next.done !== true; next = iterator.next())
            if (!call.write(next.value)) return void call.once('drain', pump);
          call.end();
        };
        pump();
        return call;
      },
      { deadlineMs: this.#bulkDeadlineMs },
    );
  }

  /** Hands over each message as it comes; resolves when the server has sent all. `deadlineMs: Infinity` for a stream without end. */
  serverStream<Request, Reply>(
    method: Method<Request, Reply>,
    request: Request,
    onMessage: (message: Reply) => void,
    settings: CallSettings = {},
  ): Promise<void> {
    return this.#call<void>(
      method,
      settings,
      (options, metadata, done) => {
        const call = this.#client.makeServerStreamRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadata,
          options,
        );
        call.on('data', (message: Reply) => {
          try {
            onMessage(message);
          } catch (error) {
            call.cancel();
            done(error instanceof Error ? error : new Error(String(error)));
          }
        });
        call.on('error', (error) => done(error));
        call.on('end', () => done(null));
        if (settings.deadlineMs === Number.POSITIVE_INFINITY) {
          this.#endless.add(call);
          call.on('status', () => this.#endless.delete(call));
        }
        return call;
      },
      { deadlineMs: this.#bulkDeadlineMs },
    );
  }

  /** Leaves what streams without end tell unread, until the returned function is called. */
  hold(): () => void {
    for (const stream of this.#endless) stream.pause();
    return () => {
      for (const stream of this.#endless) stream.resume();
    };
  }

  /** Starts a call with its deadline and its signal, and settles with the first of its answer, its error and the abort. */
  #call<Reply>(
    method: { readonly path: string },
    settings: CallSettings,
    start: (options: CallOptions, metadata: Metadata, done: (error: Error | null, reply?: Reply) => void) => Cancellable,
    defaults: { readonly deadlineMs: number },
  ): Promise<Reply> {
    const { signal, deadlineMs = defaults.deadlineMs, waitForReady = false } = settings;
    const name = method.path.slice(method.path.lastIndexOf('/') + 1);
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(new AgentError('gobgp-aborted', 'retryable', `${name} was given up`));
      if (this.#closed) return reject(new AgentError('gobgp-closed', 'bug', `${name} on a closed connection`));
      const abort = (): void => call.cancel();
      const done = (error: Error | null, reply?: Reply): void => {
        signal?.removeEventListener('abort', abort);
        if (error === null) resolve(reply as Reply);
        else
          reject(
            'code' in error && 'details' in error ? fromGrpc(error as Parameters<typeof fromGrpc>[0], name, this.address, signal) : error,
          );
      };
      const options: CallOptions = Number.isFinite(deadlineMs) ? { deadline: Date.now() + deadlineMs } : {};
      // as an option of the call grpc-js ignores waitForReady
      const call = start(options, new Metadata({ waitForReady }), done);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** grpc-js takes `unix:///path` as it is; a bare `host:port` goes through its DNS resolver, which knows addresses too. */
export function grpcTarget(address: string): string {
  return address.startsWith('unix:') ? address : `dns:${address}`;
}

function grpcCredentials(tls: TlsOptions | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
  if ((tls.certificate === undefined) !== (tls.key === undefined))
    throw new AgentError('invalid-tls', 'terminal', 'a client certificate needs its key, and a key its certificate');
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.certificate));
}
