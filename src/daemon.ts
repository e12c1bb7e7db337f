/** The composition root: the only place that knows every name. It makes the parts, wires them, and ends them in order. */
import { readFileSync } from 'node:fs';
import { createHash, randomUUID } from 'node:crypto';
import { type Config, ConfigError } from './config/config.ts';
import { loadConfig } from './config/load.ts';
import { Answers } from './core/answers.ts';
import { BindingTable } from './core/binding-table.ts';
import type { BindingSource, Telemetry } from './core/ports.ts';
import { hangsOnNetwork } from './domain/decision.ts';
import type { DecisionSettings } from './domain/settings.ts';
import { Reconciler } from './core/reconciler.ts';
import type { ReconcilerSettings } from './core/reconciler-types.ts';
import { GobgpSpeaker } from './gobgp/speaker.ts';
import { type Clock, sleep, systemClock } from './lib/clock.ts';
import { codeOf, messageOf } from './lib/errors.ts';
import type { Log } from './lib/log.ts';
import { BROKER_DEFAULTS, NEUTRON_DEFAULTS, NeutronSource } from './neutron/neutron-source.ts';
import { readBootId } from './ops/boot-id.ts';
import { startHttp, type Verdict } from './ops/http.ts';
import { createLog, type OpsLog } from './ops/log.ts';
import { createMetrics, type Metrics } from './ops/metrics.ts';
import { startOperatorApi } from './ops/operator-api.ts';
import { createStateStore } from './ops/state-store.ts';
import { loadStoredState, StateKeeper } from './ops/stored-state.ts';
import { fanOut, logRouteChanges, telemetryLog } from './ops/telemetry-log.ts';
import { packageVersion } from './ops/version.ts';
import { fixedInGobgp, rebuild } from './rebuild.ts';
import { FileSource } from './sources/file.ts';

/** An HTTP port that is taken is tried again: the routes do not wait for it. */
const HTTP_RETRY_MS = 5_000;

/** Signals and the like that reach a running daemon. */
export type DaemonControl = {
  /** Aborted: stop, and withdraw nothing. */
  readonly stop: AbortSignal;
  /** Registers what a request to read the configuration again does. */
  readonly onReload: (reload: () => void) => void;
};

/**
 * Runs the daemon until `control.stop` aborts.
 * @throws ConfigError when the configuration cannot be used, AgentError `already-running` when another daemon holds the socket
 */
