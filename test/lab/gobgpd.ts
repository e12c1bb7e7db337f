/** A real gobgpd without any configuration file: everything it is to be comes over its API. */
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { type GobgpVersion, GOBGP_3_10, gobgpdBinary } from './gobgp-versions.ts';
import { freePort, type Lab, type LabProcess, logTail, until } from './lab.ts';
import { loopbackAddress } from './loopback.ts';

export type GobgpdOptions = {
  readonly name?: string;
  /** Default: what is installed. */
  readonly version?: GobgpVersion;
  /** Its own address on loopback: for the API, for BGP, and as the peers' `localAddress`. */
  readonly host?: string;
  /** Put before the command, for example `ip netns exec NAME`. */
  readonly wrapper?: readonly string[];
  readonly logLevel?: 'debug' | 'info';
  /** More arguments: `--tls`, ... */
  readonly args?: readonly string[];
};

export type Gobgpd = {
  readonly host: string;
  /** The gRPC API: `127.x.y.z:PORT`. */
  readonly address: string;
  /** The same API as `unix:///PATH`. */
  readonly socket: string;
  /** A port that is free on `host`, for StartBgp; nothing listens there before. */
  readonly listenPort: number;
  process(): LabProcess;
  /** Ends it without a word to its peers (SIGKILL). */
  kill(): Promise<void>;
  /** Starts it again, empty, with the same addresses, as another release if one is given; kills it first when it still runs. */
  restart(version?: GobgpVersion): Promise<void>;
  stop(): Promise<void>;
};

/** Resolves when the API accepts connections. */
export async function startGobgpd(lab: Lab, options: GobgpdOptions = {}): Promise<Gobgpd> {
  const { name = 'gobgpd', version = GOBGP_3_10, host = loopbackAddress(), wrapper = [], logLevel = 'info', args = [] } = options;
  const port = await freePort(host);
  const listenPort = await freePort(host);
  const socketPath = lab.path(`${name}.sock`);
  const flags = ['--api-hosts', `${host}:${port},unix://${socketPath}`, '--pprof-disable', '-l', logLevel, ...args];

  const start = async (release: GobgpVersion): Promise<LabProcess> => {
    const [command = '', ...rest] = [...wrapper, gobgpdBinary(release), ...flags];
    // a gobgpd that was killed leaves its socket, and the next one refuses to start on it
    rmSync(socketPath, { force: true });
    const started = lab.start(name, command, rest);
    await until(
      `${name} answering on ${socketPath}`,
      () => {
        if (started.hasEnded()) throw new Error(logTail(started));
        return accepts(socketPath);
      },
      15_000,
    );
    return started;
  };

  let running = await start(version);
  const kill = async (): Promise<void> => {
    running.kill('SIGKILL');
    await running.ended;
  };
  return {
    host,
    address: `${host}:${port}`,
    socket: `unix://${socketPath}`,
    listenPort,
    process: () => running,
    kill,
    async restart(next = version) {
      if (!running.hasEnded()) await kill();
      running = await start(next);
    },
    stop: () => running.stop(),
  };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
