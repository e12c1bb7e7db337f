/** A hypervisor of the lab: a gobgpd of its own and the built daemon, with a configuration as an operator would write it. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { RouteRow, StatusAnswer } from '../../src/core/status.ts';
import type { Bird } from './bird.ts';
import type { GobgpVersion } from './gobgp-versions.ts';
import { type Gobgpd, startGobgpd } from './gobgpd.ts';
import { freePort, type Lab, type LabProcess, logTail, until } from './lab.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export const ASN = 64512;
export const ROUTER_ASN = 64500;
/** Public addresses of the lab's instances (RFC 5737, RFC 3849). */
const PREFIXES = ['203.0.113.0/24', '2001:db8:113::/64'] as const;
/** An IPv4 session carries IPv6 routes only with a next hop of their own; nothing is ever sent there. */
export const NEXT_HOP_IPV6 = '2001:db8:ffff::1';

/** Parts of the configuration file that replace the lab's, by section. */
export type ConfigChange = Readonly<Record<string, unknown>>;

export type CliResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** One line of the daemon's log. */
export type LogLine = {
  readonly time: string;
  readonly level: string;
  readonly msg: string;
  readonly prefix?: string;
  readonly shape?: string;
  readonly reason?: string;
  readonly portId?: string;
  readonly revisionNumber?: number;
  readonly requestId?: string;
};

export type Hypervisor = {
  readonly name: string;
  readonly gobgpd: Gobgpd;
  readonly configFile: string;
  readonly metricsUrl: string;
  process(): LabProcess;
  /** Starts the daemon again, with another configuration if one is given. */
  start(change?: ConfigChange): Promise<void>;
  /** Waits until the daemon is in sync and its peers are established. */
  ready(timeoutMs?: number): Promise<void>;
  /** Runs the command line against this daemon. */
  cli(...args: readonly string[]): Promise<CliResult>;
  status(): Promise<StatusAnswer>;
  routes(): Promise<readonly RouteRow[]>;
  log(): readonly LogLine[];
};

export type HypervisorOptions = {
  readonly name: string;
  readonly router: Pick<Bird, 'name' | 'address' | 'port'>;
  /** Where gobgpd listens: the router's configuration names it before either runs. */
  readonly address: string;
  /** The `sources` section. */
  readonly sources: ConfigChange;
  readonly networks?: readonly string[] | '*';
  readonly change?: ConfigChange;
  /** Default: the GoBGP that is installed. */
  readonly gobgp?: GobgpVersion;
};

/** Starts gobgpd and the daemon; resolves when the daemon answers its operator socket. */
export async function startHypervisor(lab: Lab, options: HypervisorOptions): Promise<Hypervisor> {
  const { name } = options;
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build`);
  mkdirSync(lab.path(name));
  const gobgpd = await startGobgpd(lab, {
    name: `${name}-gobgpd`,
    host: options.address,
    ...(options.gobgp && { version: options.gobgp }),
  });
  const httpPort = await freePort();
  const configFile = lab.path(name, 'agent.yaml');
  const base = labConfig(options, gobgpd, httpPort);

  const start = async (change: ConfigChange = {}): Promise<LabProcess> => {
    writeFileSync(configFile, stringify({ ...base, ...options.change, ...change }));
    const started = lab.start(`${name}-daemon`, process.execPath, [MAIN, 'run', '--config', configFile]);
    await until(`the daemon of ${name}`, async () => {
      if (started.hasEnded()) throw new Error(logTail(started));
      return (await cli('status', '--json')).stdout.startsWith('{');
    });
    return started;
  };
  const cli = (...args: readonly string[]): Promise<CliResult> =>
    new Promise((resolve) => {
      const env = { ...process.env, NEUTRON_BGP_AGENT_CONFIG: configFile };
      execFile(process.execPath, [MAIN, ...args], { env, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1, stdout, stderr });
      });
    });
  const json = async <T>(...args: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await cli(...args, '--json');
    // 1 is an answer too: not everything is as it should be.
    if (code > 1) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  };

  let running = await start();
  return {
    name,
    gobgpd,
    configFile,
    metricsUrl: `http://127.0.0.1:${httpPort}/metrics`,
    process: () => running,
    async start(change) {
      if (!running.hasEnded()) await running.stop();
      running = await start(change);
    },
    async ready(timeoutMs = 30_000) {
      await until(
        `${name} in sync with established peers`,
        async () => {
          const { sources, speaker, peers } = await json<StatusAnswer>('status');
          const isUp = peers.length > 0 && peers.every(({ state }) => state === 'established');
          return sources.every(({ inSync }) => inSync) && speaker.state === 'ready' && isUp;
        },
        timeoutMs,
        200,
      );
    },
    cli,
    status: () => json<StatusAnswer>('status'),
    routes: () => json<readonly RouteRow[]>('routes'),
    log: () =>
      readFileSync(running.logFile, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as LogLine),
  };
}

/** The configuration file of a hypervisor's daemon. */
export function labConfig(
  { name, router, sources, networks }: Omit<HypervisorOptions, 'address'>,
  gobgpd: Gobgpd,
  httpPort: number,
): ConfigChange {
  return {
    host: name,
    stateDirectory: 'state',
    operator: { socket: 'operator.sock' },
    http: { listen: `127.0.0.1:${httpPort}` },
    log: { level: 'debug' },
    sources: atOnce(sources),
    announce: {
      ...(networks !== undefined && { networks }),
      prefixes: PREFIXES,
      nextHop: { ipv6: NEXT_HOP_IPV6 },
    },
    gobgp: {
      address: gobgpd.socket,
      asn: ASN,
      routerId: gobgpd.host,
      listenPort: gobgpd.listenPort,
      listenAddresses: [gobgpd.host],
    },
    peers: [
      {
        address: router.address,
        asn: ROUTER_ASN,
        description: router.name,
        localAddress: gobgpd.host,
        remotePort: router.port,
        multihopTtl: 2,
      },
    ],
  };
}

/** A lab has few agents, and nobody to wait for when they lose their broker together. */
function atOnce(sources: ConfigChange): ConfigChange {
  const { neutron } = sources;
  return neutron === undefined ? sources : { ...sources, neutron: { reconnectSpreadSeconds: 0, ...(neutron as ConfigChange) } };
}
