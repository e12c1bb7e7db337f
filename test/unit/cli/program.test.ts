/** The command line against a real operator API with canned answers: what is asked, what is printed, which exit code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../src/cli/program.ts';
import { ConfigError } from '../../../src/config/config.ts';
import { AgentError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { type OperatorHandlers, startOperatorApi } from '../../../src/ops/operator-api.ts';
import { packageVersion } from '../../../src/ops/version.ts';
import { Lab } from '../../lab/lab.ts';
import { announced, fineStatus, notAnnounced, peers, routes, status } from './answers.ts';

const holder = { pid: 1, version: '0.1.0', host: 'compute-1', startedAt: '2026-01-15T10:00:00Z' };
const handlers: OperatorHandlers = {
  routes: () => Promise.resolve(routes),
  peers: () => Promise.resolve(peers),
  explain: (address) => Promise.resolve(address === announced.address ? announced : notAnnounced),
  status: () => Promise.resolve(fineStatus),
  rebuild: (isSure) =>
    Promise.resolve({
      isDone: isSure,
      changes: ['gobgp.asn (now 64512, configured 64513)'],
      interrupts: { peers: ['192.0.2.253'], routes: 7 },
      needsRestart: true,
    }),
};

describe('the command line', () => {
  let lab: Lab;
  let socket: string;
  let ran: string[];
  let installed: string | undefined;
  let failure: Error | undefined;
  const closers: (() => Promise<void>)[] = [];

  const serve = async (changes: Partial<OperatorHandlers> = {}): Promise<void> => {
    const api = await startOperatorApi({ socketPath: socket, holder, handlers: { ...handlers, ...changes }, log: silentLog });
    closers.push(api.close);
  };
  const cli = async (args: readonly string[], env: Record<string, string> = {}) => {
    let [out, err] = ['', ''];
    const terminal = {
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      columns: undefined,
      colour: false,
      env,
      now: () => new Date('2026-01-16T12:30:00Z'),
    };
    const run = (file: string): Promise<void> => {
      ran.push(file);
      return failure === undefined ? Promise.resolve() : Promise.reject(failure);
    };
    const code = await runCli(args, { run, installedGobgpd: () => installed }, terminal);
    return { code, out, err };
  };

  beforeEach(() => {
    lab = new Lab('cli');
    installed = undefined;
    socket = lab.path('operator.sock');
    ran = [];
    failure = undefined;
  });
  afterEach(async () => {
    await Promise.all(closers.splice(0).map((close) => close()));
    await lab.close();
  });

  it.each([
    ['routes', ['routes'], 0, /^PREFIX .*\n203\.0\.113\.10\/32 {3}desired/],
    ['peers', ['peers'], 0, /^PEER .*\n192\.0\.2\.254 /],
    ['explain, announced', ['explain', '203.0.113.10'], 0, /^203\.0\.113\.10\/32 is announced\n/],
    ['explain, not announced', ['explain', '203.0.113.12'], 1, /^203\.0\.113\.12\/32 is not announced: rejected: bound-elsewhere\n/],
    ['status, fine', ['status'], 0, /^agent {6}0\.1\.0 on compute-1/],
  ])('%s', async (_, args, code, expected) => {
    await serve();
    const answer = await cli([...args, '--socket', socket]);
    expect(answer).toEqual({ code, out: expect.stringMatching(expected) as string, err: '' });
  });

  it.each([
    ['routes', ['routes'], routes],
    ['peers', ['peers'], peers],
    ['explain', ['explain', '203.0.113.10'], announced],
    ['status', ['status'], fineStatus],
  ])("%s --json is the daemon's answer", async (_, args, expected) => {
    await serve();
    expect(JSON.parse((await cli([...args, '--json', '--socket', socket])).out)).toEqual(expected);
  });

  it('status says no when something is not as it should be', async () => {
    await serve({ status: () => Promise.resolve(status) });
    expect((await cli(['status', '--socket', socket])).code).toBe(1);
  });

  it('finds the socket by a configuration that it cannot read secrets of', async () => {
    await serve();
    const file = lab.path('agent.yaml');
    writeFileSync(file, 'operator: { socket: operator.sock }\npeers: [{ passwordFile: /nowhere }]\n');
    expect((await cli(['peers', '--config', file])).code).toBe(0);
    expect((await cli(['peers'], { NEUTRON_BGP_AGENT_CONFIG: file })).code).toBe(0);
  });

  it.each([
    [
      'nobody is there',
      undefined,
      /the daemon is not running: nothing answers at .*operator\.sock\.\nStart it with "neutron-bgp-agent run/,
    ],
    ['somebody else is there', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi', /is not the daemon/],
    ['somebody hangs up', '', /does not answer: socket hang up/],
  ])('exit code 3 when %s', async (_, reply, expected) => {
    if (reply !== undefined) {
      const other = createServer((connection) => {
        connection.on('error', () => connection.destroy());
        connection.once('data', () => connection.end(reply));
      });
      await new Promise<void>((resolve) => {
        other.listen(socket, resolve);
      });
      closers.push(() => new Promise((resolve) => other.close(() => resolve())));
    }
    expect(await cli(['routes', '--socket', socket])).toEqual({ code: 3, out: '', err: expect.stringMatching(expected) as string });
  });

  it('rebuild says what it would interrupt, and does it only when it is told to', async () => {
    await serve();
    const asked = await cli(['rebuild', '--socket', socket]);
    expect(asked.code).toBe(1);
    expect(asked.out).toMatch(
      /would stop GoBGP[^]*192\.0\.2\.253 end[^]*7 routes[^]*configured 64513[^]*restarted by hand[^]*Nothing was done/,
    );
    const done = await cli(['rebuild', '--yes', '--socket', socket]);
    expect(done.code).toBe(0);
    expect(done.out).toMatch(/^GoBGP was stopped/);
    expect(done.out).not.toMatch(/Nothing was done/);
  });

  it("passes on the daemon's own error", async () => {
    await serve({ peers: () => Promise.reject(new AgentError('speaker-away', 'retryable', 'GoBGP does not answer')) });
    expect(await cli(['peers', '--socket', socket])).toEqual({ code: 1, out: '', err: 'neutron-bgp-agent: GoBGP does not answer\n' });
  });

  it.each([
    ['an unknown command', ['rotues'], /unknown command 'rotues'.*Did you mean routes/s],
    ['an unknown option', ['routes', '--jsn'], /unknown option '--jsn'/],
    ['no address', ['explain'], /missing required argument 'address'/],
    ['no address at all', ['explain', 'web-1', '--socket', '/nowhere'], /"web-1" is not one IPv4 or IPv6 address/],
    ['a prefix', ['explain', '203.0.113.0/24', '--socket', '/nowhere'], /is not one IPv4 or IPv6 address/],
    ['a configuration that is not there', ['routes', '--config', '/nowhere.yaml'], /cannot read \/nowhere\.yaml: ENOENT/],
  ])('exit code 2 for %s', async (_, args, expected) => {
    expect(await cli(args)).toEqual({ code: 2, out: '', err: expect.stringMatching(expected) as string });
  });

  it('--version and --help', async () => {
    expect(await cli(['--version'])).toEqual({ code: 0, out: `${packageVersion()}\n`, err: '' });
    const { code, out } = await cli(['--help']);
    expect(code).toBe(0);
    for (const word of ['run', 'config', 'routes', 'peers', 'explain', 'status', 'Exit codes:', '3  the daemon is not reachable'])
      expect(out).toContain(word);
  });

  describe('config', () => {
    const good =
      'sources: { file: { path: b.yaml } }\nannounce: { prefixes: [203.0.113.0/24] }\ngobgp: { asn: 64512, routerId: 192.0.2.1 }\n';

    it('check: a file that can be used, with its warnings', async () => {
      const file = lab.path('agent.yaml');
      writeFileSync(file, `${good}peers: [{ address: 192.0.2.254, asn: 64500, holdTimeSeconds: 6, keepaliveSeconds: 2 }]\n`);
      const { code, out } = await cli(['config', 'check', file]);
      expect([code, out]).toEqual([
        0,
        expect.stringMatching(/^warning: peers\[0\] \(192\.0\.2\.254\): holdTimeSeconds is 6.*\n.*can be used\n$/),
      ]);
      expect(JSON.parse((await cli(['config', 'check', file, '--json'])).out)).toMatchObject({
        ok: true,
        problems: [],
        warnings: [expect.any(String)],
      });
    });

    it('check: what is wrong with the gobgpd of this machine', async () => {
      const file = lab.path('agent.yaml');
      writeFileSync(file, `${good}peers: [{ address: 192.0.2.254, asn: 64500, gracefulRestart: { enabled: false }, bfd: {} }]\n`);
      installed = 'gobgpd version 4.8.0';
      expect((await cli(['config', 'check', file])).out).not.toContain('warning');
      installed = 'gobgpd version 4.5.0';
      expect((await cli(['config', 'check', file])).out).toMatch(
        /warning: GoBGP 4\.5\.0 may leave[^]*192\.0\.2\.254 asks for bfd, which needs GoBGP 4\.6/,
      );
      writeFileSync(file, readFileSync(file, 'utf8').replace('gobgp: {', 'gobgp: { address: "192.0.2.7:50051", '));
      expect((await cli(['config', 'check', file])).out).not.toContain('4.5.0');
    });

    it('check: a file that cannot be used, with every problem', async () => {
      const file = lab.path('agent.yaml');
      writeFileSync(file, `${good}peers: [{ address: 192.0.2.254, ans: 64500 }]\n`);
      const { code, out } = await cli(['config', 'check', file]);
      expect(code).toBe(2);
      expect(out).toMatch(
        /agent\.yaml:4:\d+: peers\[0\]\.asn: is missing\n.*agent\.yaml:4:\d+: peers\[0\]\.ans: unknown key; did you mean asn\?\n.*cannot be used: 2 problems\n$/,
      );
      expect(JSON.parse((await cli(['config', 'check', file, '--json'])).out)).toMatchObject({
        ok: false,
        problems: [expect.any(String), expect.any(String)],
      });
    });

    it('schema prints a JSON Schema', async () => {
      const { code, out } = await cli(['config', 'schema']);
      expect([code, JSON.parse(out)]).toMatchObject([0, { title: 'neutron-bgp-agent', type: 'object' }]);
    });
  });

  describe('run', () => {
    it.each([
      ['--config', ['run', '--config', '/a.yaml'], {}, '/a.yaml'],
      ['the environment', ['run'], { NEUTRON_BGP_AGENT_CONFIG: '/b.yaml' }, '/b.yaml'],
      ['the default', ['run'], {}, '/etc/neutron-bgp-agent/agent.yaml'],
    ])('takes the file of %s', async (_, args, env, expected) => {
      expect((await cli(args, env)).code).toBe(0);
      expect(ran).toEqual([expected]);
    });

    it.each([
      ['a wrong configuration', new ConfigError(['a.yaml:1:1: no']), 2, 'a.yaml:1:1: no\n'],
      ['a second daemon', new AgentError('already-running', 'terminal', 'another daemon'), 1, 'neutron-bgp-agent: another daemon\n'],
    ])('ends with the right code: %s', async (_, error, code, err) => {
      failure = error;
      expect(await cli(['run'])).toEqual({ code, out: '', err });
    });

    it('shows where an unexpected error came from, but no secret', async () => {
      failure = new Error('amqp://u:hunter2@h');
      const { code, err } = await cli(['run']);
      expect([code, err]).toEqual([1, expect.stringMatching(/^neutron-bgp-agent: Error: amqp:\/\/\*\*\*@h\n\s+at /)]);
    });
  });
});
