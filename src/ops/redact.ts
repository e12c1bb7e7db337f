/** What may be shown of a value: no secret, no endless structure. Used for every log line. */
import { codeOf, messageOf } from '../lib/errors.ts';

const SECRET_KEY = /passw|secret|token|transport_?url|authori[sz]ation|credential|^key$|private_?key/i;
const MOST_DEPTH = 6;
const MOST_ITEMS = 200;

/** The fields of a log line without secrets, at any depth. */
export function redactedFields(fields: object): Record<string, unknown> {
  if (fields instanceof Error) return { error: redacted(fields, 1) };
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, isSecret(key, value) ? '[redacted]' : redacted(value, 1)]));
}

/** `scheme://user:password@a,user:password@b/` -> `scheme://***@a,***@b/`. */
export function redactedText(text: string): string {
  if (!text.includes('@')) return text;
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)([^\s/"'<>]+)/gi, (_, scheme: string, authority: string) =>
    scheme.concat(authority.replaceAll(/[^,@]*@/g, '***@')),
  );
}

function redacted(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactedText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error)
    return { code: codeOf(value), message: redactedText(messageOf(value)), stack: redactedText(value.stack ?? '') };
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  if (depth >= MOST_DEPTH) return '[deep]';
  if (value instanceof Map) return redacted(Object.fromEntries(value), depth);
  if (Array.isArray(value) || value instanceof Set) return [...value].slice(0, MOST_ITEMS).map((item) => redacted(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, isSecret(key, inner) ? '[redacted]' : redacted(inner, depth + 1)]),
  );
}

function isSecret(key: string, value: unknown): boolean {
  return SECRET_KEY.test(key) && value !== undefined && value !== null && typeof value !== 'boolean';
}