export async function runDaemon(configFile: string, env: NodeJS.ProcessEnv, control: DaemonControl): Promise<void> {
  const config = loadConfig(configFile, env);
  const log = createLog(config.logLevel);
  const clock = systemClock;
  const version = packageVersion();
  const startedAt = clock.wallTime();
  let shown: ConfigWarnings = { config: config.warnings, problem: [] };

  const metrics: Metrics = createMetrics({ version, sources: Object.keys(config.sources), snapshot: () => snapshot() });
  const telemetry: Telemetry = fanOut(metrics.telemetry, telemetryLog(log, clock), {
    count: ({ kind }) => kind === 'source-in-sync' && keeper.changed(),
    observe: () => {},
  });
  const store = createStateStore(config.stateDirectory, telemetry);
  const bootId = await readBootId();
  const stored = await loadStoredState(store, { bootId, host: config.host, now: startedAt });

  const table = new BindingTable({ settings: config.decision, clock, telemetry, onChange: () => reconciler.trigger() });
  const speaker = new GobgpSpeaker({ address: config.gobgp.address, ...(config.gobgp.tls && { tls: config.gobgp.tls }), clock, log });
  const keeper = new StateKeeper({
    store,
    clock,
    bootId,
    host: config.host,
    state: () => ({ routes: reconciler.routesToKeep(), ports: table.portsToKeep() }),
  });
  const reconciler: Reconciler = new Reconciler({
    table,
    speaker,
    settings: reconcilerSettings(config),
    clock,
    telemetry,
    stored: stored.routes,
    onReport: (report) => {
      metrics.report(report);
      logRouteChanges(log, report);
      if (report.changes.length > 0) keeper.changed();
    },
    wantSnapshot: () => {
      for (const source of sources) source.resync();
    },
  });
  const answers = new Answers({
    table,
    reconciler,
    speaker,
    clock,
    identity: { version, host: config.host, instanceId: instanceId(), startedAt },
    warnings: () => [...shown.config, ...shown.problem],
  });
  const sources = createSources(config, { clock, log, telemetry, answers, decision: () => reconciler.settings().decision });

  const snapshot = () => ({
    routes: answers.counts(),
    rejections: answers.rejections(),
    peers: reconciler.sessions.all(),
    sources: answers.sources(),
    speakerState: reconciler.state().kind,
    lastCompleteAt: reconciler.lastCompleteAt(),
  });

  /** A rebuild takes the whole file over, as a reload does. */
  const takeOver = (next: Config): ReconcilerSettings => {
    const decision = { ...next.decision, host: config.host };
    table.configure(decision);
    shown = { config: next.warnings, problem: [] };
    return reconcilerSettings({ ...next, decision });
  };

  // The socket is the lock: nothing is touched before it is ours.
  const api = await startOperatorApi({
    socketPath: config.operatorSocket,
    holder: { pid: process.pid, version, host: config.host, startedAt: startedAt.toISOString() },
    handlers: {
      routes: () => answers.routes(),
      peers: () => answers.peers(),
      explain: (address) => answers.explain(address),
      status: () => answers.status(),
      rebuild: (isSure) => rebuild({ isSure, load: () => loadConfig(configFile, env), use: takeOver, speaker, reconciler, log }),
    },
    log,
  });
  log.info({ version, host: config.host, config: config.file, pid: process.pid, mode: config.speaker.mode }, 'started');
  for (const warning of config.warnings) log.warn({ warning }, 'configuration');
  if (config.speaker.mode === 'attached')
    log.warn({}, 'attached mode: the export policy of GoBGP and hitless restarts of it are up to its own configuration');

  for (const { source, port } of stored.ports) table.seed(source, [port]);
  control.onReload(() => {
    shown = reload(configFile, env, config, { table, reconciler, log, shown });
    // Which networks have to be asked for may have changed.
    for (const source of sources) source.resync();
  });
  const failure = new AbortController();
  const stop = AbortSignal.any([control.stop, failure.signal]);
  const parts = [
    ...sources.map((source) => source.run(table.sink(source.name), stop)),
    reconciler.run(stop),
    keeper.run(stop),
    serveHttp(config, metrics, () => readiness(answers, reconciler), { clock, log }, stop),
  ];
  try {
    await Promise.all(parts);
  } finally {
    // No part runs on without the others: whoever supervises the daemon starts it anew.
    failure.abort();
    await Promise.allSettled(parts);
    speaker.close();
    await api.close();
  }
  log.info({ ownRoutes: reconciler.ownRoutes().size }, 'stopped; nothing was withdrawn');
}

function reconcilerSettings(config: Config): ReconcilerSettings {
  return { decision: config.decision, speaker: config.speaker, resyncIntervalMs: config.gobgp.resyncIntervalMs };
}

function createSources(
  config: Config,
  parts: { clock: Clock; log: OpsLog; telemetry: Telemetry; answers: Answers; decision: () => DecisionSettings },
): readonly BindingSource[] {
  const { clock, log, telemetry, answers, decision } = parts;
  const sources: BindingSource[] = [];
  if (config.sources.file !== undefined)
    sources.push(new FileSource({ path: config.sources.file.path, host: config.host, telemetry, clock }));
  const neutron = config.sources.neutron;
  if (neutron !== undefined) {
    const broker = { ...BROKER_DEFAULTS, ...neutron.broker, connectionName: `neutron-bgp-agent:${process.pid}:${config.host}` };
    const settings = {
      ...NEUTRON_DEFAULTS,
      broker,
      host: config.host,
      reconnect: { ...NEUTRON_DEFAULTS.reconnect, spreadMs: neutron.reconnectSpreadMs },
      fanout: neutron.fanoutDurable === undefined ? {} : { durable: neutron.fanoutDurable },
      controlExchange: neutron.controlExchange,
      vnicTypes: neutron.vnicTypes,
      resyncIntervalMs: neutron.resyncIntervalMs,
      reportIntervalMs: neutron.reportIntervalMs,
      callTimeoutMs: neutron.rpcTimeoutMs,
      portVersion: neutron.portVersion,
    };
    sources.push(
      new NeutronSource(settings, {
        clock,
        log,
        telemetry,
        configurations: () => answers.configurations(),
        hangsOnNetwork: (port) => hangsOnNetwork(port, decision()),
      }),
    );
  }
  return sources;
}

