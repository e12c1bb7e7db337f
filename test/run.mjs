/**
 * The repository's commands: make the machine ready, run the steps of one command, count, and see that no process stays behind.
 *
 *   node test/run.mjs build|check|contract|integration|test|demo|bench [arguments of the suites, the demo or the benchmark]
 *
 * Plain JavaScript without dependencies, because it runs before `npm ci`. What set-up does goes to stderr, so that `bench --json`
 * has stdout to itself.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areNpmPackagesInstalled } from './setup/npm-packages.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const minutes = 60_000;

/** A tool passes or fails as one, and is quiet when it passes. */
const tool = (name, ...args) => ({ program: bin(name), args });
/** A suite is a vitest project; its tests are counted one by one. */
const suite = (project, limitMs) => ({ project, limitMs });

const steps = {
  types: tool('tsc', '-p', 'tsconfig.json'),
  build: locked('tsconfig.build.json', tool('tsc', '-p', 'tsconfig.build.json')),
  lint: tool('oxlint', '--type-aware', '--deny-warnings'),
  format: tool('biome', 'format', '.'),
  'dead code': tool('knip'),
  unit: suite('unit', 3 * minutes),
  property: suite('property', 3 * minutes),
  contract: suite('contract', 8 * minutes),
  integration: suite('integration', 15 * minutes),
};

const road = ['gobgpd', 'bird2', 'rabbitmq-server'];
// MariaDB's server without the package that makes a system database and a service of it.
const neutron = ['neutron-common', 'python3-neutron', 'python3-pymysql', 'mariadb-server-core', 'mariadb-client-core'];
const everything = [...road, 'frr', 'iproute2', 'openssl', ...neutron];

const check = ['types', 'build', 'lint', 'format', 'dead code', 'unit', 'property'];
const commands = {
  build: { steps: ['build'] },
  check: { steps: check },
  contract: { steps: ['build', 'contract'], debian: everything },
  integration: { steps: ['build', 'integration'], debian: everything },
  test: { steps: [...check, 'contract', 'integration'], debian: everything },
  demo: { steps: ['build'], program: 'test/lab/demo.ts', debian: road },
  bench: { steps: ['build'], program: 'test/bench/bench.ts', debian: road },
};

function bin(name) {
  return join(root, 'node_modules/.bin', name);
}

/** One at a time per checkout; the lock (flock of util-linux) ends with its holder, and a tool without it runs unlocked. */
function locked(file, { program, args }) {
  return existsSync('/usr/bin/flock') ? { program: 'flock', args: ['--close', join(root, file), program, ...args] } : { program, args };
}

const [commandName = 'test', ...rest] = process.argv.slice(2);
const userArgs = rest[0] === '--' ? rest.slice(1) : rest;
const command = commands[commandName];
if (command === undefined) fail(`unknown command ${commandName}; there are: ${Object.keys(commands).join(', ')}`);
makeReady(command.program !== undefined && userArgs.includes('--neutron') ? [...road, ...neutron] : (command.debian ?? []));

// All temporary files of the run go in here, and every process of the run is known by it.
const folder = mkdtempSync(join(tmpdir(), 'nba-'));
chmodSync(folder, 0o711); // daemons that change their user pass through
const env = {
  ...process.env,
  TMPDIR: folder,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`, // bird and its like, for those who are not root
};
const isCounting = command.program === undefined && commandName !== 'build';
const log = isCounting ? console.log : console.error;
let current;
let interruptedBy;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt(signal));
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
process.exitCode = await main();

/** Brings what is missing, or ends the run with what to do. */
function makeReady(debianPackages) {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const needed = engines.node.replace('>=', '');
  if (needed.localeCompare(process.versions.node, undefined, { numeric: true }) > 0)
    fail(`Node ${needed} or newer is needed; this is ${process.versions.node}`);
  if (!areNpmPackagesInstalled(root)) {
    const install = locked('package-lock.json', { program: process.execPath, args: [join(root, 'test/setup/npm-packages.mjs')] });
    if (spawnSync(install.program, install.args, { stdio: ['ignore', 2, 2] }).status !== 0) fail('npm ci failed; nothing was run');
  }
  if (debianPackages.length > 0) {
    const install = [join(root, 'test/setup/debian-packages.sh'), ...debianPackages];
    if (spawnSync('bash', install, { stdio: ['ignore', 2, 2] }).status !== 0) fail('not everything is installed; nothing was run');
  }
}

async function main() {
  const start = performance.now();
  const total = { passed: 0, failed: 0 };
  for (const step of command.steps) {
    const { passed, failed } = await runStep(step);
    total.passed += passed;
    total.failed += failed;
  }
  if (command.program !== undefined && total.failed === 0) {
    const { code } = await run(process.execPath, ['--import', 'tsx', join(root, command.program), ...userArgs]);
    return (await endLeftovers()) > 0 ? 1 : code;
  }
  if (isCounting) {
    log(`${commandName} took ${seconds(start)}`);
    log(`${total.passed} passed, ${total.failed} failed`);
  }
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

/** @returns how many passed and failed: tests of a suite, or the tool as one */
async function runStep(name) {
  const step = steps[name];
  const start = performance.now();
  if (step.project === undefined) {
    const { code, output } = await run(step.program, step.args, { isQuiet: true });
    if (code !== 0) log(output.trimEnd());
    if (isCounting || code !== 0) log(`${code === 0 ? 'ok  ' : 'FAIL'}  ${name.padEnd(12)} ${seconds(start)}`);
    return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  }
  const report = join(folder, `${step.project}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const { code } = await run(bin('vitest'), ['run', '--project', step.project, ...reporters, ...userArgs], { limitMs: step.limitMs });
  const { passed, failed } = count(report, code);
  const left = await endLeftovers();
  log(
    `${code === 0 && failed + left === 0 ? 'ok  ' : 'FAIL'}  ${name.padEnd(12)} ${seconds(start)}  ${passed} passed, ${failed + left} failed`,
  );
  return { passed, failed: failed + left };
}

