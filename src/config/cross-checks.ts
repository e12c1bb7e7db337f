/** What the keys of the config file must be to each other. Each rule that fails is one problem; all are told at once. */
import { isIP } from 'node:net';
import type { Problem } from '../lib/checked-yaml.ts';
import type { ConfigFile, PeerSection } from './config-file.ts';
import { FAMILIES, isInternal, nameOf, nextHopOf } from './next-hop.ts';

export function crossChecks(file: ConfigFile): readonly Problem[] {
  return [
    ...sourceProblems(file),
    ...modeProblems(file),
    ...FAMILIES.flatMap((family) => nextHopOf(file, family).problems),
    ...file.peers.flatMap((peer, index) =>
      peerProblems(file, peer).map(({ path, message }) => ({ path: ['peers', index, ...path], message })),
    ),
    ...repeatedPeers(file.peers),
  ];
}

function sourceProblems({ sources, announce }: ConfigFile): readonly Problem[] {
  const problems: Problem[] = [];
  if (sources.file === undefined && sources.neutron === undefined)
    problems.push({ path: ['sources'], message: 'names no source: write sources.neutron or sources.file' });
  if (sources.neutron !== undefined && announce.networks === undefined && !announce.external)
    problems.push({
      path: ['announce', 'networks'],
      message:
        'is missing: with a Neutron source, write the ids of the networks whose ports may be announced, or announce.external: true. Prefixes alone protect nobody, ' +
        'because tenants choose the addresses of their own networks, and one that overlaps announce.prefixes would be announced. ' +
        '"*" says that no tenant here can make such a network',
    });
  if (announce.networks === '*' && announce.external)
    problems.push({ path: ['announce', 'external'], message: 'stands beside networks: "*", which is every network: write one of them' });
  if (sources.neutron?.transportUrl !== undefined && sources.neutron.transportUrlFile !== undefined)
    problems.push({ path: ['sources', 'neutron', 'transportUrlFile'], message: 'stands beside transportUrl: write one of them' });
  return problems;
}

function modeProblems({ gobgp, peers }: ConfigFile): readonly Problem[] {
  if (gobgp.mode === 'attached')
    return peers.length === 0
      ? []
      : [
          {
            path: ['peers'],
            message: 'must be empty in attached mode, where gobgpd has its own configuration; or use gobgp.mode: managed',
          },
        ];
  if (peers.length === 0) return [{ path: ['peers'], message: 'names no router: nothing could be announced' }];
  return gobgp.routerId === undefined ? routerIdProblems(peers) : [];
}

function routerIdProblems(peers: readonly PeerSection[]): readonly Problem[] {
  const path = ['gobgp', 'routerId'];
  const candidates = localIpv4Addresses(peers);
  if (candidates.length === 1) return [];
  const why =
    candidates.length === 0
      ? 'no peer has an IPv4 localAddress to take it from'
      : `the peers have several IPv4 local addresses (${candidates.join(', ')})`;
  return [
    { path, message: `is missing, and ${why}. It is never guessed: write the IPv4 address by which this host is known to its routers` },
  ];
}

/** The distinct IPv4 addresses that peers are configured to be reached from. */
export function localIpv4Addresses(peers: readonly PeerSection[]): readonly string[] {
  return [
    ...new Set(peers.map(({ localAddress }) => localAddress).filter((address) => address !== undefined && isIP(address) === 4)),
  ] as string[];
}

function peerProblems(file: ConfigFile, peer: PeerSection): readonly Problem[] {
  const problems: Problem[] = [];
  const problem = (path: readonly string[], message: string): void => void problems.push({ path, message });
  if (peer.address === undefined && peer.interface === undefined) problem([], 'needs an address or an interface');
  if (peer.address !== undefined && peer.interface !== undefined) problem(['interface'], 'stands beside address: write one of them');
  if (peer.interface !== undefined && peer.localAddress !== undefined)
    problem(['localAddress'], 'has no meaning on an interface, where both ends use link-local addresses');
  if (peer.address !== undefined && peer.localAddress !== undefined && isIP(peer.address) !== isIP(peer.localAddress))
    problem(['localAddress'], `is not of the same family as the peer's address ${peer.address}`);
  if (peer.address !== undefined && peer.address === peer.localAddress) problem(['localAddress'], "is the peer's own address");
  if (peer.keepaliveSeconds >= peer.holdTimeSeconds)
    problem(['keepaliveSeconds'], `must be below holdTimeSeconds (${peer.holdTimeSeconds}), or the session ends by itself`);
  if (peer.multihopTtl !== undefined && peer.ttlSecurityMin !== undefined)
    problem(['ttlSecurityMin'], 'excludes multihopTtl: GTSM asks the peer to send with TTL 255, multihop sets a smaller one');
  if (peer.multihopTtl !== undefined && isInternal(file, peer))
    problem(['multihopTtl'], 'is for eBGP; an iBGP session crosses several hops without it');
  if (peer.multihopTtl !== undefined && peer.bfd !== undefined)
    problem(['bfd'], 'excludes multihopTtl: GoBGP has BFD for a single hop only');
  if (peer.multihopTtl !== undefined && peer.interface !== undefined) problem(['multihopTtl'], 'has no meaning on an interface');
  if (peer.passive && file.gobgp.listenPort === -1)
    problem(['passive'], 'cannot be: gobgp.listenPort is -1, so the peer has nothing to connect to');
  if (new Set(peer.families).size !== peer.families.length) problem(['families'], 'names a family twice');
  return problems;
}

function repeatedPeers(peers: readonly PeerSection[]): readonly Problem[] {
  return peers.flatMap((peer, index) =>
    peers.findIndex((other) => nameOf(other) === nameOf(peer)) === index || nameOf(peer) === '(peer)'
      ? []
      : [{ path: ['peers', index], message: `${nameOf(peer)} stands here twice` }],
  );
}
