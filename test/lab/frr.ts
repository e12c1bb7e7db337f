/** A real bgpd of FRR as a router of the lab, alone: no zebra, no kernel, its own folder for vtysh. */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Family } from '../../src/domain/prefix.ts';
import { freePort, type Lab, type LabProcess, logTail, until } from './lab.ts';
import { loopbackAddress } from './loopback.ts';

export type FrrNeighbor = {
  readonly address: string;
  /** Where FRR connects to; left out: it waits for the neighbour to connect. */
  readonly port?: number;
  readonly asn: number;
  readonly password?: string;
  readonly families?: readonly Family[];
  /** More `neighbor ADDRESS ...` settings, without the first two words: `ttl-security hops 1`. */
  readonly settings?: readonly string[];
};

export type FrrOptions = {
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
  readonly asn: number;
  readonly routerId?: string;
  readonly neighbors: readonly FrrNeighbor[];
  /** Prefixes announced to all neighbours. */
  readonly originate?: readonly string[];
  readonly wrapper?: readonly string[];
};

export type FrrRoute = {
  readonly prefix: string;
  /** The neighbour it came from. */
  readonly peer: string;
  readonly valid: boolean;
  readonly best: boolean;
  readonly origin: string;
  readonly asPath: readonly number[];
  readonly nextHops: readonly string[];
  readonly med?: number;
  readonly localPref?: number;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
};

export type FrrSession = { readonly address: string; readonly established: boolean; readonly state: string; readonly flaps: number };

export type Frr = {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly asn: number;
  readonly process: () => LabProcess;
  /** The paths of one prefix. */
  route(prefix: string): Promise<readonly FrrRoute[]>;
  /** Every prefix of the table with its number of paths. */
  prefixes(): Promise<readonly string[]>;
  sessions(): Promise<readonly FrrSession[]>;
  established(timeoutMs?: number): Promise<void>;
  /** Runs a vtysh command and gives its output. */
  command(text: string): Promise<string>;
  stop(): Promise<void>;
};

const run = promisify(execFile);

export async function startFrr(lab: Lab, options: FrrOptions): Promise<Frr> {
  const { name = 'frr', address = loopbackAddress(), asn, wrapper = [] } = options;
  const port = options.port ?? (await freePort(address));
  const folder = lab.path(`${name}.vty`);
  mkdirSync(folder, { recursive: true });
  const config = lab.path(`${name}.conf`);
  writeFileSync(config, frrConfig({ ...options, address }));
  const args = ['-f', config, '-p', String(port), '-l', address, '-n', '-Z', '-S', '-P', '0', '--vty_socket', folder];
  const [program, ...rest] = [...wrapper, '/usr/lib/frr/bgpd', ...args, '-i', lab.path(`${name}.pid`), '--log', 'stdout'];
  const running = lab.start(name, program, rest);

  const command = async (text: string): Promise<string> =>
    (await run('vtysh', ['--vty_socket', folder, '-d', 'bgpd', '-c', text], { maxBuffer: 2 ** 28 })).stdout;
  const json = async (text: string): Promise<Record<string, unknown>> =>
    JSON.parse(await command(`${text} json`)) as Record<string, unknown>;
  await until(`${name} answering vtysh`, () => {
    if (running.hasEnded()) throw new Error(logTail(running));
    return command('show version').then(
      () => true,
      () => false,
    );
  });

  const sessions = async (): Promise<readonly FrrSession[]> => {
    const neighbors = await json('show bgp neighbors');
    return Object.entries(neighbors).flatMap(([neighbor, value]) => {
      const { bgpState, connectionsDropped } = value as { bgpState?: string; connectionsDropped?: number };
      return bgpState === undefined
        ? []
        : [{ address: neighbor, state: bgpState, established: bgpState === 'Established', flaps: connectionsDropped ?? 0 }];
    });
  };
  return {
    name,
    address,
    port,
    asn,
    process: () => running,
    async route(prefix) {
      const table = await json(`show bgp ${familyWords(prefix)} ${prefix}`);
      return ((table['paths'] as FrrPath[] | undefined) ?? []).map((path) => frrRoute(prefix, path));
    },
    async prefixes() {
      const [v4, v6] = [await json('show bgp ipv4 unicast'), await json('show bgp ipv6 unicast')];
      return [v4, v6].flatMap((table) => Object.keys((table['routes'] as object | undefined) ?? {}));
    },
    sessions,
    established: async (timeoutMs = 30_000) => {
      await until(`${name}: every session established`, async () => (await sessions()).every(({ established }) => established), timeoutMs);
    },
    command,
    stop: () => running.stop(),
  };
}

