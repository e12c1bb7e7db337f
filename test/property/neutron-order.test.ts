/**
 * The same life of some ports, as a bus may tell it: every push at least once, in any order, some twice, with deletions that are
 * true and false. Whatever the order, what the table says in the end of ports that it held is what is true, without another
 * snapshot; and of all ports after one. (Of a port that is new, the last push may come before the first one that names us.)
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { BindingTable } from '../../src/core/binding-table.ts';
import { silentLog } from '../../src/lib/log.ts';
import { Deletions } from '../../src/neutron/deletions.ts';
import { LostMessages } from '../../src/neutron/lost-messages.ts';
import { type LookedUp, readLookUp } from '../../src/neutron/look-up.ts';
import { Networks } from '../../src/neutron/networks.ts';
import { PushIntake } from '../../src/neutron/push-intake.ts';
import { FakeClock } from '../fakes/clock.ts';
import { settings } from '../fakes/ports.ts';
import { RecordingTelemetry } from '../fakes/recording-sink.ts';
import { deletedPortObject, type LabPort, labPort, portObject } from '../lab/neutron-objects.ts';

const IDS = ['a', 'b', 'c'].map((letter) => `00000000-0000-4000-8000-00000000000${letter}`);
const HOSTS = ['hv1', 'hv1', 'hv2'] as const;

const anyEvent = fc.record({
  id: fc.constantFrom(...IDS),
  kind: fc.constantFrom('change', 'change', 'change', 'delete', 'false-delete'),
  host: fc.constantFrom(...HOSTS),
  /** Two ports may have one address. */
  address: fc.constantFrom('203.0.113.1', '203.0.113.2'),
  /** Where in the order of delivery it lands, and how often. */
  places: fc.array(fc.nat(1_000), { minLength: 1, maxLength: 2 }),
});

async function lookUpIn(ports: ReadonlyMap<string, LabPort>, ids: readonly string[]): Promise<LookedUp> {
  const found = ids.flatMap((id) => ports.get(id) ?? []);
  return readLookUp(
    ids,
    found.map((port) => portObject(port, '1.7')),
  );
}

type Push = { readonly place: number; readonly resource: Record<string, unknown>; readonly eventType: 'updated' | 'deleted' };

test('pushes in any order, some twice, leave the truth', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 15 }), fc.boolean(), async (events, asksNetworks) => {
      const heldPorts = IDS.slice(0, 2).map((id) => labPort({ id, revisionNumber: 0, fixedIps: ['203.0.113.1'] }));
      const truth = new Map(heldPorts.map((port) => [port.id, port]));
      const pushes: Push[] = [];
      let revisionNumber = 0;
      for (const { id, kind, host, address, places } of events) {
        if (kind === 'change') {
          revisionNumber += 1;
          const bindings = [{ host, status: 'ACTIVE' as const, vifType: 'ovs', vnicType: 'normal', profile: {} }];
          truth.set(id, labPort({ id, revisionNumber, fixedIps: [address], bindings }));
        } else if (kind === 'delete') truth.delete(id);
        const port = truth.get(id);
        const isDeleted = kind !== 'change' || port === undefined;
        if (kind === 'delete' || kind === 'false-delete' || port !== undefined)
          for (const place of places)
            pushes.push({
              place,
              resource: isDeleted || port === undefined ? deletedPortObject(id, '1.7') : portObject(port, '1.7'),
              eventType: isDeleted ? 'deleted' : 'updated',
            });
      }

      const clock = new FakeClock();
      const telemetry = new RecordingTelemetry();
      const table = new BindingTable({ settings: settings(), clock, telemetry });
      const sink = table.sink('neutron');
      const lookUp = (ids: readonly string[]) => lookUpIn(truth, ids);
      const stopping = new AbortController();
      const { signal } = stopping;
      const deletions = new Deletions({ sink, clock, log: silentLog, answerWithinMs: 1_000, lookUp });
      const networks = new Networks({ clock, log: silentLog, matters: () => asksNetworks, ask: async () => true });
      const lostMessages = new LostMessages({ source: 'neutron', host: 'hv1', interest: sink.interest, telemetry, clock });
      const running = deletions.run(signal);
      const parts = { source: 'neutron', host: 'hv1', sink, deletions, telemetry, networks, lostMessages, signal };
      const intake = new PushIntake({ ...parts, needsSnapshot: () => expect.fail('nothing was left out') });
      intake.snapshotEnds([...(await lookUpIn(new Map(heldPorts.map((port) => [port.id, port])), IDS)).found.values()]);
      for (const { resource, eventType } of pushes.toSorted((one, other) => one.place - other.place)) {
        intake.receive({ method: 'push', version: '1.1', args: { resource_list: [resource], event_type: eventType } });
        if (revisionNumber % 2 === 0) await clock.advance(0);
      }
      await clock.advance(2_000);

      for (const { id } of heldPorts) expectTrue(id);
      intake.snapshotBegins();
      intake.snapshotEnds([...(await lookUp(IDS)).found.values()]);
      for (const id of IDS) expectTrue(id);

      function expectTrue(id: string): void {
        const [port, told] = [truth.get(id), sink.interest.port(id)];
        // A port that is elsewhere and never was ours need not be known; one that is here must be, as it is.
        if (port?.bindings[0]?.host === 'hv1') expect(told).toMatchObject({ revisionNumber: port.revisionNumber, fixedIps: port.fixedIps });
        else if (told !== undefined) expect(told).toMatchObject({ revisionNumber: port?.revisionNumber, bindings: [{ host: 'hv2' }] });
      }
      stopping.abort();
      await running;
    }),
    { numRuns: 300 },
  );
});
