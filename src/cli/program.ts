/**
 * The command line: its commands, options and exit codes. Operator commands ask the running daemon over its socket;
 * none of them reads the daemon's secrets.
 */
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config/config.ts';
import { DEFAULT_CONFIG_FILE, loadConfig, operatorSocketOf } from '../config/load.ts';
import { configJsonSchema, DEFAULT_OPERATOR_SOCKET } from '../config/schema.ts';
import type { ExplainAnswer, PeerRow, RebuildAnswer, RouteRow, StatusAnswer } from '../core/status.ts';
import { hostPrefix } from '../domain/prefix.ts';
import { installedWarnings, isLocalAddress } from '../gobgp/installed.ts';
import { AgentError, messageOf } from '../lib/errors.ts';
import { redactedText } from '../ops/redact.ts';
import { packageVersion } from '../ops/version.ts';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from './exit-codes.ts';
import { type Ask, operatorClient } from './operator-client.ts';
import { isFine, renderExplain, renderPeers, renderRebuild, renderRoutes, renderStatus } from './render.ts';
import { processTerminal, type Terminal } from './terminal.ts';

/** What the command line cannot do itself. */
export type Actions = {
  /** Runs the daemon until it is told to stop. */
  readonly run: (configFile: string) => Promise<void>;
  /** What `gobgpd --version` prints on this machine; undefined where there is none. */
  readonly installedGobgpd: () => string | undefined;
};

/** Names the config file when `--config` does not. */
const CONFIG_VARIABLE = 'NEUTRON_BGP_AGENT_CONFIG';

type OperatorOptions = { readonly json?: boolean; readonly socket?: string; readonly config?: string };

/**
 * Runs one command and gives its exit code; it never throws and never ends the process.
 * @param args without the program's own names: `process.argv.slice(2)`
 */
export async function runCli(args: readonly string[], actions: Actions, terminal: Terminal = processTerminal()): Promise<ExitCode> {
  let code: ExitCode = EXIT.fine;
  const program = buildProgram(actions, terminal, (next) => (code = next));
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    return fail(error, terminal);
  }
}

