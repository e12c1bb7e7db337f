/**
 * `npm run demo`: the whole road on loopback, in front of your eyes. A port binding goes in at Neutron (a stand-in, or with
 * `--neutron` a real server), over a real RabbitMQ to the daemon, which has a real gobgpd announce the address to a real BIRD.
 *
 * `--once` ends after the steps; the exit code is 0 only if BIRD's table was right at each of them.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Bird, startBird } from './bird.ts';
import { startNeutronCloud, startStandInCloud } from './cloud.ts';
import { ASN, type Hypervisor, type LogLine, ROUTER_ASN, startHypervisor } from './hypervisor.ts';
import { Lab, until } from './lab.ts';
import { loopbackAddress } from './loopback.ts';
import { startRabbit } from './rabbitmq.ts';

const args = new Set(process.argv.slice(2));
for (const arg of args) {
  if (arg === '--once' || arg === '--neutron') continue;
  console.error(`unknown argument ${arg}\nusage: npm run demo [-- --once] [-- --neutron]`);
  process.exit(2);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

const lab = new Lab('demo');
try {
  process.exitCode = await demo(lab);
} catch (error) {
  if (!stop.signal.aborted) {
    console.error(`\nThe demo could not go on: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
} finally {
  await lab.close();
}

async function demo(in_: Lab): Promise<number> {
  say('Starting RabbitMQ ...');
  const rabbit = await startRabbit(in_);
  if (args.has('--neutron')) say('Starting a Neutron server with its database (half a minute) ...');
  const cloud = args.has('--neutron') ? await startNeutronCloud(in_, rabbit.url, ['hv1', 'hv2']) : await startStandInCloud(in_, rabbit.url);
  const boot = async (address: string): Promise<void> => {
    const portId = await cloud.create({ host: 'hv1', addresses: [address] });
    await cloud.wire(portId, 'hv1');
    ports.push(portId);
  };
  say(`Neutron is ${cloud.what}. Starting gobgpd, BIRD and the daemon ...`);
  const address = loopbackAddress();
  const router = await startBird(in_, { name: 'tor1', asn: ROUTER_ASN, neighbors: [{ name: 'hv1', address, asn: ASN }] });
  const hv1 = await startHypervisor(in_, {
    name: 'hv1',
    address,
    router,
    networks: [cloud.publicNetworkId],
    sources: { neutron: { transportUrl: rabbit.url.replace(/^amqp:/, 'rabbit:') } },
  });
  await hv1.ready();
  say('Everything is up: the daemon is in sync with Neutron, and its gobgpd has a session with BIRD.');

  const ports: string[] = [];
  const steps: readonly { readonly event: string; readonly act: () => Promise<unknown>; readonly expect: readonly string[] }[] = [
    { event: 'instance 1 boots on hv1 with 203.0.113.11', act: () => boot('203.0.113.11'), expect: ['11'] },
    {
      event: 'instance 2 boots on hv1 with 203.0.113.12',
      act: () => boot('203.0.113.12'),
      expect: ['11', '12'],
    },
    {
      event: 'instance 3 boots on hv1 with 203.0.113.13',
      act: () => boot('203.0.113.13'),
      expect: ['11', '12', '13'],
    },
    { event: 'instance 2 is live-migrated to hv2', act: () => cloud.liveMigrate(ports[1] ?? '', 'hv1', 'hv2'), expect: ['11', '13'] },
    { event: 'instance 1 is deleted', act: () => cloud.remove(ports[0] ?? ''), expect: ['13'] },
  ];
  let right = 0;
  for (const [index, { event, act, expect }] of steps.entries()) {
    stop.signal.throwIfAborted();
    console.log(`\n=== ${index + 1}. ${event}`);
    const before = hv1.log().length;
    await act();
    const isRight = await showStep(
      hv1,
      router,
      before,
      expect.map((octet) => `203.0.113.${octet}/32`),
    );
    right += isRight ? 1 : 0;
  }
  console.log(`\ndemo: ${right} of ${steps.length} steps right`);
  if (!args.has('--once')) await stayUp(hv1);
  return right === steps.length ? 0 : 1;
}

/** Waits for the router's table to be right, then prints what the daemon did and what the router has. */
async function showStep(hv1: Hypervisor, router: Bird, before: number, expect: readonly string[]): Promise<boolean> {
  const table = async (): Promise<string> =>
    (await router.routes())
      .map(({ prefix }) => prefix)
      .toSorted()
      .join(' ');
  const isRight = await until('the table of the router', async () => (await table()) === expect.toSorted().join(' '), 15_000).then(
    () => true,
    () => false,
  );
  const decisions = (): readonly LogLine[] =>
    hv1
      .log()
      .slice(before)
      .filter(({ msg }) => msg === 'advertised' || msg === 'withdrawn');
  // The router may be quicker than the log.
  await until('the daemon has said what it did', () => decisions().length > 0, 2_000).catch(() => undefined);
  console.log('--- what the daemon decided');
  for (const line of decisions()) console.log(`    ${sentence(line)}`);
  console.log("--- BIRD's table");
  console.log(
    (await router.command('show route'))
      .split('\n')
      .filter((line) => !/^(BIRD|Access|Table)/.test(line))
      .map((line) => `    ${line}`)
      .join('\n')
      .trimEnd(),
  );
  console.log(isRight ? '--- right' : `--- WRONG: expected ${expect.join(' ')}`);
  return isRight;
}

function sentence({ msg, prefix, shape, reason, portId, revisionNumber }: LogLine): string {
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${msg} ${prefix}${msg === 'advertised' ? ` in ${shape} shape` : ''}${why} (port ${portId}, revision ${revisionNumber})`;
}

async function stayUp(hv1: Hypervisor): Promise<void> {
  const command = 'node dist/main.js';
  console.log(`
It stays up until Ctrl-C. In another terminal, in this folder:
    export NEUTRON_BGP_AGENT_CONFIG=${hv1.configFile}
    ${command} status
    ${command} routes
    ${command} peers
    ${command} explain 203.0.113.13      and .12, which moved away
    curl ${hv1.metricsUrl}`);
  await pause(2 ** 31 - 1, undefined, { signal: stop.signal }).catch(() => undefined);
  console.log('\nEnding everything that was started.');
}

function say(text: string): void {
  console.log(text);
}
