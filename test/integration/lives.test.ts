import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bird, startBird } from '../lab/bird.ts';
import { type Cloud, startNeutronCloud, startStandInCloud } from '../lab/cloud.ts';
import { ASN, type Hypervisor, NEXT_HOP_IPV6, ROUTER_ASN, startHypervisor } from '../lab/hypervisor.ts';
import { Lab } from '../lab/lab.ts';
import { loopbackAddress } from '../lab/loopback.ts';
import { startRabbit } from '../lab/rabbitmq.ts';
import { LIVES, playRow } from './lives.ts';

const CLOUDS: readonly (readonly [string, (lab: Lab, rabbitUrl: string) => Promise<Cloud>])[] = [
  ['the stand-in', startStandInCloud],
  ['the real Neutron 21 server', (lab, rabbitUrl) => startNeutronCloud(lab, rabbitUrl, ['hv1', 'hv2'])],
];

/** A real RabbitMQ, two gobgpds and a BIRD in both; each row goes on where the one before ended. */
describe.each(CLOUDS)('the lives of a port, with %s', (_, startCloud) => {
  const lab = new Lab('lives');
  const seen = { count: 0 };
  const ports = new Map<string, string>();
  let cloud: Cloud;
  let router: Bird;
  let hosts: readonly Hypervisor[];

  beforeAll(async () => {
    const rabbit = await startRabbit(lab);
    cloud = await startCloud(lab, rabbit.url);
    const addresses = ['hv1', 'hv2'].map((name) => ({ name, address: loopbackAddress() }));
    router = await startBird(lab, { name: 'tor1', asn: ROUTER_ASN, neighbors: addresses.map((host) => ({ ...host, asn: ASN })) });
    hosts = await Promise.all(
      addresses.map(({ name, address }) =>
        startHypervisor(lab, {
          name,
          address,
          router,
          networks: [cloud.publicNetworkId],
          sources: { neutron: { transportUrl: rabbit.url.replace(/^amqp:/, 'rabbit:'), reconnectSpreadSeconds: 0 } },
          // Long enough for a reboot, short enough to see a stop withdrawn.
          change: { graceSeconds: { inactive: 4, migration: 1 } },
        }),
      ),
    );
    for (const host of hosts) await host.ready();
  });

  afterAll(() => lab.close());

  it.each(LIVES.map((row) => [row.name, row] as const))('%s', (__, row) => playRow(row, { cloud, hosts, router, ports }, seen));

  it('says of the overlapping network why it announces nothing', async () => {
    const { code, stdout } = (await hosts[0]?.cli('explain', '203.0.113.66')) ?? { code: 0, stdout: '' };
    expect(code).toBe(1);
    expect(stdout).toContain('the network of the port is none of announce.networks');
  });

  it('leaves an empty router, and says which routes had which next hop', async () => {
    expect((await router.routes()).map(({ prefix }) => prefix)).toEqual([]);
    const advertised = hosts.flatMap((host) => host.log()).filter(({ msg }) => msg === 'advertised');
    expect(new Set(advertised.map((line) => (line as { nextHop?: string }).nextHop))).toEqual(new Set(['self', NEXT_HOP_IPV6]));
    expect(advertised.every(({ portId, revisionNumber, requestId }) => portId && revisionNumber && requestId)).toBe(true);
  });
});
