import { describe, expect, it } from 'vitest';
import type { ReconcileReport } from '../../../src/core/reconciler-types.ts';
import type { TelemetryEvent } from '../../../src/core/ports.ts';
import { hostPrefix, type Prefix } from '../../../src/domain/prefix.ts';
import { pathAttributes } from '../../../src/domain/route.ts';
import { AgentError } from '../../../src/lib/errors.ts';
import { createLog, type LogLevel } from '../../../src/ops/log.ts';
import { redactedText } from '../../../src/ops/redact.ts';
import { logRouteChanges, telemetryLog } from '../../../src/ops/telemetry-log.ts';

type Line = Record<string, unknown>;

function capture(level: LogLevel = 'debug') {
  const lines: Line[] = [];
  const log = createLog(level, { write: (text: string) => void lines.push(JSON.parse(text) as Line) });
  return { log, lines };
}

describe('the log', () => {
  it('writes one JSON line with time and level in words', () => {
    const { log, lines } = capture();
    log.warn({ prefix: '203.0.113.10/32' }, 'advertised');
    expect(lines).toEqual([{ level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), prefix: '203.0.113.10/32', msg: 'advertised' }]);
  });

  it('obeys its level, which may change', () => {
    const { log, lines } = capture('info');
    log.debug({}, 'quiet');
    log.setLevel('debug');
    log.debug({}, 'loud');
    expect(lines.map(({ msg }) => msg)).toEqual(['loud']);
  });

  it.each([
    ['a password', { password: 'hunter2' }],
    ['a password deep inside', { peers: [{ settings: { password: 'hunter2' } }] }],
    ['a transport URL by its key', { transportUrl: 'hunter2' }],
    ['auth_password, as GoBGP lists it', { conf: { auth_password: 'hunter2' } }],
    ['a private key', { tls: { key: 'hunter2' } }],
    ['a URL in any text', { detail: 'no route to rabbit://neutron:hunter2@192.0.2.11:5672/' }],
    ['a URL of several hosts', { detail: 'rabbit://a:hunter2@h1:5672,b:hunter2@h2:5672/x' }],
    ['a URL in an error', { error: new Error('connect amqp://u:hunter2@h failed') }],
    ['a URL in the cause of an error', { error: new AgentError('x', 'retryable', 'no', { cause: new Error('amqp://u:hunter2@h') }) }],
    ['a URL in a map', { map: new Map([['url', 'amqp://u:hunter2@h']]) }],
  ])('shows no secret: %s', (_, fields) => {
    const { log, lines } = capture();
    log.error(fields, 'amqp://u:hunter2@h');
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    expect(lines).toHaveLength(1);
  });

  it('survives endless and odd values', () => {
    const endless: Record<string, unknown> = { big: 1n, when: new Date(0), bytes: Buffer.from('x') };
    endless['self'] = endless;
    const { log, lines } = capture();
    log.info(endless, 'odd');
    expect(lines[0]).toMatchObject({ big: '1', when: '1970-01-01T00:00:00.000Z', bytes: '[1 bytes]' });
  });

  it('leaves texts without credentials alone', () => {
    expect(redactedText('https://docs.example/a?b=c and a@b')).toBe('https://docs.example/a?b=c and a@b');
    expect(redactedText('rabbit://a:b@h1,c:d@h2/v')).toBe('rabbit://***@h1,***@h2/v');
  });
});

