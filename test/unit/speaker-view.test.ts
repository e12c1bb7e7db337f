import { describe, expect, it } from 'vitest';
import { SpeakerView } from '../../src/core/speaker-view.ts';
import { foreignRoute, route } from '../fakes/ports.ts';

const A = route('203.0.113.1');
const WORSE = route('203.0.113.1', 'worse');
const advertise = { kind: 'advertise', route: A } as const;
const withdraw = { kind: 'withdraw', prefix: A.prefix } as const;

function fresh(...routes: (typeof A)[]): SpeakerView {
  const view = new SpeakerView();
  view.beginRead();
  view.endRead(new Map(routes.map((one) => [one.prefix, one])));
  view.takeChanged();
  return view;
}

describe('the view of GoBGP', () => {
  it('is stale until it was read', () => {
    expect(new SpeakerView().staleReason()).toBe('never read');
    expect(fresh().staleReason()).toBeUndefined();
  });

  it.each(['before', 'after'] as const)('takes an echo that comes %s the acknowledgement', (when) => {
    const view = fresh();
    view.begin(advertise);
    if (when === 'before') view.event(A.prefix, A);
    view.acknowledge({ operation: advertise, result: 'done' }, 1_000);
    if (when === 'after') view.event(A.prefix, A);
    view.checkEchoes(10_000);
    expect([view.get(A.prefix), view.staleReason(), view.takeChanged().size]).toEqual([A, undefined, 0]);
  });

  it('doubts an advertisement whose echo does not come within a second', () => {
    const view = fresh();
    view.begin(advertise);
    view.acknowledge({ operation: advertise, result: 'done' }, 1_000);
    expect(view.nextEchoMs()).toBe(2_000);
    view.checkEchoes(1_999);
    expect(view.staleReason()).toBeUndefined();
    view.checkEchoes(2_000);
    expect(view.staleReason()).toBe('203.0.113.1/32 was acknowledged but did not show');
    expect(view.nextEchoMs()).toBe(Number.POSITIVE_INFINITY);
  });

  it('does not mistake the late echoes of quick successive operations for surprises', () => {
    const view = fresh();
    for (const operation of [advertise, withdraw, advertise]) {
      view.begin(operation);
      view.acknowledge({ operation, result: 'done' }, 1_000);
    }
    view.event(A.prefix, A);
    view.event(A.prefix, undefined);
    view.event(A.prefix, A);
    expect([view.staleReason(), view.get(A.prefix)]).toEqual([undefined, A]);
  });

  it.each(['failed', 'unknown'] as const)('doubts everything after an operation that %s', (result) => {
    const view = fresh();
    view.begin(advertise);
    view.acknowledge({ operation: advertise, result, error: 'no' }, 1_000);
    expect([view.staleReason(), view.get(A.prefix)]).toEqual([`advertise of 203.0.113.1/32 ${result}`, undefined]);
  });

  it.each([
    ['withdrawn by hand', undefined],
    ['altered by hand', WORSE],
    ['overwritten', foreignRoute('203.0.113.1')],
  ])('notices a route that was %s', (_, now) => {
    const view = fresh(A);
    expect(view.event(A.prefix, now)).toBe(false);
    expect([view.get(A.prefix), [...view.takeChanged()]]).toEqual([now, [A.prefix]]);
  });

  it('takes an event during a read for newer than the read', () => {
    const view = fresh(A);
    view.beginRead();
    view.event(A.prefix, undefined);
    view.endRead(new Map([[A.prefix, A]]));
    expect(view.get(A.prefix)).toBeUndefined();
  });

  it('tells what a read found changed', () => {
    const view = fresh(A);
    view.invalidate('a test says so');
    view.beginRead();
    view.endRead(new Map([[A.prefix, WORSE]]));
    expect([...view.takeChanged()]).toEqual([A.prefix]);
  });
});
