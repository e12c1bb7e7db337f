/** A real BIRD 2 as a router of the lab: on a loopback address of its own, several at once, its table and its log as values. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../../src/domain/prefix.ts';
import { freePort, type Lab, type LabProcess, logTail, until } from './lab.ts';
import { loopbackAddress } from './loopback.ts';

export type BirdNeighbor = {
  /** The BIRD protocol's name; default `hv1`, `hv2`, ... */
  readonly name?: string;
  readonly address: string;
  /** Where BIRD connects to; left out: BIRD waits for the neighbour to connect (`passive on`). */
  readonly port?: number;
  readonly asn: number;
  readonly password?: string;
  /** Default both. */
  readonly families?: readonly Family[];
  /** Default true. */
  readonly gracefulRestart?: boolean;
  /** A session over one link, with interface addresses; default false: `multihop`, which loopback needs. */
  readonly direct?: boolean;
  /** More lines of the `protocol bgp` block. */
  readonly extra?: string;
  /** More lines of each channel. */
  readonly channelExtra?: string;
};

export type BirdOptions = {
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
  readonly asn: number;
  readonly routerId?: string;
  readonly neighbors: readonly BirdNeighbor[];
  /** Prefixes that BIRD announces to its neighbours; default none. */
  readonly originate?: readonly string[];
  /** Lines at the top level of the configuration. */
  readonly extra?: string;
  readonly wrapper?: readonly string[];
};

export type BirdRoute = {
  readonly prefix: string;
  readonly protocol: string;
  readonly best: boolean;
  readonly origin: string;
  readonly asPath: readonly number[];
  readonly nextHop: string;
  readonly med?: number;
  readonly localPref?: number;
  /** `65535:0`, sorted. */
  readonly communities: readonly string[];
  /** `4200000179:1:1`, sorted. */
  readonly largeCommunities: readonly string[];
};

export type BirdSession = {
  readonly name: string;
  readonly established: boolean;
  /** BIRD's word: `Established`, `Active`, `Idle`, ... */
  readonly state: string;
  /** How often it was established since BIRD was started: another number means that the session was lost. */
  readonly timesUp: number;
};

/** One line of BIRD's route trace: what one received UPDATE, or the loss of a session, did to one prefix. */
export type BirdUpdate = {
  /** Milliseconds since the epoch with fractions: compare with `performance.timeOrigin + performance.now()`. */
  readonly time: number;
  readonly protocol: string;
  readonly prefix: string;
  /** BIRD's word. `added`: new or changed. `ignored`: an UPDATE came that changed nothing. */
  readonly change: 'added' | 'removed' | 'ignored' | 'filtered' | 'invalid';
};

export type Bird = {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly asn: number;
  readonly process: () => LabProcess;
  /** The whole table, both families; static routes of its own included (protocol `static4`, `static6`). */
  routes(): Promise<readonly BirdRoute[]>;
  /** The best route of a prefix that came from a neighbour. */
  route(prefix: string): Promise<BirdRoute | undefined>;
  sessions(): Promise<readonly BirdSession[]>;
  /** Waits until every session is established. */
  established(timeoutMs?: number): Promise<void>;
  /** Everything that neighbours' UPDATEs did since BIRD was started, in order. */
  updates(): readonly BirdUpdate[];
  /** Runs a birdc command and gives its output. */
  command(text: string): Promise<string>;
  stop(): Promise<void>;
  restart(): Promise<void>;
};

/** Of routes that BIRD announces: gobgpd refuses those by way of loopback. */
const ORIGINATED_NEXT_HOP = { ipv4: '192.0.2.254', ipv6: '2001:db8:ffff::fe' } as const;

export async function startBird(lab: Lab, options: BirdOptions): Promise<Bird> {
  const { name = 'bird', address = loopbackAddress(), asn, wrapper = [] } = options;
  const port = options.port ?? (await freePort(address));
  const config = lab.path(`${name}.conf`);
  const socket = lab.path(`${name}.ctl`);
  const trace = lab.path(`${name}.trace.log`);
  writeFileSync(config, birdConfig({ ...options, address, port, trace }));

  // birdc fails for an empty answer too ("Network not found"), so its words count, not its exit code
  const command = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      execFile('birdc', ['-s', socket, ...text.split(' ')], { maxBuffer: 2 ** 28 }, (error, stdout) => {
        if (error !== null && !stdout.startsWith('BIRD ')) reject(error);
        else resolve(stdout);
      });
    });
  const start = async (): Promise<LabProcess> => {
    const args = ['-f', '-c', config, '-s', socket, '-P', lab.path(`${name}.pid`)];
    const [program = 'bird', ...rest] = [...wrapper, 'bird', ...args];
    const started = lab.start(name, program, rest);
    await until(`${name} answering birdc`, () => {
      if (started.hasEnded()) throw new Error(logTail(started));
      return command('show status').then(
        (text) => text.includes('Daemon is up and running'),
        () => false,
      );
    });
    return started;
  };
  let running = await start();

  const routes = async (): Promise<readonly BirdRoute[]> => parseRoutes(await command('show route all'));
  const sessions = async (): Promise<readonly BirdSession[]> => parseSessions(await command('show protocols'), readFileSync(trace, 'utf8'));
  return {
    name,
    address,
    port,
    asn,
    process: () => running,
    routes,
    route: async (prefix) =>
      parseRoutes(await command(`show route for ${prefix} all`)).find(
        (route) => route.prefix === prefix && !route.protocol.startsWith('static'),
      ),
    sessions,
    established: async (timeoutMs = 30_000) => {
      await until(`${name}: every session established`, async () => (await sessions()).every(({ established }) => established), timeoutMs);
    },
    updates: () => parseTrace(readFileSync(trace, 'utf8')),
    command,
    stop: () => running.stop(),
    async restart() {
      await running.stop();
      running = await start();
    },
  };
}

