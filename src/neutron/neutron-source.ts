/**
 * Neutron as a source of bindings: an agent of a kind of its own, on the bus that every Neutron agent uses. It reads and
 * reports itself; it changes nothing in Neutron and declares nothing that others share but the fanout exchange of its pushes.
 */
import type { BindingSink, BindingSource, Telemetry } from '../core/ports.ts';
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { AgentError, codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type BrokerConnection, type BrokerSettings, Ending } from '../oslo/connection.ts';
import { exchangeExists, subscribeFanout } from '../oslo/fanout.ts';
import { keepConnected, type ReconnectSettings } from '../oslo/keep-connected.ts';
import { openRpcClient } from '../oslo/rpc-client.ts';
import { Alarms } from './alarms.ts';
import { Deletions } from './deletions.ts';
import { type LookedUp, readLookUp } from './look-up.ts';
import { PushIntake } from './push-intake.ts';
import { Registration } from './registration.ts';
import { PORT_VERSION, type ServerApi, serverApi } from './server-api.ts';
import { takeSnapshot } from './snapshot.ts';

export type NeutronSettings = {
  readonly broker: BrokerSettings;
  readonly reconnect: ReconnectSettings;
  /** This hypervisor, byte for byte as Neutron and nova name it. */
  readonly host: string;
  /** The servers' `[DEFAULT] control_exchange`. */
  readonly controlExchange: string;
  /** Neutron lists a host's ports by vnic type, one call each. */
  readonly vnicTypes: readonly string[];
  readonly reportIntervalMs: number;
  /** Between snapshots, spread by a fifth either way. */
  readonly resyncIntervalMs: number;
  /**
   * When the second snapshot follows a registration: API workers learn of a new agent's object version up to 60 s later
   * (VERSIONS_TTL), and push nothing to it until then.
   */
  readonly secondSnapshotMs: number;
  readonly callTimeoutMs: number;
  /** How long a look-up may take before a port that was told as deleted counts as gone, unconfirmed. */
  readonly deletionAnswerMs: number;
};

/** Everything but who and where. */
export const NEUTRON_DEFAULTS: Omit<NeutronSettings, 'broker' | 'host' | 'vnicTypes'> = {
  reconnect: { firstDelayMs: 500, longestDelayMs: 15_000 },
  controlExchange: 'neutron',
  reportIntervalMs: 30_000,
  resyncIntervalMs: 300_000,
  secondSnapshotMs: 65_000,
  callTimeoutMs: 60_000,
  deletionAnswerMs: 1_000,
};

/** oslo.messaging's is 60 s; ours notices a dead broker sooner. */
export const BROKER_DEFAULTS: Pick<BrokerSettings, 'heartbeatSeconds' | 'connectTimeoutMs'> = {
  heartbeatSeconds: 15,
  connectTimeoutMs: 10_000,
};

export type NeutronOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** What the agent's row in Neutron shows. */
  readonly configurations: () => Readonly<Record<string, unknown>>;
};

/** Fanout topics on which the servers themselves listen (neutron_lib/agent/topics.py). */
const SERVER_TOPICS = ['q-plugin', 'q-server-resource-versions'];

/** Neutron calls an agent dead after 75 s without a report (`agent_down_time`), two and a half of its default intervals. */
const INTERVALS_UNTIL_DOWN = 2.5;

/** Whether a server answers at all. */
const ALIVE_TIMEOUT_MS = 10_000;

export class NeutronSource implements BindingSource {
  readonly name = 'neutron';
  readonly #settings: NeutronSettings;
  readonly #options: NeutronOptions;
  readonly #snapshots: Alarms<'asked' | 'periodic' | 'registered' | 'retry'>;
  #api: ServerApi | undefined;
  /** Until the first snapshot of this process. */
  #starting = true;

  constructor(settings: NeutronSettings, options: NeutronOptions) {
    this.#settings = settings;
    this.#options = options;
    this.#snapshots = new Alarms(options.clock);
  }

