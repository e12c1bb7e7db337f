/**
 * The oslo.messaging envelope (oslo_messaging/_drivers/common.py serialize_msg, _drivers/amqp.py): JSON whose
 * `oslo.message` is a string that holds JSON again. Contexts end here: of all `_context_*` keys, which carry the
 * API caller's Keystone token, only the request id goes on.
 */
import { randomUUID } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import type { Options } from 'amqplib';
import { type Decoded, decoded, isJsonObject, type JsonObject, parseJson, undecodable } from './json.ts';

/** The inner message of whatever kind, as far as this project reads it. */
export type OsloMessage = {
  /** Present in requests and casts. */
  readonly method?: string;
  readonly args: JsonObject;
  readonly version?: string;
  /** The call that a reply belongs to, or the id of a call. */
  readonly msgId?: string;
  /** Where the reply to a call goes. */
  readonly replyQueue?: string;
  readonly uniqueId?: string;
  /** The API request that caused the message. */
  readonly requestId?: string;
  /** Of replies. */
  readonly result?: unknown;
  /** Of replies: JSON in a string, see `remoteError`. */
  readonly failure?: unknown;
  /** Of replies: false in a sign of life that precedes the answer. */
  readonly ending?: boolean;
};

/** A uuid4 in hex without dashes, as oslo names messages and queues. */
export function hexId(): string {
  return randomUUID().replaceAll('-', '');
}

/** The context of a request of our own: what oslo.context needs to see an administrator, and nothing more. */
export function adminContext(): JsonObject {
  return {
    _context_is_admin: true,
    _context_roles: ['admin', 'member', 'reader'],
    _context_user_id: null,
    _context_project_id: null,
    _context_request_id: `req-${randomUUID()}`,
  };
}

export function encodeEnvelope(message: JsonObject): Buffer {
  return Buffer.from(JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(message) }));
}

/** The AMQP properties that oslo's kombu driver gives every message. */
export const MESSAGE_PROPERTIES: Options.Publish = {
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  deliveryMode: 2,
  priority: 0,
  headers: {},
};

/** Undoes `kombu_compression`, whose `application/x-gzip` is zlib's own format. Bounded, because a few bytes inflate to many. */
export function inflateBody(body: Buffer, compression: unknown, maxBytes: number): Decoded<Buffer> {
  if (body.length > maxBytes) return undecodable('too large');
  if (compression === undefined || compression === null) return decoded(body);
  if (compression !== 'application/x-gzip') return undecodable('unknown compression');
  try {
    return decoded(inflateSync(body, { maxOutputLength: maxBytes }));
  } catch {
    return undecodable('not inflatable');
  }
}

/** Reads a body of either message format: with the envelope, or bare (oslo.messaging's 1.0). */
export function decodeEnvelope(body: Buffer): Decoded<OsloMessage> {
  const outer = parseJson(body.toString('utf8'));
  if (!outer.ok) return outer;
  if (!isJsonObject(outer.value)) return undecodable('no object');
  if (!('oslo.message' in outer.value)) return readMessage(outer.value);
  const version = outer.value['oslo.version'];
  if (typeof version !== 'string' || !/^2\.\d+$/.test(version)) return undecodable('unknown envelope version');
  const text = outer.value['oslo.message'];
  if (typeof text !== 'string') return undecodable('oslo.message is no string');
  const inner = parseJson(text);
  if (!inner.ok) return inner;
  return isJsonObject(inner.value) ? readMessage(inner.value) : undecodable('oslo.message holds no object');
}

function readMessage(inner: JsonObject): Decoded<OsloMessage> {
  const { method, args, version, ending, result, failure } = inner;
  if (method !== undefined && typeof method !== 'string') return undecodable('method is no string');
  if (args !== undefined && !isJsonObject(args)) return undecodable('args is no object');
  const requestId = inner['_context_request_id'];
  return decoded({
    args: isJsonObject(args) ? args : {},
    ...optionalText('method', method),
    ...optionalText('version', version),
    ...optionalText('msgId', inner['_msg_id']),
    ...optionalText('replyQueue', inner['_reply_q']),
    ...optionalText('uniqueId', inner['_unique_id']),
    // Log lines carry it, so it may hold only what a request id is made of.
    ...(typeof requestId === 'string' && /^[\w.-]{1,80}$/.test(requestId) ? { requestId } : {}),
    ...(typeof ending === 'boolean' ? { ending } : {}),
    ...(result === undefined ? {} : { result }),
    ...(failure === undefined ? {} : { failure }),
  });
}

function optionalText<Key extends string>(key: Key, value: unknown): { readonly [K in Key]?: string } {
  return typeof value === 'string' ? ({ [key]: value } as { readonly [K in Key]?: string }) : {};
}
