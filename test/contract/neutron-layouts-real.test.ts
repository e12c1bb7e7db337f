/**
 * The real Neutron server with other options of `[oslo_messaging_rabbit]` than its defaults, and our agent beside it, which is
 * given the server's own neutron.conf.
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { BROKER_DEFAULTS, type NeutronSettings } from '../../src/neutron/neutron-source.ts';
import { RecordingSink } from '../fakes/recording-sink.ts';
import { Lab, until } from '../lab/lab.ts';
import { type LabSource, startSource } from '../lab/neutron-agent.ts';
import { type NeutronServer, startNeutronServer } from '../lab/neutron-server.ts';
import { type RabbitNode, startRabbit } from '../lab/rabbitmq.ts';

/** Row D; docs/neutron.md says which others were seen by running this with their options. */
const OPTIONS = ['rabbit_quorum_queue = true'];
const EXPECTED = {
  control: 'neutron\ttopic\ttrue\tfalse',
  fanouts: ['q-plugin', 'q-server-resource-versions', 'neutron-vo-Port-1.7'].map((topic) => `${topic}_fanout\tfanout\tfalse\ttrue`),
  topicQueue: /^q-plugin\ttrue\t.*quorum/m,
};

const lab = new Lab('neutron-layouts');
let rabbit: RabbitNode;
let neutron: NeutronServer;
let networkId: string;
let agent: LabSource;

beforeAll(async () => {
  rabbit = await startRabbit(lab);
  neutron = await startNeutronServer(lab, { rabbitUrl: rabbit.url, rabbit: OPTIONS });
  networkId = (await neutron.createNetwork('external')).id;
  await neutron.createSubnet(networkId, '198.51.100.0/24');
  await neutron.reportOvsAgent('hv1');
  agent = startSource({ port: rabbit.port, settings: importedSettings() }, new RecordingSink());
  await until('the agent to be in sync', () => agent.sink.inSync, 30_000);
}, 180_000);

function importedSettings(): Pick<NeutronSettings, 'broker' | 'controlExchange'> {
  const file = lab.path('agent.yaml');
  writeFileSync(
    file,
    stringify({
      host: 'hv1',
      sources: { neutron: { configFiles: ['neutron/neutron.conf'] } },
      announce: { networks: '*', prefixes: ['198.51.100.0/24'] },
      gobgp: { asn: 64512, routerId: '192.0.2.1' },
      peers: [{ address: '192.0.2.254', asn: 64500 }],
    }),
  );
  const imported = loadConfig(file, {}).sources.neutron;
  if (imported === undefined) throw new Error('no Neutron source was configured');
  return { broker: { ...BROKER_DEFAULTS, ...imported.broker, connectionName: 'imported' }, controlExchange: imported.controlExchange };
}

afterAll(async () => {
  await agent?.stop();
  await lab.close();
});

test('the exchanges are the servers’, and the one that we made is like theirs', async () => {
  const exchanges = (await rabbit.ctl('list_exchanges', 'name', 'type', 'durable', 'auto_delete')).split('\n');
  expect(exchanges).toContain(EXPECTED.control);
  for (const fanout of EXPECTED.fanouts) expect(exchanges).toContain(fanout);
  expect(await rabbit.ctl('list_queues', 'name', 'durable', 'arguments')).toMatch(EXPECTED.topicQueue);
});

test('pushes arrive', async () => {
  const { id } = await neutron.createPort(networkId, 'hv1');
  await neutron.updateDeviceUp(id, 'hv1');
  await until('the port', () => agent.sink.ports.get(id)?.status === 'ACTIVE');
  await neutron.deletePort(id);
  await until('its deletion', () => agent.sink.calls.some((call) => call.kind === 'remove' && call.portId === id));
});