  resync(): void {
    this.#snapshots.in('asked', 0);
  }

  async run(sink: BindingSink, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const deletions = new Deletions({
      sink,
      clock,
      log,
      answerWithinMs: this.#settings.deletionAnswerMs,
      lookUp: (ids) => this.#lookUp(ids),
    });
    const connected = keepConnected(
      {
        broker: this.#settings.broker,
        reconnect: this.#settings.reconnect,
        clock,
        log,
        session: (connection, healthy, sessionSignal) => this.#session(connection, { sink, deletions, healthy }, sessionSignal),
        failed: (error) => sink.lost(messageOf(error)),
      },
      signal,
    );
    await Promise.all([connected, deletions.run(signal)]);
  }

  /** One session: from a connection to the loss of anything that it needs. */
  async #session(connection: BrokerConnection, shared: SessionParts, signal: AbortSignal): Promise<void> {
    const scope = new AbortController();
    const abort = (): void => scope.abort();
    signal.addEventListener('abort', abort);
    const end = new Ending();
    void connection.closed.then(end.at);
    const work = this.#work(connection, shared, end, scope.signal);
    try {
      await Promise.race([
        work,
        end.reached.then((reason) => {
          throw reason;
        }),
      ]);
    } finally {
      signal.removeEventListener('abort', abort);
      scope.abort();
      this.#api = undefined;
      await Promise.allSettled([work]);
    }
  }

  /** The handshake, in an order that leaves no gap: listen first, then register, then look. */
  async #work(connection: BrokerConnection, { sink, deletions, healthy }: SessionParts, end: Ending, signal: AbortSignal): Promise<void> {
    const { host, controlExchange, reportIntervalMs } = this.#settings;
    const { clock, log, telemetry, configurations } = this.#options;
    if (!(await exchangeExists(connection, controlExchange)))
      throw new AgentError(
        'control-exchange-missing',
        'retryable',
        `RabbitMQ has no exchange "${controlExchange}": no Neutron server has been started, or it uses another control_exchange`,
      );
    // A queue's name holds 255 bytes.
    const queueHost = host.slice(0, 150);
    const client = await openRpcClient(connection, { queuePrefix: `reply_bgp.${queueHost}`, clock });
    void client.lost.then(end.at);
    const api = serverApi(client, { controlExchange, telemetry, signal });
    await this.#serverAnswers(api, sink, signal);

    const intake = new PushIntake({ source: this.name, host, sink, deletions, telemetry });
    const subscription = await subscribeFanout(connection, {
      topic: `neutron-vo-Port-${PORT_VERSION}`,
      queuePrefix: `bgp-agent.${queueHost}.vo-port`,
      serverTopics: SERVER_TOPICS,
      wants: (body) => intake.wants(body),
      onCast: (cast) => intake.receive(cast),
      onDropped: (why, detail) => intake.dropped(why, detail),
    });
    void subscription.lost.then(end.at);

    const registration = new Registration({ host, reportIntervalMs, clock, log, configurations, isStarting: () => this.#starting });
    if ((await registration.report(api)) === 'registered') this.#snapshots.in('registered', this.#settings.secondSnapshotMs);
    this.#api = api;
    this.resync();
    deletions.askNow();
    await Promise.all([
      this.#reportLoop(api, registration, sink, signal),
      this.#snapshotLoop(api, intake, { sink, deletions, healthy }, signal),
    ]);
  }

  /** Waits until a server answers: one that only left its queues behind must not be waited for in every later call. */
  async #serverAnswers(api: ServerApi, sink: BindingSink, signal: AbortSignal): Promise<void> {
    let backoff = exponentialBackoff({ firstMs: 1_000, capMs: this.#settings.reportIntervalMs });
    while (!signal.aborted) {
      try {
        if (await api.hasAliveServer(ALIVE_TIMEOUT_MS)) return;
        sink.lost('the Neutron server says that it is not alive');
      } catch (error) {
        if (codeOf(error) === 'rpc-lost') throw error;
        sink.lost(`no Neutron server answers: ${messageOf(error)}`);
      }
      await sleep(this.#options.clock, backoff.delayMs, signal);
      backoff = backoff.next();
    }
  }

  async #reportLoop(api: ServerApi, registration: Registration, sink: BindingSink, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let answeredMs = clock.monotonicMs();
    let failing = false;
    for (;;) {
      await sleep(clock, this.#settings.reportIntervalMs, signal);
      if (signal.aborted) return;
      const outcome = await registration.report(api);
      if (signal.aborted) return;
      if (outcome === 'failed') {
        if (clock.monotonicMs() - answeredMs > INTERVALS_UNTIL_DOWN * this.#settings.reportIntervalMs)
          sink.lost('Neutron does not answer our reports');
        failing = true;
        continue;
      }
      if (outcome === 'registered') this.#snapshots.in('registered', this.#settings.secondSnapshotMs);
      if (outcome === 'registered' || failing) this.resync();
      answeredMs = clock.monotonicMs();
      failing = false;
    }
  }

  async #snapshotLoop(api: ServerApi, intake: PushIntake, { sink, healthy }: SessionParts, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const freshBackoff = (): Backoff => exponentialBackoff({ firstMs: 1_000, capMs: 30_000 });
    let backoff = freshBackoff();
    for (await this.#snapshots.next(signal); !signal.aborted; await this.#snapshots.next(signal)) {
      try {
        await this.#snapshot(api, intake, sink);
        healthy();
        backoff = freshBackoff();
        this.#starting = false;
        this.#snapshots.in('periodic', this.#settings.resyncIntervalMs * (0.8 + 0.4 * Math.random()));
      } catch (error) {
        if (signal.aborted) return;
        intake.snapshotFails();
        log.warn({ code: codeOf(error), error: messageOf(error) }, 'snapshot failed');
        if (!intake.inSync) sink.lost(messageOf(error));
        this.#snapshots.in('retry', backoff.delayMs);
        backoff = backoff.next();
      }
    }
  }

  async #snapshot(api: ServerApi, intake: PushIntake, sink: BindingSink): Promise<void> {
    const { host, vnicTypes, callTimeoutMs } = this.#settings;
    intake.snapshotBegins();
    const { ports, unknown } = await takeSnapshot({
      listIds: async () => {
        const ids: string[] = [];
        for (const vnicType of vnicTypes) ids.push(...(await api.listPortIds(host, vnicType, callTimeoutMs)));
        return ids;
      },
      lookUp: (ids) => this.#lookUp(ids),
      heldIds: () => sink.interest.portIds(),
      takeDeleted: () => intake.takeDeleted(),
    });
    if (unknown.length > 0) {
      // What was readable is told, but the rest is not absent: it is unknown.
      for (const port of ports) sink.upsert(port);
      throw new AgentError(
        'snapshot-incomplete',
        'retryable',
        `Neutron's answer about ${unknown.length} of our ports cannot be read, the first is ${unknown[0]}`,
      );
    }
    if (!intake.snapshotEnds(ports)) this.resync();
  }

  async #lookUp(ids: readonly string[]): Promise<LookedUp> {
    if (this.#api === undefined) throw new AgentError('neutron-away', 'retryable', 'there is no Neutron server to ask');
    const answer = readLookUp(ids, await this.#api.pullPorts(ids, this.#settings.callTimeoutMs));
    for (const reason of answer.reasons)
      this.#options.telemetry.count({ kind: 'bus-message', source: this.name, outcome: 'malformed', detail: reason });
    return answer;
  }
}

type SessionParts = { readonly sink: BindingSink; readonly deletions: Deletions; readonly healthy: () => void };
