/**
 * A RabbitMQ node of the lab's own, beside any other on the machine: own node name, own epmd, own ports, own cookie,
 * own folders, all on 127.0.0.1. It starts Debian's scripts directly, because the wrappers in /usr/sbin change user and folder.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { promisify } from 'node:util';
import { connect } from 'amqplib';
import { freePort, type Lab, type LabProcess, logTail, until } from './lab.ts';

const SCRIPTS = '/usr/lib/rabbitmq/bin';

export type RabbitNode = {
  /** `amqp://guest:guest@127.0.0.1:PORT/`. */
  readonly url: string;
  readonly port: number;
  /** Runs `rabbitmqctl` against this node and gives its output; takes one to two seconds. */
  ctl(...args: string[]): Promise<string>;
  /** Ends the broker, gracefully unless told otherwise; `start` brings it back on the same port with what was durable. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
  restart(): Promise<void>;
  /** The broker stands still, with its sockets open, until `resume`. */
  pause(): void;
  resume(): void;
};

/** @param options `config`: more lines for rabbitmq.conf */
export async function startRabbit(lab: Lab, options: { config?: readonly string[] } = {}): Promise<RabbitNode> {
  const name = `lab-${randomBytes(4).toString('hex')}`;
  const folder = lab.path(name);
  mkdirSync(folder);
  const [port, epmdPort, distPort] = [await freePort(), await freePort(), await freePort()];
  writeFileSync(`${folder}/.erlang.cookie`, randomBytes(16).toString('hex'), { mode: 0o400 });
  writeFileSync(`${folder}/enabled_plugins`, '[].\n');
  writeFileSync(`${folder}/rabbitmq.conf`, [`listeners.tcp.1 = 127.0.0.1:${port}`, ...(options.config ?? []), ''].join('\n'));
  const env = {
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_NODENAME: `${name}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
    RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
    RABBITMQ_PID_FILE: `${folder}/pid`,
    // One scheduler that never spins: a lab shares its machine with others.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
  };
  const url = `amqp://guest:guest@127.0.0.1:${port}/`;

  // In the foreground and before the broker, which would leave one of its own behind.
  const epmd = lab.start(`${name}-epmd`, 'epmd', ['-address', '127.0.0.1', '-port', String(epmdPort)]);
  await until('epmd to listen', () => epmd.hasEnded() || canConnect(epmdPort));

  let broker: LabProcess | undefined;
  // The process that was started is a script, which waits for this one.
  const brokerPid = (): number => Number(readFileSync(`${folder}/pid`, 'utf8'));
  const node: RabbitNode = {
    url,
    port,
    async ctl(...args) {
      const { stdout } = await promisify(execFile)(`${SCRIPTS}/rabbitmqctl`, ['--silent', ...args], {
        env: { ...process.env, ...env },
        cwd: folder,
      });
      return stdout;
    },
    pause: () => void process.kill(brokerPid(), 'SIGSTOP'),
    resume: () => void process.kill(brokerPid(), 'SIGCONT'),
    async stop(signal = 'SIGTERM') {
      await broker?.stop(signal);
      broker = undefined;
    },
    async start() {
      const started = lab.start(name, `${SCRIPTS}/rabbitmq-server`, [], { env, cwd: folder });
      broker = started;
      await until(
        'RabbitMQ to answer',
        async () => {
          if (started.hasEnded()) return true;
          const connection = await connect(url);
          await connection.close();
          return true;
        },
        40_000,
        100,
      );
      if (started.hasEnded()) throw new Error(`RabbitMQ ended while starting:\n${logTail(started)}`);
    },
    async restart() {
      await node.stop();
      await node.start();
    },
  };
  await node.start();
  return node;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