function birdConfig(options: BirdOptions & { address: string; port: number; trace: string }): string {
  const originate = options.originate ?? [];
  const statics = (version: 4 | 6): string => {
    const mine = originate.filter((prefix) => prefix.includes(':') === (version === 6));
    return `protocol static static${version} { ipv${version}; ${mine.map((prefix) => `route ${prefix} unreachable;`).join(' ')} }`;
  };
  return [
    `router id ${options.routerId ?? options.address};`,
    `log "${options.trace}" { trace, info, remote, warning, error, auth, fatal, bug };`,
    'log stderr { warning, error, auth, fatal, bug };',
    'timeformat base iso long us;',
    'timeformat log iso long us;',
    'timeformat protocol iso long us;',
    'timeformat route iso long us;',
    'protocol device { scan time 60; }',
    options.extra ?? '',
    originate.length > 0 ? `${statics(4)}\n${statics(6)}` : '',
    ...options.neighbors.map((neighbor, index) => neighborConfig(neighbor, neighbor.name ?? `hv${index + 1}`, options)),
    '',
  ].join('\n');
}

function neighborConfig(neighbor: BirdNeighbor, name: string, router: { address: string; port: number; asn: number }): string {
  const families = neighbor.families ?? ['ipv4', 'ipv6'];
  const channel = (family: Family): string =>
    `${family} { import all; export where source = RTS_STATIC || source = RTS_BGP; next hop address ${ORIGINATED_NEXT_HOP[family]}; ${neighbor.channelExtra ?? ''} };`;
  return `
protocol bgp ${name} {
  debug { states, routes, events };
  local ${router.address} port ${router.port} as ${router.asn};
  neighbor ${neighbor.address}${neighbor.port === undefined ? '' : ` port ${neighbor.port}`} as ${neighbor.asn};
  strict bind yes;
  ${neighbor.direct === true ? 'direct;' : 'multihop;'}
  ${neighbor.port === undefined ? 'passive on;' : ''}
  ${neighbor.password === undefined ? '' : `password "${neighbor.password}"; setkey no;`}
  graceful restart ${neighbor.gracefulRestart === false ? 'off' : 'on'};
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ${families.map(channel).join('\n  ')}
  ${neighbor.extra ?? ''}
}`;
}

function parseSessions(text: string, trace: string): BirdSession[] {
  return text.split('\n').flatMap((line) => {
    const match = /^(\S+)\s+BGP\s+\S+\s+\S+\s+\S+ \S+\s*(\S*)/.exec(line);
    if (match === null) return [];
    const [, name = '', state = ''] = match;
    return [{ name, state, established: state === 'Established', timesUp: trace.split(`${name}: BGP session established`).length - 1 }];
  });
}

/** `show route all`: a heading per route, its prefix left out when it is the one before, then indented attributes. */
function parseRoutes(text: string): BirdRoute[] {
  const routes: { prefix: string; protocol: string; best: boolean; attributes: Map<string, string> }[] = [];
  let prefix = '';
  for (const line of text.split('\n')) {
    const heading = /^(\S+\/\d+)?\s+(?:unicast|unreachable|blackhole|prohibit) \[(\S+) [^\]]*\]\s*(\*?)/.exec(line);
    if (heading !== null) {
      prefix = heading[1] ?? prefix;
      routes.push({ prefix, protocol: heading[2] ?? '', best: heading[3] === '*', attributes: new Map() });
      continue;
    }
    const attribute = /^\s+(BGP\.\w+): ?(.*)$/.exec(line);
    if (attribute?.[1] !== undefined) routes.at(-1)?.attributes.set(attribute[1], attribute[2] ?? '');
  }
  return routes.map(({ attributes, ...route }) => {
    const number = (name: string): number | undefined => (attributes.has(name) ? Number(attributes.get(name)) : undefined);
    const med = number('BGP.med');
    const localPref = number('BGP.local_pref');
    const tuples = (name: string): string[] =>
      [...(attributes.get(name) ?? '').matchAll(/\(([^)]*)\)/g)]
        .map(([, tuple = '']) => tuple.replaceAll(/\s/g, '').replaceAll(',', ':'))
        .toSorted();
    return {
      ...route,
      origin: (attributes.get('BGP.origin') ?? '').toLowerCase(),
      asPath: (attributes.get('BGP.as_path') ?? '').split(' ').filter(Boolean).map(Number),
      nextHop: attributes.get('BGP.next_hop') ?? '',
      ...(med === undefined ? {} : { med }),
      ...(localPref === undefined ? {} : { localPref }),
      communities: tuples('BGP.community'),
      largeCommunities: tuples('BGP.large_community'),
    };
  });
}

function parseTrace(text: string): BirdUpdate[] {
  return [...text.matchAll(/^(\S+ \S+) <TRACE> (\w+)\.ipv[46] > (added|removed|ignored|filtered|invalid)(?: \[[^\]]*\])? (\S+)/gm)].map(
    ([, stamp = '', protocol = '', change = '', prefix = '']) => ({
      time: epochMs(stamp),
      protocol,
      prefix,
      change: change as BirdUpdate['change'],
    }),
  );
}

/** `2026-01-15 10:00:07.123456`, local time. */
function epochMs(stamp: string): number {
  const [seconds = '', micros = '0'] = stamp.split('.');
  return new Date(seconds.replace(' ', 'T')).getTime() + Number(micros) / 1000;
}
