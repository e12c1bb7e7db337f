import { describe, expect, test } from 'vitest';
import { relevanceFor } from '../../../src/neutron/relevance.ts';
import { RecordingSink } from '../../fakes/recording-sink.ts';
import { pythonJson } from '../../lab/neutron-objects.ts';
import { innerOf, readRecording, RECORDINGS } from '../../fixtures/recordings.ts';

const pushes = RECORDINGS.flatMap(readRecording).filter(({ exchange }) => exchange.startsWith('neutron-vo-Port-'));
const evacuated = pushes.find(({ mark, body }) => mark === 'evacuate_rebind_hv1' && body.includes('hv1'));
const evacuatedId = '6c799b59-ce94-4599-911e-fa59b468ae84';
const body = Buffer.from(evacuated?.body ?? '');

function sinkHolding(...ids: string[]): RecordingSink {
  const sink = new RecordingSink();
  for (const id of ids) sink.stored.add(id);
  return sink;
}

describe('the search in raw bodies', () => {
  test.each<[string, string, RecordingSink, boolean]>([
    ['names our host', 'hv1', sinkHolding(), true],
    ['names another host, and no port of ours', 'hv9', sinkHolding('00000000-0000-4000-8000-000000000000'), false],
    ['names another host, but a port that we hold', 'hv9', sinkHolding(evacuatedId), true],
    ['names an address that we announce in doubt', 'hv9', Object.assign(sinkHolding(), { addresses: ['198.51.100.250'] }), true],
    ['cannot be searched for a host name that JSON would escape', 'hv"9', sinkHolding(), true],
  ])('a body that %s', (_name, host, sink, expected) => {
    expect(relevanceFor(host, sink.interest).mayConcern(body)).toBe(expected);
  });

  test('a body that hides its ids is never denied', () => {
    const { mayConcern } = relevanceFor('hv9', sinkHolding(evacuatedId).interest);
    expect(mayConcern(Buffer.from('{"oslo.version":"2.0","oslo.message":"{\\"id\\":\\"x\\"}"}'))).toBe(true);
    expect(mayConcern(Buffer.from('\u001f'))).toBe(true);
  });

  test('of several ports in one body each counts', () => {
    const inner = innerOf(evacuated?.body ?? '') as unknown as { args: { resource_list: object[] } };
    const [port] = inner.args.resource_list;
    const other = JSON.parse(JSON.stringify(port).replaceAll(evacuatedId, '11111111-0000-4000-8000-000000000000')) as object;
    const list = Buffer.from(
      pythonJson({ 'oslo.message': pythonJson({ ...inner, args: { ...inner.args, resource_list: [other, port] } }) }),
    );
    expect(relevanceFor('hv9', sinkHolding(evacuatedId).interest).mayConcern(list)).toBe(true);
    expect(relevanceFor('hv9', sinkHolding().interest).mayConcern(list)).toBe(false);
  });

  test.each(['Port', 'a Port"', '"versioned_object.data": {"id": "x'])('a port with the name %s hides nothing', (name) => {
    const named = Buffer.from((evacuated?.body ?? '').replace(String.raw`\"vm-boot\"`, JSON.stringify(JSON.stringify(name)).slice(1, -1)));
    expect(named.equals(body)).toBe(false);
    expect(relevanceFor('hv9', sinkHolding(evacuatedId).interest).mayConcern(named)).toBe(true);
    expect(relevanceFor('hv9', sinkHolding().interest).mayConcern(named)).toBe(false);
  });

  test('a deleted push shows its id', () => {
    const deleted = pushes.find(({ mark }) => mark === 'delete_port');
    const bytes = Buffer.from(deleted?.body ?? '');
    expect(relevanceFor('hv9', sinkHolding(evacuatedId).interest).mayConcern(bytes)).toBe(true);
    expect(relevanceFor('hv9', sinkHolding().interest).mayConcern(bytes)).toBe(false);
  });

  test.each(['hv1', 'hv2', 'hv-unknown'])('for %s it agrees with what every recorded push says', (host) => {
    const { mayConcern } = relevanceFor(host, sinkHolding().interest);
    for (const push of pushes)
      expect(mayConcern(Buffer.from(push.body)), push.mark).toBe(JSON.stringify(innerOf(push.body)).includes(host));
  });
});
