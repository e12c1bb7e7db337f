/**
 * Neutron as a source of bindings: an agent of a kind of its own, on the bus that every Neutron agent uses. It reads and
 * reports itself; it changes nothing in Neutron and declares nothing that others share but the fanout exchange of its pushes.
 */
import type { BindingSink, BindingSource, Telemetry } from '../core/ports.ts';
import type { PortBinding } from '../domain/port-binding.ts';
import { type Backoff, exponentialBackoff } from '../lib/backoff.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { AgentError, codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type BrokerConnection, type BrokerSettings, Ending } from '../oslo/connection.ts';
import { exchangeExists, type FanoutSettings, subscribeFanout } from '../oslo/fanout.ts';
import { keepConnected, type ReconnectSettings } from '../oslo/keep-connected.ts';
import { openRpcClient } from '../oslo/rpc-client.ts';
import { Alarms } from './alarms.ts';
import { Deletions } from './deletions.ts';
import { AgentRows } from './agent-rows.ts';
import { type LookedUp, readLookUp } from './look-up.ts';
import { LostMessages } from './lost-messages.ts';
import { Networks } from './networks.ts';
import { PushIntake } from './push-intake.ts';
import { isLasting, refusalOf } from './refusal.ts';
import { Registration, type ReportOutcome } from './registration.ts';
import { type ServerApi, serverApi } from './server-api.ts';
import { takeSnapshot } from './snapshot.ts';

export type NeutronSettings = {
  readonly broker: BrokerSettings;
  readonly reconnect: ReconnectSettings;
  readonly fanout: FanoutSettings;
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
  /** The first timeout of a call; it doubles with each that timed out. */
  readonly callTimeoutMs: number;
  /** How long a look-up may take before a port that was told as deleted counts as gone, unconfirmed. */
  readonly deletionAnswerMs: number;
  /** `pinned`: Port 1.7. `ovs-agent`: what this host's OVS agent reports, when the server serves it. */
  readonly portVersion: 'pinned' | 'ovs-agent';
};

/** Everything but who and where. */
export const NEUTRON_DEFAULTS: Omit<NeutronSettings, 'broker' | 'host' | 'vnicTypes'> = {
  reconnect: { firstDelayMs: 500, longestDelayMs: 15_000, spreadMs: 30_000 },
  fanout: {},
  controlExchange: 'neutron',
  reportIntervalMs: 30_000,
  resyncIntervalMs: 300_000,
  secondSnapshotMs: 65_000,
  callTimeoutMs: 60_000,
  deletionAnswerMs: 1_000,
  portVersion: 'pinned',
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
  /** What the agent's row in Neutron shows; its `instance_id` tells two agents of one host name apart. */
  readonly configurations: () => Readonly<Record<string, unknown>>;
  /** Whether Neutron has to be asked if the port's network is external, before the port is told. Read anew for each port. */
  readonly hangsOnNetwork: (port: PortBinding) => boolean;
};

/** Fanout topics on which the servers themselves listen (neutron_lib/agent/topics.py). */
const SERVER_TOPICS = ['q-plugin', 'q-server-resource-versions'];

/** Neutron calls an agent dead after 75 s without a report (`agent_down_time`), two and a half of its default intervals. */
const INTERVALS_UNTIL_DOWN = 2.5;

/** Whether a server answers at all. */
const ALIVE_TIMEOUT_MS = 10_000;

/** After a push that could not be taken for what it says. */
const NEEDED_SNAPSHOT_MS = 10_000;

/** How long a report waits for a look at the rows before it. */
const LOOK_MS = 5_000;

const SLOW_CLOCK =
  'Neutron ignores our reports because their time is before the start of its server: the clock of this host is slow, and the agent looks dead';

export class NeutronSource implements BindingSource {
  readonly name = 'neutron';
  readonly #settings: NeutronSettings;
  readonly #options: NeutronOptions;
  readonly #snapshots: Alarms<'asked' | 'periodic' | 'registered' | 'retry'>;
  readonly #networks: Networks;
  #api: ServerApi | undefined;
  #looking: Promise<void> | undefined;
  /** Until the first snapshot of this process. */
  #starting = true;

