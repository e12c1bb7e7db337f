/** What is allowed and yet dangerous. Shown by `config check`, at start and in status; each says what may go wrong. */
import { BlockList, isIP } from 'node:net';
import { type Family, familyOf } from '../domain/prefix.ts';
import type { ConfigFile, PeerSection } from './config-file.ts';
import { contains } from './fields.ts';
import { FAMILIES, nameOf, peersWith } from './next-hop.ts';

/** @param links this host's own addresses with the length of their link's prefix: `192.0.2.1/24` */
export function warningsOf(file: ConfigFile, links: readonly string[]): readonly string[] {
  return [
    ...announceWarnings(file),
    ...FAMILIES.flatMap((family) => familyWarnings(file, family, links)),
    ...file.peers.flatMap((peer, index) => peerWarnings(peer).map((text) => `peers[${index}] (${nameOf(peer)}): ${text}`)),
  ];
}

function announceWarnings({ announce, gobgp, limits, graceSeconds, http, sources }: ConfigFile): readonly string[] {
  const warnings: string[] = [];
  if (announce.networks === '*' && sources.neutron !== undefined)
    warnings.push(
      'announce.networks is "*": any tenant network whose addresses overlap announce.prefixes is announced as if it were public',
    );
  if (announce.requireActive !== 'always')
    warnings.push(
      `announce.requireActive is ${announce.requireActive}: a stopped instance keeps its route, here, until its port is moved, unbound or deleted`,
    );
  const useless = announce.deniedPrefixes.filter(
    (denied) => !announce.prefixes.some((prefix) => contains(prefix, denied) || contains(denied, prefix)),
  );
  if (useless.length > 0)
    warnings.push(`announce.deniedPrefixes: ${useless.join(', ')} lies outside every announced prefix and denies nothing`);
  for (const prefix of announce.prefixes.filter((one) => announce.deniedPrefixes.some((denied) => contains(denied, one))))
    warnings.push(`announce.prefixes: ${prefix} is denied as a whole by announce.deniedPrefixes`);
  if (limits.routes > 4096)
    warnings.push(
      `limits.routes is ${limits.routes}: raise the maximum-prefix of every router above it too, or one host can end its sessions`,
    );
  if (graceSeconds.unmentioned < 60)
    warnings.push(
      `graceSeconds.unmentioned is ${graceSeconds.unmentioned}: two wrong snapshots that quickly after each other withdraw routes`,
    );
  if (http.listen !== 'off' && !isLoopback(http.listen.host))
    warnings.push(`http.listen is ${http.listen.host}: anybody who reaches it can read the metrics`);
  if (gobgp.mode === 'attached')
    warnings.push(
      'gobgp.mode is attached: the export policies of gobgpd are its own affair, so that nothing but ours leaves and that its restart is hitless is not promised',
    );
  if (
    gobgp.tls === undefined &&
    !gobgp.address.startsWith('unix:') &&
    !isLoopback(gobgp.address.replace(/:\d+$/, '').replaceAll(/[[\]]/g, ''))
  )
    warnings.push(`gobgp.address is ${gobgp.address} without gobgp.tls: whoever is on the way can announce anything`);
  return warnings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function familyWarnings(file: ConfigFile, family: Family, links: readonly string[]): readonly string[] {
  const label = family === 'ipv4' ? 'IPv4' : 'IPv6';
  if (file.gobgp.mode === 'attached') return [];
  const prefixes = file.announce.prefixes.filter((prefix) => familyOf(prefix) === family);
  const carriers = peersWith(file, family);
  if (prefixes.length > 0 && carriers.length === 0)
    return [`announce.prefixes holds ${label} prefixes, but no peer carries ${label}: their addresses are rejected with no-next-hop`];
  const hop = file.announce.nextHop[family];
  if (hop === undefined || hop === 'self' || carriers.length < 2) return [];
  const beside = carriers.filter((peer) => sharesLink(peer, hop, links));
  return beside.length > 0 && beside.length < carriers.length
    ? [
        `announce.nextHop.${family} (${hop}) lies in the link of ${beside.map(nameOf).join(', ')} only: when that link fails, the other peers keep routes toward it. ` +
          'Use an address of a loopback or dummy interface that every peer can reach',
      ]
    : [];
}

function sharesLink(peer: PeerSection, hop: string, links: readonly string[]): boolean {
  if (peer.localAddress === hop) return true;
  return peer.address !== undefined && links.some((link) => inLink(link, hop) && inLink(link, peer.address ?? ''));
}

function inLink(link: string, address: string): boolean {
  const [network = '', length] = link.split('/');
  if (isIP(network) === 0 || isIP(network) !== isIP(address)) return false;
  const type = isIP(network) === 4 ? 'ipv4' : 'ipv6';
  const block = new BlockList();
  block.addSubnet(network, Number(length), type);
  return block.check(address, type);
}

function peerWarnings({ holdTimeSeconds, keepaliveSeconds, gracefulRestart, bfd }: PeerSection): readonly string[] {
  const { enabled, restartTimeSeconds, deferralTimeSeconds, longLivedSeconds } = gracefulRestart;
  const warnings: string[] = [];
  if (holdTimeSeconds < 9) warnings.push(`holdTimeSeconds is ${holdTimeSeconds}: a busy router ends the session for a short pause`);
  if (keepaliveSeconds * 3 > holdTimeSeconds)
    warnings.push(
      `keepaliveSeconds is ${keepaliveSeconds}: fewer than three fit into the hold time, so one lost packet may end the session`,
    );
  if (!enabled) return warnings;
  if (bfd !== undefined)
    warnings.push(
      'bfd stands beside gracefulRestart: BFD ends with gobgpd, and a router drops our routes at each restart of it, unless its own BFD is told to respect graceful restart (BIRD: bfd graceful)',
    );
  if (restartTimeSeconds > 60)
    warnings.push(`gracefulRestart.restartTimeSeconds is ${restartTimeSeconds}: the routes of a dead host live that long`);
  if (deferralTimeSeconds > 5)
    warnings.push(
      `gracefulRestart.deferralTimeSeconds is ${deferralTimeSeconds}: after a GoBGP restart one silent peer keeps routes from the others that long`,
    );
  if (longLivedSeconds !== undefined)
    warnings.push(`gracefulRestart.longLivedSeconds is ${longLivedSeconds}: a dead host's routes stay that long, as the last choice`);
  return warnings;
}
