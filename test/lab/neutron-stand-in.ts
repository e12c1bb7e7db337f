/**
 * A stand-in for Neutron's server side on a real RabbitMQ, with oslo's default options: the exchanges and queues that a
 * server declares, the calls that an agent of ours makes, and the pushes of each life event of a port (design part 5).
 * It has code of its own for the wire, so that a mistake in ours does not cancel out. What it does not do: schedule,
 * authorize, allocate addresses.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib';
import { answerCall, failure, now } from './neutron-answers.ts';
import {
  type Cause,
  deletedPortObject,
  type LabAgent,
  type LabNetwork,
  type LabPort,
  portObject,
  pythonJson,
  serverContext,
} from './neutron-objects.ts';

export type StandInOptions = {
  readonly url: string;
  readonly controlExchange?: string;
  /** Versions of the Port object to push, each on its own exchange. */
  readonly portVersions?: readonly string[];
  /** The server's own version of Port. */
  readonly portVersion?: string;
  /** What pushes carry where a real one has the caller's Keystone token. */
  readonly token?: string;
};

/** How the next answers to a method differ from the right ones. */
export type Fault =
  | { readonly kind: 'error'; readonly remoteClass: string; readonly message: string }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'silence' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Signs of life first (`ending: false`), then the right answer. */
  | { readonly kind: 'alive-first' };

export type StandInCall = {
  readonly method: string;
  readonly args: Record<string, unknown>;
  readonly version: string;
  readonly context: Record<string, unknown>;
};

export type BootOptions = {
  readonly host: string;
  readonly networkId: string;
  readonly fixedIps: readonly string[];
  readonly deviceOwner?: string;
  readonly vnicType?: string;
  readonly name?: string;
};

export async function startNeutronStandIn(options: StandInOptions): Promise<NeutronStandIn> {
  const connection = await connect(options.url);
  connection.on('error', () => undefined);
  const [publisher, consumer] = [await connection.createConfirmChannel(), await connection.createChannel()];
  const standIn = new NeutronStandIn(options, publisher, consumer, () => connection.close());
  await standIn.listen();
  return standIn;
}

const REPLY_PROPERTIES = { contentType: 'application/json', contentEncoding: 'utf-8', deliveryMode: 2, priority: 0, headers: {} };

export class NeutronStandIn {
  readonly ports: Map<string, LabPort> = new Map<string, LabPort>();
  readonly networks: Map<string, LabNetwork> = new Map<string, LabNetwork>();
  readonly agents: Map<string, LabAgent> = new Map<string, LabAgent>();
  /** Every call that came in, in order. */
  readonly calls: StandInCall[] = [];
  /** By method; stays until removed. */
  readonly faults: Map<string, Fault> = new Map<string, Fault>();
  readonly portVersion: string;
  /** Neutron's option of that name. */
  enableNewAgents = true;
  /** While true, pushes are lost: the state changes and nobody is told. */
  muted = false;

  readonly #options: StandInOptions;
  readonly #publisher: ConfirmChannel;
  readonly #consumer: Channel;
  readonly #closeConnection: () => Promise<void>;
  readonly #exchange: string;
  readonly #portVersions: readonly string[];
  #isClosing = false;

  constructor(options: StandInOptions, publisher: ConfirmChannel, consumer: Channel, closeConnection: () => Promise<void>) {
    this.#options = options;
    this.#publisher = publisher;
    this.#consumer = consumer;
    this.#closeConnection = closeConnection;
    this.#exchange = options.controlExchange ?? 'neutron';
    this.#portVersions = options.portVersions ?? ['1.7'];
    this.portVersion = options.portVersion ?? '1.10';
    for (const channel of [publisher, consumer]) channel.on('error', () => undefined);
  }