/** Serves HTTP until the stop; it comes up when its port is free and never stands in the way of a route. */
async function serveHttp(
  config: Config,
  metrics: Metrics,
  ready: () => Verdict,
  { clock, log }: { clock: Clock; log: Log },
  stop: AbortSignal,
): Promise<void> {
  if (config.http === undefined) return;
  const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
  while (!stop.aborted) {
    try {
      const endpoint = await startHttp({ listen: config.http, metrics, health: () => ({ ok: true, reasons: [] }), ready, log });
      log.info({ host: config.http.host, port: endpoint.port }, 'metrics and health are served');
      await stopped;
      await endpoint.close();
    } catch (error) {
      log.error({ code: codeOf(error), error: messageOf(error), retryInMs: HTTP_RETRY_MS }, 'metrics and health are not served');
      await sleep(clock, HTTP_RETRY_MS, stop);
    }
  }
}

/** Ready: every source is in sync, the peers were opened, and GoBGP holds what is desired. */
function readiness(answers: Answers, reconciler: Reconciler): Verdict {
  const state = reconciler.state();
  const reasons = answers
    .sources()
    .filter(({ inSync }) => !inSync)
    .map(({ name, lostReason }) => `source ${name} is not in sync: ${lostReason ?? 'no snapshot yet'}`);
  if (state.kind !== 'ready') reasons.push(`GoBGP: ${'reason' in state ? state.reason : state.kind}`);
  else if (!reconciler.isComplete()) reasons.push('GoBGP does not hold what is desired yet');
  return { ok: reasons.length === 0, reasons };
}

/** What `status` warns of: of the configuration in use, and of the file as it was read last. */
type ConfigWarnings = { readonly config: readonly string[]; readonly problem: readonly string[] };

/** Takes what can change in a running daemon from the file; a file that cannot be used changes nothing. */
function reload(
  configFile: string,
  env: NodeJS.ProcessEnv,
  started: Config,
  parts: { table: BindingTable; reconciler: Reconciler; log: OpsLog; shown: ConfigWarnings },
): ConfigWarnings {
  const { table, reconciler, log } = parts;
  try {
    const config = loadConfig(configFile, env);
    const before = reconciler.settings().speaker;
    if (config.speaker.mode !== before.mode) throw new Error('gobgp.mode cannot change while the daemon runs: restart it');
    const frozen = fixedInGobgp(config.speaker, before);
    if (frozen.length > 0)
      throw new Error(`${frozen.join(', ')} cannot change while GoBGP runs: "neutron-bgp-agent rebuild" says what that would interrupt`);
    log.setLevel(config.logLevel);
    const decision = { ...config.decision, host: started.host };
    table.configure(decision);
    reconciler.configure(reconcilerSettings({ ...config, decision }));
    const needsRestart =
      restartOnly(config) === restartOnly(started)
        ? []
        : ['the configuration holds changes that need a restart of the daemon (a restart withdraws nothing)'];
    log.info({ needsRestart: needsRestart.length > 0 }, 'configuration read again');
    return { config: config.warnings, problem: needsRestart };
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [messageOf(error)];
    log.error({ problems }, 'the new configuration cannot be used; the old one stays');
    return {
      config: parts.shown.config,
      problem: [`the configuration file has problems, so the one before is in use: ${problems.join('; ')}`],
    };
  }
}

/** What is fixed when the daemon starts, as a value to compare. */
function restartOnly({ host, stateDirectory, http, operatorSocket, sources, gobgp }: Config): string {
  const { address, tls } = gobgp;
  return createHash('sha256').update(JSON.stringify({ host, stateDirectory, http, operatorSocket, sources, address, tls })).digest('hex');
}

/** Tells two machines that claim one host name apart. */
function instanceId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    // No systemd, no machine id: an id of this process still tells it from another.
    return randomUUID();
  }
}
