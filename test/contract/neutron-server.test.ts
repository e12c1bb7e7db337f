/**
 * The lab's Neutron server is what the integration tests and the demo stand on: this holds that it binds, moves a port's
 * status and pushes as a real one does.
 */
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lab, until } from '../lab/lab.ts';
import { unwrap } from '../lab/neutron-rpc.ts';
import { type NeutronServer, startNeutronServer } from '../lab/neutron-server.ts';
import { startRabbit } from '../lab/rabbitmq.ts';

type Push = {
  readonly method: string;
  readonly args: {
    readonly event_type: string;
    readonly resource_list: readonly { 'versioned_object.data': { id: string; status?: string } }[];
  };
};

const EXCHANGE = 'neutron-vo-Port-1.7_fanout';

const lab = new Lab('neutron-server');
let neutron: NeutronServer;
let networkId: string;
let bus: ChannelModel;

beforeAll(async () => {
  const rabbit = await startRabbit(lab);
  neutron = await startNeutronServer(lab, { rabbitUrl: rabbit.url });
  networkId = (await neutron.createNetwork('external')).id;
  await neutron.createSubnet(networkId, '198.51.100.0/24');
  await neutron.createSubnet(networkId, '2001:db8:100::/64');
  await neutron.reportOvsAgent('hv1');
  bus = await connect(rabbit.url);
}, 120_000);

afterAll(async () => {
  await bus?.close();
  await lab.close();
});

describe('a Neutron server of the lab', () => {
  test('binds a port to a host whose Open vSwitch agent is alive, and gives it an address of each family', async () => {
    const port = await neutron.createPort(networkId, 'hv1');
    expect(port).toMatchObject({ status: 'DOWN', 'binding:host_id': 'hv1', 'binding:vif_type': 'ovs' });
    expect(port.fixed_ips).toHaveLength(2);
  });

  test('fails to bind a port to a host without an agent', async () => {
    const port = await neutron.createPort(networkId, 'nobody');
    expect(port['binding:vif_type']).toBe('binding_failed');
  });

  test('moves the status of a port as its agent says', async () => {
    const { id } = await neutron.createPort(networkId, 'hv1');
    await neutron.updateDeviceUp(id, 'hv1');
    expect((await neutron.getPort(id)).status).toBe('ACTIVE');
    await neutron.updateDeviceDown(id, 'hv1');
    expect((await neutron.getPort(id)).status).toBe('DOWN');
  });

  test('pushes a port as object version 1.7 when it changes and when it goes', async () => {
    const pushes = await listen(await bus.createChannel());
    const { id } = await neutron.createPort(networkId, 'hv1');
    await neutron.updateDeviceUp(id, 'hv1');
    const isPushed = (event: string, status?: string) => (): boolean =>
      pushes.some(
        ({ args }) =>
          args.event_type === event &&
          args.resource_list.some(
            ({ 'versioned_object.data': port }) => port.id === id && (status === undefined || port.status === status),
          ),
      );
    await until('a push of the ACTIVE port', isPushed('updated', 'ACTIVE'));
    await neutron.deletePort(id);
    await until('a push of its deletion', isPushed('deleted'));
  });

  test('says what it refuses', async () => {
    await expect(neutron.getPort('no-such-port')).rejects.toThrow(/404/);
  });

  test('binds a port of a self-service network whose addresses overlap the public ones', async () => {
    const overlay = await neutron.createNetwork('self-service');
    await neutron.createSubnet(overlay.id, '198.51.100.0/24');
    const port = await neutron.createPort(overlay.id, 'hv1');
    expect(port['binding:vif_type']).toBe('ovs');
  });
});

/** Declares the exchange as a Zed server with default options does; it may not have pushed yet. */
async function listen(channel: Channel): Promise<readonly Push[]> {
  const pushes: Push[] = [];
  await channel.assertExchange(EXCHANGE, 'fanout', { durable: false, autoDelete: true });
  const { queue } = await channel.assertQueue('', { exclusive: true, durable: false });
  await channel.bindQueue(queue, EXCHANGE, '');
  await channel.consume(queue, (message) => message !== null && pushes.push(unwrap(message) as Push), { noAck: true });
  return pushes;
}
