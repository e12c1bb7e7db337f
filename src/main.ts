#!/usr/bin/env node
/** The process entry: hands the command line to cli/, and signals to the daemon. */
import { buildProgram } from './cli/program.ts';
import { runDaemon } from './daemon.ts';

const stop = new AbortController();

await buildProgram({
  run: (configFile) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
    return runDaemon(configFile, process.env, {
      stop: stop.signal,
      onReload: (reload) => process.on('SIGHUP', reload),
    });
  },
}).parseAsync();
