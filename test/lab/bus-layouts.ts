/**
 * How oslo.messaging declares its exchanges and queues under each set of options (oslo_messaging/_drivers/impl_rabbit.py),
 * written down once more and apart from `src/oslo`. Rows as in docs/neutron.md.
 */
import { randomUUID } from 'node:crypto';
import type { Options } from 'amqplib';

export type BusLayout = {
  /** One letter, and what an operator would write under `[oslo_messaging_rabbit]`. */
  readonly name: string;
  readonly control: { readonly durable: boolean; readonly autoDelete: boolean };
  /** The queues `TOPIC` and `TOPIC.HOST`. */
  readonly topicQueue: Options.AssertQueue;
  readonly fanoutDurable: boolean;
  /** A listener's own queue for a fanout, or the one that all share. */
  readonly fanoutQueue: (topic: string) => { readonly name: string; readonly options: Options.AssertQueue };
  readonly consume: Options.Consume;
  /** Above 0 the consumer acknowledges. */
  readonly prefetch: number;
};

const TTL = { 'x-expires': 1_800_000 };
const QUORUM = { 'x-queue-type': 'quorum' };

function layout(
  name: string,
  change: Partial<Omit<BusLayout, 'fanoutQueue'>> & { fanoutArguments?: object; fanoutQueue?: BusLayout['fanoutQueue'] } = {},
): BusLayout {
  const { fanoutArguments = TTL, ...rest } = change;
  const fanoutDurable = rest.fanoutDurable ?? false;
  return {
    name,
    control: { durable: false, autoDelete: false },
    topicQueue: { durable: false, autoDelete: false },
    fanoutDurable,
    fanoutQueue: (topic) => ({
      name: `${topic}_fanout_${randomUUID().replaceAll('-', '')}`,
      options: { durable: fanoutDurable, autoDelete: false, arguments: fanoutArguments },
    }),
    consume: {},
    prefetch: 0,
    ...rest,
  };
}

const durable = { control: { durable: true, autoDelete: false }, topicQueue: { durable: true, autoDelete: false } };
const transientQuorum = { fanoutDurable: true, fanoutArguments: { ...QUORUM, ...TTL } };
const quorum = { ...durable, topicQueue: { ...durable.topicQueue, arguments: QUORUM } };

const stream = (topic: string): ReturnType<BusLayout['fanoutQueue']> => ({
  name: `${topic}_fanout`,
  options: { durable: true, autoDelete: false, arguments: { 'x-queue-type': 'stream', 'x-max-age': '1800s' } },
});
const fixedName = (queueArguments: object, isDurable: boolean): BusLayout['fanoutQueue'] => {
  let number = 0;
  return (topic) => ({
    name: `${topic}_fanout_controller:neutron-server:${(number += 1)}`,
    options: { durable: isDurable, autoDelete: false, arguments: queueArguments },
  });
};

export const BUS_LAYOUTS: readonly BusLayout[] = [
  layout('A defaults'),
  layout('B amqp_durable_queues', durable),
  layout('C amqp_auto_delete', { control: { durable: false, autoDelete: true }, topicQueue: { durable: false, autoDelete: true } }),
  layout('D rabbit_quorum_queue', quorum),
  layout('E rabbit_transient_quorum_queue', transientQuorum),
  layout('F E with rabbit_stream_fanout', {
    ...transientQuorum,
    fanoutQueue: stream,
    consume: { arguments: { 'x-stream-offset': 'last' } },
    prefetch: 100,
  }),
  layout('G use_queue_manager', { fanoutQueue: fixedName(TTL, false) }),
  layout('H rabbit_ha_queues', {
    topicQueue: { durable: false, autoDelete: false, arguments: { 'x-ha-policy': 'all' } },
    fanoutArguments: { 'x-ha-policy': 'all', ...TTL },
  }),
  layout('I rabbit_transient_queues_ttl=0', { fanoutArguments: {} }),
  layout('J enable_cancel_on_failover', { consume: { arguments: { 'x-cancel-on-ha-failover': true } } }),
  layout('D+E+F+G', {
    ...quorum,
    fanoutDurable: true,
    fanoutQueue: stream,
    consume: { arguments: { 'x-stream-offset': 'last' } },
    prefetch: 100,
  }),
];