  constructor(settings: NeutronSettings, options: NeutronOptions) {
    this.#settings = settings;
    this.#options = options;
    this.#snapshots = new Alarms(options.clock);
    this.#networks = new Networks({
      clock: options.clock,
      log: options.log,
      matters: options.hangsOnNetwork,
      ask: (id) => this.#server().isNetworkExternal(id, settings.host),
    });
  }

  resync(): void {
    this.#snapshots.in('asked', 0);
  }

  async run(sink: BindingSink, signal: AbortSignal): Promise<void> {
    const { clock, log, telemetry, configurations } = this.#options;
    const { host } = this.#settings;
    const lostMessages = new LostMessages({ source: this.name, host, interest: sink.interest, telemetry, clock });
    const instanceId = configurations()['instance_id'];
    const rows = new AgentRows({ source: this.name, host, instanceId, portVersion: this.#settings.portVersion, sink, telemetry, log });
    const deletions = new Deletions({
      sink,
      clock,
      log,
      answerWithinMs: this.#settings.deletionAnswerMs,
      lookUp: (ids) => this.#lookUp(ids, rows.portVersion),
    });
    const connected = keepConnected(
      {
        broker: this.#settings.broker,
        reconnect: this.#settings.reconnect,
        clock,
        log,
        session: (connection, healthy, sessionSignal) =>
          this.#session(connection, { sink, deletions, lostMessages, rows, healthy }, sessionSignal),
        failed: (error) => sink.lost(messageOf(error)),
      },
      signal,
    );
    await Promise.all([connected, deletions.run(signal), lostMessages.run(signal)]);
  }

  /** One session: from a connection to the loss of anything that it needs. */
  async #session(connection: BrokerConnection, shared: SessionParts, signal: AbortSignal): Promise<void> {
    const scope = new AbortController();
    const abort = (): void => scope.abort();
    signal.addEventListener('abort', abort);
    const end = new Ending();
    void connection.closed.then(end.at);
    connection.onBlocked((reason) => {
      if (reason === undefined) this.resync();
      else shared.sink.lost(`RabbitMQ takes no messages: ${reason}`);
    }, scope.signal);
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
  async #work(connection: BrokerConnection, parts: SessionParts, end: Ending, signal: AbortSignal): Promise<void> {
    const { sink, deletions, lostMessages, rows } = parts;
    const { host, controlExchange, reportIntervalMs, callTimeoutMs } = this.#settings;
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
    const api = serverApi(client, { controlExchange, clock, telemetry, signal, timeoutMs: callTimeoutMs });
    await this.#serverAnswers(api, sink, signal);

    await rows.chooseVersion(api);
    const { portVersion } = rows;
    const intake = new PushIntake({
      source: this.name,
      host,
      sink,
      deletions,
      telemetry,
      lostMessages,
      networks: this.#networks,
      needsSnapshot: () => this.#snapshots.within('retry', NEEDED_SNAPSHOT_MS),
      signal,
    });
    const subscription = await subscribeFanout(connection, {
      ...this.#settings.fanout,
      topic: `neutron-vo-Port-${portVersion}`,
      queuePrefix: `bgp-agent.${queueHost}.vo-port`,
      serverTopics: SERVER_TOPICS,
      wants: (body) => intake.wants(body),
      onCast: (cast) => intake.receive(cast),
      onDropped: (why, detail) => intake.dropped(why, detail),
    });
    void subscription.lost.then(end.at);

    const isStarting = (): boolean => this.#starting;
    const registration = new Registration({ host, reportIntervalMs, portVersion, clock, log, configurations, isStarting });
    this.#reported(await registration.report(api), sink);
    this.#api = api;
    this.resync();
    deletions.askNow();
    await Promise.all([this.#reportLoop(api, registration, parts, end, signal), this.#snapshotLoop(api, intake, parts, signal)]);
  }

  /** What follows from a report, whatever came before. */
  #reported(outcome: ReportOutcome, sink: BindingSink): void {
    if (outcome === 'registered') this.#snapshots.in('registered', this.#settings.secondSnapshotMs);
    if (outcome !== 'failed') sink.warn('slow-clock', outcome === 'ignored' ? SLOW_CLOCK : undefined);
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

  async #reportLoop(api: ServerApi, registration: Registration, parts: SessionParts, end: Ending, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const { sink } = parts;
    let answeredMs = clock.monotonicMs();
    let failing = false;
    for (;;) {
      await sleep(clock, this.#settings.reportIntervalMs, signal);
      if (signal.aborted) return;
      // Before the report: whoever else reports under our name has written the row since our last one.
      await this.#lookAtRows(api, parts, end, signal);
      if (signal.aborted) return;
      const outcome = await registration.report(api);
      if (signal.aborted) return;
      if (outcome === 'failed') {
        if (clock.monotonicMs() - answeredMs > INTERVALS_UNTIL_DOWN * this.#settings.reportIntervalMs)
          sink.lost('Neutron does not answer our reports');
        failing = true;
        continue;
      }
      this.#reported(outcome, sink);
      if (outcome === 'registered' || failing) this.resync();
      answeredMs = clock.monotonicMs();
      failing = false;
    }
  }

  /**
   * Looks at the rows of this host's agents. Reports do not wait long for it: an agent whose reports are late is taken for dead.
   * Those that are still looking when their turn comes again go on.
   */
  async #lookAtRows(api: ServerApi, { rows }: SessionParts, end: Ending, signal: AbortSignal): Promise<void> {
    if (this.#looking !== undefined) return;
    const { isDisabled, portVersion } = rows;
    this.#looking = rows.look(api).finally(() => {
      this.#looking = undefined;
      if (signal.aborted) return;
      if (rows.portVersion !== portVersion) {
        // As after a registration: the servers may push this version only later.
        this.#snapshots.in('registered', this.#settings.secondSnapshotMs);
        end.at(new AgentError('port-version-changed', 'retryable', `this host's OVS agent has changed to Port ${rows.portVersion}`));
      }
      if (rows.isDisabled === isDisabled) return;
      // The servers stop pushing to a disabled agent, and begin again up to a minute after it was enabled.
      this.resync();
      if (!rows.isDisabled) this.#snapshots.in('registered', this.#settings.secondSnapshotMs);
    });
    const { clock } = this.#options;
    const looked = new AbortController();
    await Promise.race([this.#looking, sleep(clock, LOOK_MS, AbortSignal.any([signal, looked.signal]))]);
    looked.abort();
  }

  async #snapshotLoop(api: ServerApi, intake: PushIntake, parts: SessionParts, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const { sink, healthy, rows } = parts;
    const freshBackoff = (): Backoff => exponentialBackoff({ firstMs: 1_000, capMs: 30_000 });
    let backoff = freshBackoff();
    let failingSinceMs: number | undefined;
    for (await this.#snapshots.next(signal); !signal.aborted; await this.#snapshots.next(signal)) {
      try {
        await this.#snapshot(api, intake, parts);
        healthy();
        backoff = freshBackoff();
        failingSinceMs = undefined;
        this.#starting = false;
        this.#snapshots.in('periodic', this.#untilNextSnapshot(rows.isDisabled));
        if (await this.#networks.refresh(sink.interest.portIds().flatMap((id) => sink.interest.port(id) ?? []))) this.resync();
      } catch (error) {
        if (signal.aborted) return;
        intake.snapshotFails();
        const level = isLasting(refusalOf(error)) ? 'error' : 'warn';
        log[level]({ code: codeOf(error), error: messageOf(error), refusal: refusalOf(error) }, 'snapshot failed');
        // Pushes go on without snapshots; but what they miss is not repaired, and that must not stay unseen.
        const nowMs = this.#options.clock.monotonicMs();
        failingSinceMs ??= nowMs;
        if (!intake.inSync || nowMs - failingSinceMs > this.#settings.resyncIntervalMs) sink.lost(messageOf(error));
        this.#snapshots.in('retry', backoff.delayMs);
        backoff = backoff.next();
      }
    }
  }

  /** Servers may stop pushing to an agent that is disabled: it looks for itself, as often as it reports. */
  #untilNextSnapshot(isDisabled: boolean): number {
    const { resyncIntervalMs, reportIntervalMs } = this.#settings;
    if (isDisabled) return Math.min(reportIntervalMs, resyncIntervalMs);
    return resyncIntervalMs * (0.8 + 0.4 * Math.random());
  }

  async #snapshot(api: ServerApi, intake: PushIntake, { sink, rows }: SessionParts): Promise<void> {
    const { host, vnicTypes } = this.#settings;
    // Nothing new is told before it is known whether an operator has disabled us.
    await rows.readOnce(api);
    intake.snapshotBegins();
    const { ports, unknown } = await takeSnapshot({
      listIds: async () => {
        const ids: string[] = [];
        for (const vnicType of vnicTypes) ids.push(...(await api.listPortIds(host, vnicType)));
        return ids;
      },
      lookUp: (ids) => this.#lookUp(ids, rows.portVersion),
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

  async #lookUp(ids: readonly string[], portVersion: string): Promise<LookedUp> {
    const answer = readLookUp(ids, await this.#server().pullPorts(ids, portVersion));
    for (const reason of answer.reasons)
      this.#options.telemetry.count({ kind: 'bus-message', source: this.name, outcome: 'malformed', detail: reason });
    const found = await this.#networks.complete(answer.found.values());
    return { ...answer, found: new Map(found.map((port) => [port.portId, port])) };
  }

  #server(): ServerApi {
    if (this.#api === undefined) throw new AgentError('neutron-away', 'retryable', 'there is no Neutron server to ask');
    return this.#api;
  }
}

type SessionParts = {
  readonly sink: BindingSink;
  readonly deletions: Deletions;
  readonly lostMessages: LostMessages;
  readonly rows: AgentRows;
  readonly healthy: () => void;
};
