/**
 * Ours in `bulk`: the core and the speaker as daemon.ts wires them, without a source before them. It runs what was built,
 * as the daemon does: `tsx` changes functions a little, and would slow them.
 */
import type { PortBinding } from '../../src/domain/port-binding.ts';
import { instanceAddresses } from './addresses.ts';
import { monotonicMs, serve, workerSettings } from './worker.ts';

export type CoreAgentSettings = { readonly configFile: string; readonly host: string; readonly routes: number };

const { BindingTable } = await built<typeof import('../../src/core/binding-table.ts')>('core/binding-table.js');
const telemetry = { count: () => {}, observe: () => {} };
const { Reconciler } = await built<typeof import('../../src/core/reconciler.ts')>('core/reconciler.js');
const { loadConfig } = await built<typeof import('../../src/config/load.ts')>('config/load.js');
const { GobgpSpeaker } = await built<typeof import('../../src/gobgp/speaker.ts')>('gobgp/speaker.js');
const { systemClock: clock } = await built<typeof import('../../src/lib/clock.ts')>('lib/clock.js');

const { configFile, host, routes } = workerSettings() as CoreAgentSettings;
const addresses = instanceAddresses(routes);
const config = loadConfig(configFile, {});
const table = new BindingTable({ settings: config.decision, clock, telemetry, onChange: () => reconciler.trigger() });
const speaker = new GobgpSpeaker({ address: config.gobgp.address, clock });
const reconciler = new Reconciler({
  table,
  speaker,
  settings: { decision: config.decision, speaker: config.speaker, resyncIntervalMs: config.gobgp.resyncIntervalMs },
  clock,
  telemetry,
});
// a source that needs no network
const sink = table.sink('file');
let revisionNumber = 0;

sink.replace([]);
void reconciler.run(new AbortController().signal);
serve({ announce: () => tell(true), withdraw: () => tell(false) });

function built<T>(module: string): Promise<T> {
  return import(new URL(`../../dist/${module}`, import.meta.url).href) as Promise<T>;
}

async function tell(adminStateUp: boolean): Promise<number> {
  revisionNumber += 1;
  const bindings = addresses.map((address, index) => port(`port-${index}`, address, adminStateUp));
  const startedMs = monotonicMs();
  sink.replace(bindings);
  return startedMs;
}

function port(portId: string, address: string, adminStateUp: boolean): PortBinding {
  return {
    portId,
    revisionNumber,
    updatedAt: '2026-01-15T10:00:07Z',
    status: 'ACTIVE',
    adminStateUp,
    deviceOwner: 'compute:nova',
    networkId: '2b9f0d3e-6d52-4d0a-8a6b-3a0f5d8c7e01',
    fixedIps: [address],
    allowedAddressPairs: [],
    bindings: [{ host, status: 'ACTIVE', vifType: 'ovs', vnicType: 'normal' }],
  };
}
