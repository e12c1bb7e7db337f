import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { adminContext, decodeEnvelope, encodeEnvelope, hexId, inflateBody } from '../../../src/oslo/envelope.ts';
import { remoteError } from '../../../src/oslo/remote-error.ts';

const body = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const wrapped = (inner: unknown): Buffer =>
  body({ 'oslo.version': '2.0', 'oslo.message': typeof inner === 'string' ? inner : JSON.stringify(inner) });

describe('decode', () => {
  test('a request, of whose context only the request id goes on', () => {
    const inner = {
      method: 'push',
      args: { a: 1 },
      version: '1.1',
      _unique_id: 'u',
      _context_request_id: 'req-1',
      _context_auth_token: 'gAAAAA-secret',
      _context_roles: ['admin'],
    };
    expect(decodeEnvelope(wrapped(inner))).toEqual({
      ok: true,
      value: { method: 'push', args: { a: 1 }, version: '1.1', uniqueId: 'u', requestId: 'req-1' },
    });
  });

  test('a reply, and one that says null', () => {
    expect(decodeEnvelope(wrapped({ result: [1], failure: null, ending: true, _msg_id: 'm' }))).toEqual({
      ok: true,
      value: { args: {}, msgId: 'm', ending: true, result: [1], failure: null },
    });
    expect(decodeEnvelope(wrapped({ result: null, ending: false, _msg_id: 'm' }))).toMatchObject({
      value: { result: null, ending: false },
    });
  });

  test('a bare message of format 1.0', () => {
    expect(decodeEnvelope(body({ method: 'm', args: {} }))).toEqual({ ok: true, value: { method: 'm', args: {} } });
  });

  test.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'not JSON'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00]), 'not JSON'],
    ['cut off', wrapped({ method: 'm' }).subarray(0, 30), 'not JSON'],
    ['a list', body([]), 'no object'],
    ['null', body(null), 'no object'],
    ['a later format', body({ 'oslo.version': '3.0', 'oslo.message': '{}' }), 'unknown envelope version'],
    ['no version', body({ 'oslo.message': '{}' }), 'unknown envelope version'],
    ['encoded once only', body({ 'oslo.version': '2.0', 'oslo.message': {} }), 'oslo.message is no string'],
    ['an inner text that is no JSON', wrapped('{'), 'not JSON'],
    ['an inner list', wrapped([]), 'oslo.message holds no object'],
    ['a method that is a number', wrapped({ method: 1 }), 'method is no string'],
    ['args that are a list', wrapped({ method: 'm', args: [] }), 'args is no object'],
  ])('%s is an error value', (_name, bytes, reason) => {
    expect(decodeEnvelope(bytes)).toEqual({ ok: false, reason });
  });

  test('a request id that would break a log line is dropped', () => {
    for (const requestId of ['req\n1', '', 'x'.repeat(81), 7, { a: 1 }])
      expect(decodeEnvelope(wrapped({ method: 'm', _context_request_id: requestId }))).toEqual({
        ok: true,
        value: { method: 'm', args: {} },
      });
  });

  test('deeply nested input neither throws nor overflows', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(decodeEnvelope(wrapped(`{"method":"m","args":{"a":${deep}}}`)).ok).toBe(true);
  });
});

test('encode is what decode reads', () => {
  const context = adminContext();
  expect(decodeEnvelope(encodeEnvelope({ method: 'm', args: { a: 'é"\\' }, version: '1.0', _msg_id: 'i', ...context }))).toEqual({
    ok: true,
    value: { method: 'm', args: { a: 'é"\\' }, version: '1.0', msgId: 'i', requestId: context['_context_request_id'] },
  });
  expect(hexId()).toMatch(/^[0-9a-f]{32}$/);
});

describe('compression', () => {
  const text = Buffer.from('{"a": 1}');
  test.each<[string, Buffer, unknown, unknown]>([
    ['none', text, undefined, { ok: true, value: text }],
    ['what kombu calls gzip', deflateSync(text), 'application/x-gzip', { ok: true, value: text }],
    ['one we do not know', text, 'application/x-bz2', { ok: false, reason: 'unknown compression' }],
    ['a lie', text, 'application/x-gzip', { ok: false, reason: 'not inflatable' }],
    ['a bomb', deflateSync(Buffer.alloc(100_000)), 'application/x-gzip', { ok: false, reason: 'not inflatable' }],
    ['too large as it is', Buffer.alloc(10_001), undefined, { ok: false, reason: 'too large' }],
  ])('%s', (_name, bytes, header, expected) => {
    expect(inflateBody(bytes, header, 10_000)).toEqual(expected);
  });
});

describe('failures', () => {
  test.each<[string, unknown, object]>([
    [
      'InvalidInput',
      JSON.stringify({ class: 'InvalidInput', message: 'no', tb: ['secret'] }),
      { code: 'rpc-remote-error', kind: 'retryable', remoteClass: 'InvalidInput' },
    ],
    ['NoSuchMethod', JSON.stringify({ class: 'NoSuchMethod', message: 'no' }), { code: 'rpc-unknown-method', kind: 'terminal' }],
    [
      'UnsupportedVersion',
      JSON.stringify({ class: 'UnsupportedVersion', message: 'no' }),
      { code: 'rpc-unknown-method', kind: 'terminal' },
    ],
    ['no JSON', 'oops', { code: 'rpc-remote-error', remoteClass: 'an unreadable failure' }],
    ['no string', { class: 'X' }, { code: 'rpc-remote-error', remoteClass: 'an unreadable failure' }],
  ])('%s', (_name, failure, expected) => {
    const error = remoteError(failure, 'bulk_pull');
    expect(error).toMatchObject(expected);
    expect(error.message).toContain('bulk_pull');
    expect(error.message).not.toContain('secret');
  });
});
