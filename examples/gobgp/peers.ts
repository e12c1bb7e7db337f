/** Add a peer, show what it is sent, delete it: `npx tsx peers.ts 127.0.0.1:50051 192.0.2.254` */
import { connectGobgp, type PeerSettings } from 'neutron-bgp-agent/gobgp';

const [address = '127.0.0.1:50051', neighbor = '192.0.2.254'] = process.argv.slice(2);
const peer: PeerSettings = {
  neighbor: { address: neighbor },
  asn: 64500,
  passive: false,
  holdTimeSeconds: 9,
  keepaliveSeconds: 3,
  connectRetrySeconds: 1,
  families: ['ipv4', 'ipv6'],
  gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2 },
};

const gobgp = connectGobgp({ address });
try {
  await gobgp.addPeer(peer);
  for (const { name, status } of await gobgp.listPeers()) {
    const routes = await gobgp.listAdjRibOut(name);
    console.log(`${name} AS ${status.asn} ${status.state}, ${routes.length} routes`);
  }
  await gobgp.deletePeer(neighbor);
} finally {
  gobgp.close();
}