describe('telemetry as log lines', () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs, wallTime: () => new Date(0), wakeAt: () => Promise.resolve() };
  const tell = (...events: readonly TelemetryEvent[]): readonly Line[] => {
    const { log, lines } = capture();
    const telemetry = telemetryLog(log, clock);
    for (const event of events) telemetry.count(event);
    return lines;
  };

  it('tells what came by the thousand once, and later how often', () => {
    const { log, lines } = capture();
    const telemetry = telemetryLog(log, clock);
    const event: TelemetryEvent = { kind: 'bus-message', source: 'neutron', outcome: 'malformed', detail: 'no object' };
    for (let n = 0; n < 1000; n++) telemetry.count(event);
    clock.nowMs += 10_000;
    telemetry.count(event);
    expect(lines.map(({ level, times }) => [level, times])).toEqual([
      ['warn', 1],
      ['warn', 1000],
    ]);
  });

  it('tells of a source in sync once, until it was lost', () => {
    const inSync: TelemetryEvent = { kind: 'source-in-sync', source: 'file', ports: 2 };
    const lost: TelemetryEvent = { kind: 'source-lost', source: 'file', reason: 'gone' };
    expect(tell(inSync, inSync, lost, inSync).map(({ level, msg }) => `${String(level)} ${String(msg)}`)).toEqual([
      'info source in sync',
      'debug source in sync',
      'warn source lost',
      'info source in sync',
    ]);
  });

  it.each<[string, TelemetryEvent, string | undefined]>([
    ['a foreign message', { kind: 'bus-message', source: 'neutron', outcome: 'foreign' }, undefined],
    ['an answered call', { kind: 'bus-call', method: 'bulk_pull', outcome: 'answered' }, undefined],
    ['a call without an answer', { kind: 'bus-call', method: 'bulk_pull', outcome: 'timeout' }, 'warn'],
    ['an established session', { kind: 'peer-state', peer: '192.0.2.1', from: 'openconfirm', to: 'established' }, 'info'],
    ['a lost session', { kind: 'peer-state', peer: '192.0.2.1', from: 'established', to: 'idle' }, 'warn'],
    ['a step of a session', { kind: 'peer-state', peer: '192.0.2.1', from: 'idle', to: 'active' }, 'debug'],
    ['GoBGP away', { kind: 'speaker-state', from: 'ready', to: 'away', reason: 'connection refused' }, 'warn'],
    ['GoBGP there', { kind: 'speaker-state', from: 'waiting', to: 'ready', reason: '' }, 'info'],
    ['a failed peer', { kind: 'peer-change', outcome: { name: '192.0.2.1', result: 'failed', error: 'no' } }, 'error'],
    ['a guard refusal', { kind: 'guard-refusal', prefix: '203.0.113.1/32' as Prefix, reason: 'outside-prefixes' }, 'error'],
    ['a state that cannot be kept', { kind: 'state-store-failure', name: 'bindings', error: 'ENOSPC' }, 'warn'],
    ['a stale view', { kind: 'view-stale', reason: 'unexpected change' }, 'info'],
  ])('%s', (_, event, level) => {
    expect(tell(event).map((line) => line['level'])).toEqual(level === undefined ? [] : [level]);
  });
});

describe('route changes as log lines', () => {
  it('has prefix, reason, port, revision and request id in one line each', () => {
    const prefix = hostPrefix('203.0.113.10') as Prefix;
    const route = { prefix, attributes: pathAttributes({}) };
    const port = { portId: 'p1', revisionNumber: 7, requestId: 'req-1' };
    const decision = { prefix, set: 'desired', route, claim: { port } };
    const changes = [
      { outcome: { operation: { kind: 'advertise', route }, result: 'done' }, decision },
      {
        outcome: { operation: { kind: 'withdraw', prefix }, result: 'done' },
        decision: { prefix, set: 'rejected', reason: 'deleted', claim: { port } },
      },
      { outcome: { operation: { kind: 'advertise', route }, result: 'failed', error: 'refused' }, decision },
    ];
    const { log, lines } = capture();
    logRouteChanges(log, { changes, complete: false, durationMs: 1 } as unknown as ReconcileReport);
    expect(lines).toMatchObject([
      { level: 'info', msg: 'advertised', prefix, shape: 'normal', nextHop: 'self', portId: 'p1', revisionNumber: 7, requestId: 'req-1' },
      { level: 'info', msg: 'withdrawn', prefix, reason: 'deleted', portId: 'p1', requestId: 'req-1' },
      { level: 'warn', msg: 'advertise did not succeed', prefix, result: 'failed', error: 'refused' },
    ]);
  });
});
