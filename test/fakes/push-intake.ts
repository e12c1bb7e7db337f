/** A push intake of hv1 with everything around it that a test does not care for. */
import { silentLog } from '../../src/lib/log.ts';
import type { Deletions } from '../../src/neutron/deletions.ts';
import { LostMessages } from '../../src/neutron/lost-messages.ts';
import { Networks } from '../../src/neutron/networks.ts';
import { type IntakeOptions, PushIntake } from '../../src/neutron/push-intake.ts';
import { FakeClock } from './clock.ts';
import type { RecordingSink, RecordingTelemetry } from './recording-sink.ts';

export function pushIntake(
  parts: { sink: RecordingSink; deletions: Deletions; telemetry: RecordingTelemetry } & Partial<IntakeOptions>,
): PushIntake {
  const { sink, telemetry } = parts;
  const clock = new FakeClock();
  return new PushIntake({
    source: 'neutron',
    host: 'hv1',
    lostMessages: new LostMessages({ source: 'neutron', host: 'hv1', interest: sink.interest, telemetry, clock }),
    networks: new Networks({ matters: () => false, ask: () => Promise.reject(new Error('nobody asks')), clock, log: silentLog }),
    needsSnapshot: () => {},
    signal: new AbortController().signal,
    ...parts,
  });
}
