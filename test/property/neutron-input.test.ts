/**
 * Recorded messages, mutated: whatever arrives, nothing throws, the only thing that reaches the core is what a valid
 * port says, and what is dropped is counted.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { silentLog } from '../../src/lib/log.ts';
import { Deletions } from '../../src/neutron/deletions.ts';
import { readLookUp } from '../../src/neutron/look-up.ts';
import { castReceiver } from '../../src/oslo/fanout.ts';
import { FakeClock } from '../fakes/clock.ts';
import { pushIntake } from '../fakes/push-intake.ts';
import { RecordingSink, RecordingTelemetry } from '../fakes/recording-sink.ts';
import { innerOf, readRecording, RECORDINGS } from '../fixtures/recordings.ts';

const PUSHES = RECORDINGS.flatMap(readRecording)
  .filter(({ exchange }) => exchange.startsWith('neutron-vo-Port-'))
  .map(({ body }) => body);

/** Everything that a message may say about a port, as it would reach the core. */
const TRUE_STATES = new Set<string>();
const KNOWN_IDS = new Set<string>();

type Outcome = { readonly sink: RecordingSink; readonly telemetry: RecordingTelemetry };

/** A session in sync that holds every recorded port, so that nothing is dropped as foreign before it was decoded. */
function feed(bodies: readonly Buffer[], headers: object = {}): Outcome {
  const sink = new RecordingSink();
  const telemetry = new RecordingTelemetry();
  const deletions = new Deletions({
    sink,
    clock: new FakeClock(),
    log: silentLog,
    answerWithinMs: 1_000,
    lookUp: () => Promise.reject(new Error('away')),
  });
  const intake = pushIntake({ sink, deletions, telemetry });
  intake.snapshotEnds([]);
  sink.calls.length = 0;
  for (const id of KNOWN_IDS) sink.stored.add(id);
  const receive = castReceiver({
    wants: () => true,
    onCast: (cast) => intake.receive(cast),
    onDropped: (why, detail) => intake.dropped(why, detail),
  });
  for (const content of bodies) receive({ content, properties: { headers } as never });
  return { sink, telemetry };
}

const statesOf = ({ sink }: Outcome): string[] =>
  sink.calls.map((call) => {
    if (call.kind !== 'upsert') return call.kind;
    const { requestId: _requestId, ...port } = call.port;
    return JSON.stringify(port);
  });

for (const body of PUSHES) {
  for (const resource of (innerOf(body) as { args: { resource_list: { 'versioned_object.data': { id: string } }[] } }).args.resource_list)
    KNOWN_IDS.add(resource['versioned_object.data'].id);
}
for (const state of statesOf(feed(PUSHES.map((body) => Buffer.from(body))))) TRUE_STATES.add(state);

const push = fc.constantFrom(...PUSHES);

test('bytes that were flipped, cut out or put in', () => {
  const edit = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat({ max: 7 }) }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), length: fc.nat({ max: 2_000 }) }),
    fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), bytes: fc.uint8Array({ maxLength: 50 }) }),
  );
  fc.assert(
    fc.property(push, fc.array(edit, { minLength: 1, maxLength: 4 }), (body, edits) => {
      let bytes = Buffer.from(body);
      for (const change of edits) {
        const at = change.at % (bytes.length + 1);
        if (change.kind === 'flip' && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << change.bit);
        if (change.kind === 'cut') bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + change.length)]);
        if (change.kind === 'insert') bytes = Buffer.concat([bytes.subarray(0, at), change.bytes, bytes.subarray(at)]);
      }
      const { sink, telemetry } = feed([bytes]);
      // Some flips make another valid port; what is not valid is counted, once, and told to nobody.
      expect(telemetry.events).toHaveLength(1);
      expect(sink.calls.length).toBeLessThanOrEqual(telemetry.messages('applied'));
      for (const call of sink.calls) expect(call.kind).toBe('upsert');
    }),
    { numRuns: 1_500 },
  );
});

/** Every place in a value, as a path. */
function paths(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, element]) => paths(element, [...path, key]))];
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string | number, unknown>;
  if (by === undefined && rest.length === 0) delete copy[key];
  else copy[key] = replaced(copy[key], rest, by);
  return copy;
}

/** Stands for a value too deep for the test's own tools to print. */
const DEEP = 'deep';
const DEEP_TEXT = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
const deepValue = JSON.parse(DEEP_TEXT) as unknown;
/** Values of every type, none of which is a right answer anywhere. */
const junk = fc.constantFrom<unknown>(
  undefined,
  null,
  -1,
  1.5,
  1e308,
  '',
  ' ',
  'x'.repeat(300),
  '\u0000',
  [],
  {},
  [[]],
  { a: 1 },
  DEEP,
  [null],
  '{"a":',
  '999.1.1.1',
  '::ffff:1.2.3.4.5',
);

test('a field of another type, missing, huge or deep, at any level', () => {
  fc.assert(
    fc.property(push, fc.nat(), junk, (body, place, value) => {
      const { args } = innerOf(body) as { args: object };
      const all = paths(args);
      const path = all[place % all.length] ?? [];
      const spoilt = replaced(args, path, value);
      const message = { method: 'push', version: '1.1', args: spoilt, _unique_id: 'u' };
      const bytes = Buffer.from(
        JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message).replaceAll(`"${DEEP}"`, DEEP_TEXT) }),
      );
      const outcome = feed([bytes]);
      expect(outcome.telemetry.events.length).toBeLessThanOrEqual(1);
      const relevant = path.filter((key) => typeof key === 'string' && !/^\d+$/.test(key)).at(-1);
      for (const state of statesOf(outcome)) {
        // What still counts as a port says what it said before, but for a field that holds any text, or a list that was emptied.
        if (!TRUE_STATES.has(state)) expect(FREE_FIELDS).toContain(relevant);
      }
      expect(outcome.sink.calls.every(({ kind }) => kind === 'upsert')).toBe(true);
    }),
    { numRuns: 3_000 },
  );
});

/** Fields whose every text, or whose empty list, is a valid thing for Neutron to say. */
const FREE_FIELDS = [
  'status',
  'device_owner',
  'host',
  'vif_type',
  'vnic_type',
  'fixed_ips',
  'allowed_address_pairs',
  'bindings',
  'profile',
  'updated_at',
];

test('a look-up with a spoilt object never makes it look absent', () => {
  const [body = ''] = PUSHES.filter((one) => one.includes('hv1'));
  const [resource] = (innerOf(body) as { args: { resource_list: [{ 'versioned_object.data': { id: string } }] } }).args.resource_list;
  const { id } = resource['versioned_object.data'];
  const all = paths(resource);
  fc.assert(
    fc.property(fc.nat(), junk, (place, value) => {
      const { found, unreadable } = readLookUp(
        [id],
        [replaced(resource, all[place % all.length] ?? [], value === DEEP ? deepValue : value)],
      );
      expect(found.has(id) || unreadable.has(id)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test('any bytes at all', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 500 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
      fc.constantFrom({}, { compression: 'application/x-gzip' }),
      (bytes, headers) => {
        const { sink, telemetry } = feed([Buffer.from(bytes)], headers);
        expect(sink.calls).toEqual([]);
        expect(telemetry.messages('malformed') + telemetry.messages('unsupported')).toBe(1);
      },
    ),
    { numRuns: 1_500 },
  );
});
