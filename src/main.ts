#!/usr/bin/env node
/** The process entry: hands the command line to cli/, and signals to the daemon. */
import { runCli } from './cli/program.ts';
import { runDaemon } from './daemon.ts';
import { installedGobgpd } from './gobgp/installed.ts';

process.exitCode = await runCli(process.argv.slice(2), {
  run: (configFile) => {
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
    return runDaemon(configFile, process.env, { stop: stop.signal, onReload: (reload) => process.on('SIGHUP', reload) });
  },
  installedGobgpd,
});