function buildProgram(actions: Actions, terminal: Terminal, exitWith: (code: ExitCode) => void): Command {
  const program = new Command('neutron-bgp-agent')
    .description('Announces the public addresses of the instances on this hypervisor as BGP host routes.')
    .version(packageVersion())
    .addHelpText('after', EXIT_CODES_HELP)
    .showHelpAfterError('(--help shows how it is used)')
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      getOutHasColors: () => terminal.colour,
      getErrHasColors: () => false,
    })
    .exitOverride();

  program
    .command('run')
    .description('run the daemon in the foreground, logging JSON lines to standard output')
    .option('--config <file>', 'configuration file', terminal.env[CONFIG_VARIABLE] ?? DEFAULT_CONFIG_FILE)
    .action(({ config }: { config: string }) => actions.run(config));

  const config = program.command('config').description('check the configuration, show its schema');
  config
    .command('check')
    .description('check a configuration file and the files it names, without starting anything')
    .argument('<file>', 'configuration file')
    .option('--json', 'print JSON')
    .action((file: string, { json }: { json?: boolean }) => exitWith(checkConfig(file, json === true, actions, terminal)));
  config
    .command('schema')
    .description('print the JSON Schema of the configuration file')
    .option('--json', 'print JSON, as without it')
    .action(() => terminal.out(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`));

  const operator = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option('--json', "print the daemon's answer as JSON")
      .option('--socket <path>', "the daemon's operator socket")
      .option('--config <file>', `configuration file that names the socket (default: $${CONFIG_VARIABLE} or ${DEFAULT_CONFIG_FILE})`)
      .addHelpText('after', EXIT_CODES_HELP);
  const show = <T>(answer: T, { json }: OperatorOptions, render: (answer: T) => string): void =>
    terminal.out(json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : render(answer));

  operator('routes', "addresses and their routes: what we want, GoBGP's Loc-RIB, each peer's Adj-RIB-Out").action(
    async (options: OperatorOptions) =>
      show(await client(options, terminal)<RouteRow[]>('/v1/routes'), options, (rows) => renderRoutes(rows, terminal)),
  );
  operator('peers', 'routers and the state of their sessions').action(async (options: OperatorOptions) =>
    show(await client(options, terminal)<PeerRow[]>('/v1/peers'), options, (rows) => renderPeers(rows, terminal)),
  );
  operator('explain', 'why an address is, or is not, announced: from its binding to each router')
    .argument('<address>', 'IPv4 or IPv6 address')
    .action(async (address: string, options: OperatorOptions) => {
      if (hostPrefix(address) === undefined)
        throw new AgentError('usage', 'terminal', `${JSON.stringify(address)} is not one IPv4 or IPv6 address`);
      const answer = await client(options, terminal)<ExplainAnswer>(`/v1/explain?address=${encodeURIComponent(address)}`);
      show(answer, options, (explained) => renderExplain(explained, terminal));
      exitWith(answer.announced ? EXIT.fine : EXIT.negative);
    });
  operator('status', 'sources, GoBGP, peers and counts at a glance').action(async (options: OperatorOptions) => {
    const answer = await client(options, terminal)<StatusAnswer>('/v1/status');
    show(answer, options, (status) => renderStatus(status, terminal, terminal.now()));
    exitWith(isFine(answer) ? EXIT.fine : EXIT.negative);
  });
  operator('rebuild', "stop GoBGP's BGP and bring it up anew from the configuration file, for what a running GoBGP cannot change")
    .option('--yes', 'do it: every session ends')
    .action(async (options: OperatorOptions & { readonly yes?: boolean }) => {
      const isSure = options.yes === true;
      const answer = await client(options, terminal)<RebuildAnswer>(`/v1/rebuild?yes=${isSure}`, 'POST');
      show(answer, options, (rebuilt) => renderRebuild(rebuilt));
      exitWith(answer.isDone ? EXIT.fine : EXIT.negative);
    });
  return program;
}

function client({ socket, config }: OperatorOptions, { env }: Terminal): Ask {
  if (socket !== undefined) return operatorClient(socket);
  const named = config ?? env[CONFIG_VARIABLE];
  const found = operatorSocketOf(named ?? DEFAULT_CONFIG_FILE);
  if (found === undefined && named !== undefined) throw new ConfigError([`cannot read ${named}: ENOENT`]);
  return operatorClient(found ?? DEFAULT_OPERATOR_SOCKET);
}

function checkConfig(file: string, asJson: boolean, actions: Actions, terminal: Terminal): ExitCode {
  const { problems, warnings } = checked(file, actions, terminal);
  if (asJson) terminal.out(`${JSON.stringify({ ok: problems.length === 0, problems, warnings }, undefined, 2)}\n`);
  else {
    terminal.out([...problems, ...warnings.map((warning) => `warning: ${warning}`)].map((line) => `${line}\n`).join(''));
    terminal.out(problems.length === 0 ? `${file} can be used\n` : `${file} cannot be used: ${count(problems.length, 'problem')}\n`);
  }
  return problems.length === 0 ? EXIT.fine : EXIT.usage;
}

function checked(
  file: string,
  { installedGobgpd }: Actions,
  { env }: Terminal,
): { readonly problems: readonly string[]; readonly warnings: readonly string[] } {
  try {
    const { warnings, gobgp, speaker } = loadConfig(file, env);
    const installed = isLocalAddress(gobgp.address) ? installedGobgpd() : undefined;
    return { problems: [], warnings: installed === undefined ? warnings : [...warnings, ...installedWarnings(installed, speaker)] };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, warnings: [] };
    throw error;
  }
}

function fail(error: unknown, terminal: Terminal): ExitCode {
  if (!(error instanceof AgentError) || error.kind === 'bug') {
    terminal.err(`neutron-bgp-agent: ${redactedText(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`);
    return EXIT.negative;
  }
  terminal.err(error instanceof ConfigError ? `${error.problems.join('\n')}\n` : `neutron-bgp-agent: ${redactedText(messageOf(error))}\n`);
  if (error instanceof ConfigError || error.code === 'usage') return EXIT.usage;
  return error.code === 'daemon-unreachable' ? EXIT.unreachable : EXIT.negative;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
