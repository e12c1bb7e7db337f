import { deflateSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { encodeEnvelope } from '../../../src/oslo/envelope.ts';
import { type Cast, castReceiver } from '../../../src/oslo/fanout.ts';

function receiver(wants: (body: Buffer) => boolean = () => true): {
  casts: Cast[];
  dropped: string[];
  receive: (content: Buffer, compression?: string) => void;
} {
  const casts: Cast[] = [];
  const dropped: string[] = [];
  const receive = castReceiver({
    wants,
    onCast: (cast) => casts.push(cast),
    onDropped: (why, detail) => dropped.push(detail === undefined ? why : `${why}: ${detail}`),
  });
  return {
    casts,
    dropped,
    receive: (content, compression) =>
      receive({ content, properties: { headers: compression === undefined ? {} : { compression } } as never }),
  };
}

const cast = (uniqueId: string, args: object = {}): Buffer =>
  encodeEnvelope({ method: 'push', version: '1.1', args, _unique_id: uniqueId });

test('a repeated unique id is dropped, while it is among the last 64', () => {
  const { casts, dropped, receive } = receiver();
  receive(cast('a'));
  receive(cast('a'));
  for (let n = 0; n < 64; n += 1) receive(cast(`other-${n}`));
  receive(cast('a'));
  expect(dropped).toEqual(['duplicate']);
  expect(casts).toHaveLength(66);
});

test('messages without a unique id are no duplicates of each other', () => {
  const { casts, receive } = receiver();
  for (let n = 0; n < 2; n += 1) receive(encodeEnvelope({ method: 'push', args: {} }));
  expect(casts).toEqual([
    { method: 'push', version: '1.0', args: {} },
    { method: 'push', version: '1.0', args: {} },
  ]);
});

test('the raw body decides before anything is parsed, inflated if need be', () => {
  const { casts, dropped, receive } = receiver((body) => body.includes('hv1'));
  receive(Buffer.from('{ not even JSON'));
  receive(cast('a', { host: 'hv2' }));
  receive(deflateSync(cast('b', { host: 'hv1' })), 'application/x-gzip');
  expect(dropped).toEqual(['foreign', 'foreign']);
  expect(casts).toHaveLength(1);
});

test('what cannot be read is dropped with its reason', () => {
  const { casts, dropped, receive } = receiver();
  receive(Buffer.from('{'));
  receive(encodeEnvelope({ result: 1 }));
  receive(Buffer.alloc(5 * 1024 * 1024, '['));
  receive(Buffer.from('x'), 'application/x-gzip');
  expect(dropped).toEqual(['malformed: not JSON', 'malformed: no method', 'malformed: too large', 'malformed: not inflatable']);
  expect(casts).toEqual([]);
});
