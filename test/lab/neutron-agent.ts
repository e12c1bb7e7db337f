/** Our Neutron source in the test's own process, telling a binding table or a sink that records, with everything it logs. */
import type { BindingSink } from '../../src/core/ports.ts';
import { systemClock } from '../../src/lib/clock.ts';
import {
  BROKER_DEFAULTS,
  NEUTRON_DEFAULTS,
  type NeutronOptions,
  type NeutronSettings,
  NeutronSource,
} from '../../src/neutron/neutron-source.ts';
import { RecordingSink, RecordingTelemetry } from '../fakes/recording-sink.ts';
import { until } from './lab.ts';

export type LabSource<Sink extends BindingSink = RecordingSink> = {
  readonly source: NeutronSource;
  readonly sink: Sink;
  readonly telemetry: RecordingTelemetry;
  /** Every line that was logged, fields included. */
  readonly lines: readonly string[];
  stop(): Promise<void>;
};

export type LabSourceOptions = {
  readonly port: number;
  readonly settings?: Partial<NeutronSettings>;
  readonly options?: Partial<NeutronOptions>;
  readonly user?: { readonly name: string; readonly password: string };
};

export function startSource<Sink extends BindingSink>(options: LabSourceOptions, sink: Sink): LabSource<Sink> {
  const telemetry = new RecordingTelemetry();
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const { name: username, password } = options.user ?? { name: 'guest', password: 'guest' };
  const source = new NeutronSource(
    {
      ...NEUTRON_DEFAULTS,
      reconnect: { ...NEUTRON_DEFAULTS.reconnect, firstDelayMs: 50, longestDelayMs: 500, spreadMs: 0 },
      host: 'hv1',
      vnicTypes: ['normal', 'direct'],
      broker: {
        ...BROKER_DEFAULTS,
        hosts: [{ host: '127.0.0.1', port: options.port, username, password }],
        virtualHost: '/',
        connectionName: 'neutron-bgp-agent hv1',
      },
      ...options.settings,
    },
    {
      clock: systemClock,
      log: { debug: write, info: write, warn: write, error: write },
      telemetry,
      configurations: () => ({ version: 'test', instance_id: 'this-machine' }),
      hangsOnNetwork: () => false,
      ...options.options,
    },
  );
  const stopping = new AbortController();
  const running = source.run(sink, stopping.signal);
  return {
    source,
    sink,
    telemetry,
    lines,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

export async function startSourceInSync(options: LabSourceOptions): Promise<LabSource> {
  const started = startSource(options, new RecordingSink());
  await until('the source to be in sync', () => started.sink.inSync, 30_000);
  return started;
}
