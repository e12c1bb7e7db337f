/** The primitives of oslo.versionedobjects: `{"versioned_object.name": ..., ".version": ..., ".data": {...}}`, nested ones too. */
import { type Decoded, decoded, isJsonObject, type JsonObject, undecodable } from '../oslo/json.ts';

/**
 * The fields of an object named `name`. Only the major version has to be 1: minor versions add fields, which we do not
 * read, and take none away that we do.
 */
export function readObject(primitive: unknown, name: string): Decoded<JsonObject> {
  if (!isJsonObject(primitive)) return undecodable(`${name} is no object`);
  if (primitive['versioned_object.name'] !== name) return undecodable(`no ${name}`);
  const version = primitive['versioned_object.version'];
  if (typeof version !== 'string' || !/^1\.\d+$/.test(version)) return undecodable(`unknown version of ${name}`);
  const data = primitive['versioned_object.data'];
  return isJsonObject(data) ? decoded(data) : undecodable(`${name} without data`);
}

/** Whether this is a versioned object, but of another name than `name` or of a major version that we do not know. */
export function isOtherObject(primitive: unknown, name: string): boolean {
  if (!isJsonObject(primitive)) return false;
  const { 'versioned_object.name': itsName, 'versioned_object.version': version } = primitive;
  if (typeof itsName !== 'string' || typeof version !== 'string' || !/^\d+\.\d+$/.test(version)) return false;
  return itsName !== name || !version.startsWith('1.');
}

/** Every element of a list through `read`, or the first reason why not. */
export function readList<T>(
  value: unknown,
  what: string,
  maxLength: number,
  read: (element: unknown) => Decoded<T>,
): Decoded<readonly T[]> {
  if (!Array.isArray(value)) return undecodable(`${what} is no list`);
  if (value.length > maxLength) return undecodable(`${what} is too long`);
  const elements: T[] = [];
  for (const element of value as readonly unknown[]) {
    const result = read(element);
    if (!result.ok) return result;
    elements.push(result.value);
  }
  return decoded(elements);
}