  /** Ends it as a server ends: its queues and exchanges stay as far as they would. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#closeConnection().catch(() => undefined);
  }

  /** Declares and consumes what a server with default options does. */
  async listen(): Promise<void> {
    await this.#publisher.assertExchange(this.#exchange, 'topic', { durable: false, autoDelete: false });
    for (const topic of ['q-plugin', 'q-reports-plugin', 'q-server-resource-versions']) {
      await this.#consumer.assertQueue(topic, { durable: false, autoDelete: false });
      await this.#consumer.bindQueue(topic, this.#exchange, topic);
      await this.#consumer.assertExchange(`${topic}_fanout`, 'fanout', { durable: false, autoDelete: true });
      const { queue } = await this.#consumer.assertQueue(`${topic}_fanout_${hex()}`, {
        durable: false,
        autoDelete: false,
        expires: 1_800_000,
      });
      await this.#consumer.bindQueue(queue, `${topic}_fanout`, topic);
      for (const name of [topic, queue])
        await this.#consumer.consume(name, (message) => void (message && this.#serveUntilClosed(message)), { noAck: true });
    }
  }

  // ---- what an operator or nova does ----

  createNetwork(network: { external?: boolean; name?: string; id?: string } = {}): LabNetwork {
    const created: LabNetwork = {
      id: network.id ?? randomUUID(),
      name: network.name ?? 'ext-net',
      external: network.external ?? true,
      segmentId: randomUUID(),
      subnetIds: { 4: randomUUID(), 6: randomUUID() },
      securityGroupId: randomUUID(),
      createdAt: now(),
    };
    this.networks.set(created.id, created);
    return created;
  }

  /** A port bound to no host: one push. */
  async createPort({ networkId, fixedIps, name = 'vm' }: Pick<BootOptions, 'networkId' | 'fixedIps' | 'name'>): Promise<LabPort> {
    const network = this.networks.get(networkId);
    if (network === undefined) throw new Error(`no network ${networkId}`);
    const mac = [...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    const port: LabPort = {
      id: randomUUID(),
      name,
      network,
      macAddress: `fa:16:3e:${mac}`,
      adminStateUp: true,
      deviceId: '',
      deviceOwner: '',
      status: 'DOWN',
      fixedIps,
      allowedAddressPairs: [],
      bindings: [{ host: '', status: 'ACTIVE', vifType: 'unbound', vnicType: 'normal', profile: {} }],
      revisionNumber: 0,
      createdAt: now(),
      updatedAt: now(),
    };
    this.ports.set(port.id, port);
    await this.#changed(port);
    return port;
  }

  /** Row 1: created with its host, bound, wired. Three pushes. */
  async bootPort(options: BootOptions): Promise<LabPort> {
    const muted = this.muted;
    this.muted = true;
    const port = await this.createPort(options);
    this.muted = muted;
    port.revisionNumber = 0;
    await this.bind(port.id, options.host, options);
    await this.setStatus(port.id, 'ACTIVE');
    return port;
  }

  /** Row 1 without the wiring, and rows 16: `unbound` on the host, then bound. Two pushes. */
  async bind(portId: string, host: string, options: { deviceOwner?: string; vnicType?: string; fails?: boolean } = {}): Promise<void> {
    const port = this.port(portId);
    const vnicType = options.vnicType ?? port.bindings[0]?.vnicType ?? 'normal';
    port.deviceOwner = options.deviceOwner ?? 'compute:nova';
    port.deviceId ||= randomUUID();
    port.status = 'DOWN';
    const binding = { host, status: 'ACTIVE' as const, vifType: 'unbound', vnicType, profile: {} };
    port.bindings = [binding];
    await this.#changed(port);
    binding.vifType = options.fails === true ? 'binding_failed' : 'ovs';
    await this.#changed(port);
  }

  /** Rows 2, 3, 13: the host's L2 agent reports the port up or down. One push. */
  async setStatus(portId: string, status: LabPort['status']): Promise<void> {
    const port = this.port(portId);
    port.status = status;
    await this.#changed(port, 'agent');
  }

  async stop(portId: string): Promise<void> {
    await this.setStatus(portId, 'DOWN');
  }

  async start(portId: string): Promise<void> {
    await this.setStatus(portId, 'ACTIVE');
  }

  /** Rows 7 and 8. The status stays as it was until the L2 agent reacts. */
  async setAdminState(portId: string, up: boolean): Promise<void> {
    const port = this.port(portId);
    port.adminStateUp = up;
    await this.#changed(port);
  }

  /** Row 4. */
  async changeFixedIps(portId: string, fixedIps: readonly string[]): Promise<void> {
    const port = this.port(portId);
    port.fixedIps = fixedIps;
    await this.#changed(port);
  }

  /** Row 5. */
  async setAllowedAddressPairs(portId: string, addresses: readonly string[]): Promise<void> {
    const port = this.port(portId);
    port.allowedAddressPairs = addresses;
    await this.#changed(port);
  }

  /** Row 6: a push that changes nothing but the revision. */
  async touch(portId: string): Promise<void> {
    await this.#changed(this.port(portId));
  }

  /** Row 9: nova's conductor makes an INACTIVE binding. The revision rises, nothing is pushed. */
  addInactiveBinding(portId: string, host: string): void {
    const port = this.port(portId);
    port.bindings.push({ host, status: 'INACTIVE', vifType: 'ovs', vnicType: port.bindings[0]?.vnicType ?? 'normal', profile: {} });
    port.revisionNumber += 1;
  }

  /** Row 10: `migrating_to` in the source's profile, or row 15: taken out again. Two pushes, and the status stays DOWN. */
  async setMigratingTo(portId: string, host: string | undefined): Promise<void> {
    const port = this.port(portId);
    const source = this.#active(port);
    source.profile = host === undefined ? {} : { migrating_to: host };
    source.vifType = 'unbound';
    port.status = 'DOWN';
    await this.#changed(port);
    source.vifType = 'ovs';
    await this.#changed(port);
  }

  /** Row 12: the switch. One push: the source INACTIVE and unbound, the destination ACTIVE, status DOWN. */
  async activateBinding(portId: string, host: string): Promise<void> {
    const port = this.port(portId);
    for (const binding of port.bindings) {
      if (binding.host === host) binding.status = 'ACTIVE';
      else Object.assign(binding, { status: 'INACTIVE', vifType: 'unbound' });
    }
    port.status = 'DOWN';
    await this.#changed(port);
  }

  /** Row 14: nothing is pushed. */
  deleteBinding(portId: string, host: string): void {
    const port = this.port(portId);
    port.bindings = port.bindings.filter((binding) => binding.host !== host);
    port.revisionNumber += 1;
  }

  /** Rows 9 to 14, one after the other. */
  async liveMigrate(portId: string, to: string): Promise<void> {
    const from = this.#active(this.port(portId)).host;
    this.addInactiveBinding(portId, to);
    await this.setMigratingTo(portId, to);
    await this.activateBinding(portId, to);
    await this.setStatus(portId, 'ACTIVE');
    this.deleteBinding(portId, from);
  }

  /** Row 16: the old host is gone from the bindings at once. Two pushes, and a third when wired. */
  async evacuate(portId: string, to: string): Promise<void> {
    await this.bind(portId, to);
    await this.setStatus(portId, 'ACTIVE');
  }

  /** Row 17. */
  async unbind(portId: string): Promise<void> {
    const port = this.port(portId);
    port.bindings = [{ host: '', status: 'ACTIVE', vifType: 'unbound', vnicType: 'normal', profile: {} }];
    Object.assign(port, { status: 'DOWN', deviceId: '', deviceOwner: '' });
    await this.#changed(port);
  }

  /** Row 18. */
  async deletePort(portId: string): Promise<void> {
    this.ports.delete(portId);
    await this.pushDeleted(portId);
  }

  port(portId: string): LabPort {
    const port = this.ports.get(portId);
    if (port === undefined) throw new Error(`no port ${portId}`);
    return port;
  }

  // ---- pushes ----

  /** Pushes a port as it is. */
  async push(port: LabPort, cause: Cause = 'api'): Promise<void> {
    for (const version of this.#portVersions)
      await this.#pushObject(version, this.pushBody(portObject(port, version), 'updated', { cause, version }));
  }

  /** Pushes a deletion, whether or not the port is there. */
  async pushDeleted(portId: string): Promise<void> {
    for (const version of this.#portVersions)
      await this.#pushObject(version, this.pushBody(deletedPortObject(portId, version), 'deleted', { version }));
  }

  /** Any body on the exchange of pushes. */
  async publishRaw(body: Buffer | string, headers: Record<string, unknown> = {}): Promise<void> {
    await this.#publish(`neutron-vo-Port-${this.#portVersions[0]}_fanout`, '', Buffer.from(body), { ...REPLY_PROPERTIES, headers });
  }

  /** The body of a push, for those who change it before it goes out. */
  pushBody(
    resource: Record<string, unknown>,
    eventType: 'updated' | 'deleted',
    options: { cause?: Cause; version?: string; uniqueId?: string } = {},
  ): Buffer {
    const { cause = 'api', version = '1.7', uniqueId = hex() } = options;
    return envelope({
      method: 'push',
      args: { resource_list: [resource], event_type: eventType },
      version: '1.1',
      _unique_id: uniqueId,
      ...serverContext({ cause, version, requestId: `req-${randomUUID()}`, token: this.#options.token }),
    });
  }

  async #changed(port: LabPort, cause: Cause = 'api'): Promise<void> {
    port.revisionNumber += 1;
    port.updatedAt = now();
    await this.push(port, cause);
  }

  async #pushObject(version: string, body: Buffer): Promise<void> {
    if (!this.muted) await this.#publish(`neutron-vo-Port-${version}_fanout`, '', body, REPLY_PROPERTIES);
  }

  /** As oslo publishes a fanout: the exchange is declared first, since it leaves with its last queue. */
  async #publish(exchange: string, key: string, body: Buffer, properties: object): Promise<void> {
    if (exchange.endsWith('_fanout')) await this.#publisher.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true });
    this.#publisher.publish(exchange, key, body, properties);
    await this.#publisher.waitForConfirms();
  }

  // ---- calls ----

  async #serveUntilClosed(message: ConsumeMessage): Promise<void> {
    try {
      await this.#serve(message);
    } catch (error) {
      // A server may end while it answers.
      if (!this.#isClosing) throw error;
    }
  }

  async #serve(message: ConsumeMessage): Promise<void> {
    const inner = JSON.parse((JSON.parse(message.content.toString()) as Record<string, string>)['oslo.message'] ?? '{}') as Record<
      string,
      unknown
    >;
    const { method, args, version } = inner as { method: string; args: Record<string, unknown>; version: string };
    const context = Object.fromEntries(Object.entries(inner).filter(([key]) => key.startsWith('_context_')));
    this.calls.push({ method, args, version, context });
    const fault = this.faults.get(method);
    if (fault?.kind === 'silence') return;
    // The answer is what is true now, also when it arrives late.
    const answer = this.#answer(method, args, fault);
    if (fault?.kind === 'delay') await delay(fault.ms);
    if (fault?.kind === 'alive-first') await this.#reply(inner, { result: null, failure: null, ending: false });
    await this.#reply(inner, { ...answer, ending: true });
  }

  #answer(method: string, args: Record<string, unknown>, fault: Fault | undefined): { result: unknown; failure: string | null } {
    if (fault?.kind === 'error') return { result: null, failure: failure(fault.remoteClass, fault.message) };
    const result = fault?.kind === 'result' ? fault.result : answerCall(this, method, args);
    if (result === undefined) return { result: null, failure: failure('NoSuchMethod', `Endpoint does not support RPC method ${method}`) };
    return result instanceof Error ? { result: null, failure: failure(result.name, result.message) } : { result, failure: null };
  }

  async #reply(request: Record<string, unknown>, fields: { result: unknown; failure: string | null; ending: boolean }): Promise<void> {
    if (typeof request['_reply_q'] !== 'string') return;
    const body = envelope({ ...fields, _msg_id: request['_msg_id'], _unique_id: hex() });
    this.#publisher.publish('', request['_reply_q'], body, { ...REPLY_PROPERTIES, mandatory: true });
    await this.#publisher.waitForConfirms();
  }

  #active(port: LabPort): LabPort['bindings'][number] {
    const binding = port.bindings.find(({ status }) => status === 'ACTIVE');
    if (binding === undefined) throw new Error(`port ${port.id} has no ACTIVE binding`);
    return binding;
  }
}

function envelope(inner: Record<string, unknown>): Buffer {
  return Buffer.from(pythonJson({ 'oslo.version': '2.0', 'oslo.message': pythonJson(inner) }));
}

function hex(): string {
  return randomUUID().replaceAll('-', '');
}
