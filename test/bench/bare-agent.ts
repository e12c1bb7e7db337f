/**
 * The baseline of `event` and `bulk`: the thinnest agent that does the job, on amqplib and grpc-js alone. It decides nothing,
 * guards nothing, remembers nothing and recovers from nothing. Nothing of `src/` is in it but the statement of GoBGP's API.
 */
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { connect } from 'amqplib';
import { instanceAddresses } from './addresses.ts';
import { monotonicMs, serve, workerSettings } from './worker.ts';

export type BareAgentSettings = {
  readonly gobgp: string;
  /** A large community for every route: `4200000179:1:1`. */
  readonly marker: string;
  /** How many `announce` and `withdraw` stream. */
  readonly routes: number;
  /** Pushes to follow: those of ports bound to `host`. */
  readonly bus?: { readonly url: string; readonly exchange: string; readonly host: string };
};

const PATHS_PER_MESSAGE = 100;
const TYPE_URL = 'type.googleapis.com/apipb.';
const FAMILY = { afi: 'IP', safi: 'UNICAST' };

type Push = {
  readonly args: { readonly resource_list: readonly { readonly 'versioned_object.data': PortData }[] };
};
type PortData = {
  readonly status: string;
  readonly fixed_ips: readonly { readonly 'versioned_object.data': { readonly ip_address: string } }[];
  readonly bindings: readonly { readonly 'versioned_object.data': { readonly host: string; readonly status: string } }[];
};

const settings = workerSettings() as BareAgentSettings;
const addresses = instanceAddresses(settings.routes);
const definitions = loadSync(fileURLToPath(new URL('../../proto/gobgp-v3.proto', import.meta.url)), { longs: Number, enums: String });
const methods = definitions['apipb.GobgpApi'] as ServiceDefinition;
const client = new Client(settings.gobgp, credentials.createInsecure());

const [globalAdmin, localData1, localData2] = settings.marker.split(':').map(Number);
const pattrs = [
  any('OriginAttribute', { origin: 0 }),
  any('NextHopAttribute', { nextHop: '0.0.0.0' }),
  any('LargeCommunitiesAttribute', { communities: [{ globalAdmin, localData1, localData2 }] }),
];

function any(name: string, message: object): object {
  return { typeUrl: TYPE_URL + name, value: (definitions[`apipb.${name}`] as MessageTypeDefinition<object, object>).serialize(message) };
}

function path(address: string, isWithdraw: boolean): object {
  return { nlri: any('IPAddressPrefix', { prefixLen: 32, prefix: address }), pattrs, family: FAMILY, isWithdraw };
}

function send(address: string, isWithdraw: boolean): void {
  const method = methods[isWithdraw ? 'DeletePath' : 'AddPath'];
  if (method === undefined) return;
  const request = { tableType: 'GLOBAL', family: FAMILY, path: path(address, isWithdraw) };
  client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, fail);
}

function stream(isWithdraw: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    const method = methods['AddPathStream'];
    if (method === undefined) return reject(new Error('no AddPathStream'));
    const startedMs = monotonicMs();
    const call = client.makeClientStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, (error) =>
      error === null ? resolve(startedMs) : reject(error),
    );
    let at = 0;
    const pump = (): void => {
      while (at < addresses.length) {
        const paths = addresses.slice(at, at + PATHS_PER_MESSAGE).map((address) => path(address, isWithdraw));
        at += PATHS_PER_MESSAGE;
        if (!call.write({ tableType: 'GLOBAL', paths })) return void call.once('drain', pump);
      }
      call.end();
    };
    pump();
  });
}

async function followBus({ url, exchange, host }: NonNullable<BareAgentSettings['bus']>): Promise<void> {
  const connection = await connect(url, { noDelay: true });
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, durable: false, autoDelete: true });
  await channel.bindQueue(queue, exchange, '');
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const envelope = JSON.parse(message.content.toString()) as { readonly 'oslo.message': string };
      const push = JSON.parse(envelope['oslo.message']) as Push;
      for (const { 'versioned_object.data': port } of push.args.resource_list) {
        const isHere = port.bindings.some(({ 'versioned_object.data': binding }) => binding.host === host && binding.status === 'ACTIVE');
        for (const { 'versioned_object.data': ip } of port.fixed_ips) send(ip.ip_address, !isHere || port.status !== 'ACTIVE');
      }
    },
    { noAck: true },
  );
}

function fail(error: Error | null): void {
  if (error !== null) throw error;
}

if (settings.bus !== undefined) await followBus(settings.bus);
await new Promise<void>((resolve, reject) => {
  client.waitForReady(Date.now() + 10_000, (error) => (error === undefined ? resolve() : reject(error)));
});
serve({ announce: () => stream(false), withdraw: () => stream(true) });
