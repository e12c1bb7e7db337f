/** Connect, detect, advertise, list, withdraw: `npx tsx routes.ts 127.0.0.1:50051` */
import { AgentError, connectGobgp, hostPrefix, pathAttributes, type Route } from 'neutron-bgp-agent/gobgp';

const [address = '127.0.0.1:50051'] = process.argv.slice(2);
const gobgp = connectGobgp({ address });
try {
  console.log(`GoBGP at ${address} serves API ${await gobgp.detect()}`);
  // a gobgpd without a configuration file waits for this
  if ((await gobgp.global()) === undefined) await gobgp.start({ asn: 64512, routerId: '192.0.2.1', listenPort: -1, listenAddresses: [] });

  const attributes = pathAttributes({ communities: ['64512:100'], med: 10 }); // next hop self, unless one is given
  const routes = ['203.0.113.10', '203.0.113.11', 'no address'].flatMap((text): Route[] => {
    const prefix = hostPrefix(text); // 203.0.113.10/32; undefined for what is no address
    return prefix === undefined ? [] : [{ prefix, attributes }];
  });
  for (const outcome of await gobgp.advertise(routes))
    console.log('advertise', outcome.result, outcome.result === 'done' ? '' : outcome.error);
  for (const { prefix, attributes: found } of await gobgp.listLocal()) console.log(prefix, found.nextHop, found.communities.join(' '));
  for (const { result } of await gobgp.withdraw(routes.map(({ prefix }) => prefix))) console.log('withdraw', result);
} catch (error) {
  if (!(error instanceof AgentError)) throw error;
  // `retryable`: try again later; `terminal`: somebody has to change something
  console.error(`${error.code} (${error.kind}): ${error.message}`);
  process.exitCode = 1;
} finally {
  gobgp.close();
}