/** Reads vitest's report. A test that was skipped did not pass, and a suite in which nothing ran did not either. */
function count(report, code) {
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const skipped = userArgs.length === 0 ? numPendingTests + numTodoTests : 0; // arguments may choose tests, and the others are skipped
  const brokenFiles = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status === 'passed'),
  );
  const failed = numFailedTests + skipped + brokenFiles.length;
  return { passed: numPassedTests, failed: failed === 0 && (code !== 0 || numPassedTests === 0) ? 1 : failed };
}

/** In a process group of its own, so that Ctrl-C reaches it once, through `interrupt`. */
function run(program, args, { isQuiet = false, limitMs } = {}) {
  return new Promise((resolve) => {
    let output = '';
    const io = isQuiet ? 'pipe' : 'inherit';
    current = spawn(program, args, { cwd: root, env, detached: true, stdio: ['ignore', io, io] });
    for (const stream of [current.stdout, current.stderr]) stream?.on('data', (chunk) => (output += chunk));
    const limit = limitMs === undefined ? undefined : setTimeout(endOverdue, limitMs, program, limitMs);
    const end = (result) => {
      clearTimeout(limit);
      if (interruptedBy !== undefined) endInterrupted(result.code);
      resolve(result);
    };
    current.on('error', (error) => end({ code: 127, output: `${program}: ${error.message}` }));
    current.on('close', (code) => end({ code: code ?? 1, output }));
  });
}

function endOverdue(program, limitMs) {
  log(`${program} did not end within ${limitMs / minutes} minutes`);
  endOurs();
}

/** Passes the signal on and waits for what runs to clean up; the second time, or after 10 s, it ends everything. */
function interrupt(signal) {
  if (interruptedBy !== undefined) return endOurs();
  interruptedBy = signal;
  current?.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  setTimeout(endOurs, 10_000).unref();
}

/** The demo ends by being interrupted, and says with its code whether that went well. */
function endInterrupted(code) {
  endOurs();
  process.exit(command.program !== undefined && code === 0 ? 0 : 128 + constants.signals[interruptedBy]);
}

/** Ends the processes of this run that are still there, and names them. What is about to end gets 3 s for it. */
async function endLeftovers() {
  const end = performance.now() + 3_000;
  while (ours().length > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  const left = ours();
  for (const { pid, commandLine } of left) log(`left behind: process ${pid}: ${commandLine}`);
  endOurs();
  return left.length;
}

/** Again until none is left: a killed worker's parent may have started another. */
function endOurs() {
  const end = performance.now() + 3_000;
  for (let left = ours(); left.length > 0 && performance.now() < end; left = ours()) for (const { pid } of left) kill(pid);
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** The processes of this run, wherever they moved to since. */
function ours() {
  if (!existsSync('/proc/self/environ')) return [];
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid && isOurs(pid))
    .map((pid) => ({ pid: Number(pid), commandLine: read(pid, 'cmdline').replaceAll('\0', ' ').slice(0, 120) }));
}

/** By what it inherited; one that wrote its title over its environment (Neutron's do), by where it works. */
function isOurs(pid) {
  const environment = read(pid, 'environ');
  if (environment.includes('PATH=')) return `\0${environment}`.includes(`\0TMPDIR=${folder}`);
  return read(pid, 'cwd', readlinkSync).startsWith(folder);
}

/** Empty for a process that is gone, or another user's. */
function read(pid, file, how = (path) => readFileSync(path, 'utf8')) {
  try {
    return how(`/proc/${pid}/${file}`);
  } catch {
    return '';
  }
}

function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