function familyWords(prefix: string): string {
  return prefix.includes(':') ? 'ipv6 unicast' : 'ipv4 unicast';
}

function frrConfig(options: FrrOptions & { address: string }): string {
  const lines = [
    'hostname router',
    'no bgp send-extra-data zebra',
    `router bgp ${options.asn}`,
    ` bgp router-id ${options.routerId ?? options.address}`,
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ' bgp disable-ebgp-connected-route-check',
    // loopback addresses are next hops here
    ' bgp allow-martian-nexthop',
    ' bgp graceful-restart',
  ];
  for (const neighbor of options.neighbors) {
    const line = (text: string): void => void lines.push(` neighbor ${neighbor.address} ${text}`);
    line(`remote-as ${neighbor.asn}`);
    line(`timers 3 9`);
    line(`timers connect 1`);
    line(`update-source ${options.address}`);
    const isSecured = neighbor.settings?.some((setting) => setting.startsWith('ttl-security')) === true;
    if (neighbor.asn !== options.asn && !isSecured) line('ebgp-multihop 255');
    if (neighbor.port === undefined) line('passive');
    else line(`port ${neighbor.port}`);
    if (neighbor.password !== undefined) line(`password ${neighbor.password}`);
    for (const setting of neighbor.settings ?? []) line(setting);
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    lines.push(` address-family ${family} unicast`);
    for (const prefix of options.originate ?? []) if (prefix.includes(':') === (family === 'ipv6')) lines.push(`  network ${prefix}`);
    for (const neighbor of options.neighbors) {
      if ((neighbor.families ?? ['ipv4', 'ipv6']).includes(family)) lines.push(`  neighbor ${neighbor.address} activate`);
    }
    lines.push(' exit-address-family');
  }
  return `${lines.join('\n')}\n`;
}

type FrrPath = {
  readonly valid?: boolean;
  readonly bestpath?: { readonly overall?: boolean };
  readonly origin?: string;
  readonly aspath?: { readonly string?: string };
  readonly nexthops?: readonly { readonly ip?: string }[];
  readonly metric?: number;
  readonly locPrf?: number;
  readonly community?: { readonly list?: readonly string[] };
  readonly largeCommunity?: { readonly list?: readonly string[] };
  readonly peer?: { readonly peerId?: string };
};

function frrRoute(prefix: string, path: FrrPath): FrrRoute {
  const words: Readonly<Record<string, string>> = {
    gracefulShutdown: '65535:0',
    llgrStale: '65535:6',
    noLlgr: '65535:7',
    noExport: '65535:65281',
  };
  return {
    prefix,
    peer: path.peer?.peerId ?? '',
    valid: path.valid === true,
    best: path.bestpath?.overall === true,
    origin: (path.origin ?? '').toLowerCase(),
    asPath: (path.aspath?.string ?? '')
      .split(' ')
      .filter((word) => /^\d+$/.test(word))
      .map(Number),
    nextHops: (path.nexthops ?? []).map(({ ip }) => ip ?? ''),
    ...(path.metric === undefined ? {} : { med: path.metric }),
    ...(path.locPrf === undefined ? {} : { localPref: path.locPrf }),
    communities: (path.community?.list ?? []).map((word) => words[word] ?? word).toSorted(),
    largeCommunities: [...(path.largeCommunity?.list ?? [])].toSorted(),
  };
}
