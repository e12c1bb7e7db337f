/** Reading JSON that strangers wrote: every step has an answer for input that is not what it should be, and none throws. */

/** A value, or why there is none. Whoever can write to the bus chooses the input, so being wrong is not exceptional. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export type JsonObject = Readonly<Record<string, unknown>>;

export function decoded<T>(value: T): Decoded<T> {
  return { ok: true, value };
}

export function undecodable(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function parseJson(text: string): Decoded<unknown> {
  try {
    return decoded(JSON.parse(text));
  } catch {
    // The parser's message quotes the text, which may hold a token.
    return undecodable('not JSON');
  }
}
