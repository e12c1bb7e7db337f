/** Asking Neutron for ports by id, and reading the answer so that only a clear "not there" looks like one. */
import type { PortBinding } from '../domain/port-binding.ts';
import { decodePort, portIdOf } from './port-object.ts';

/** Ids in neither part were looked up and not found. */
export type LookedUp = {
  readonly found: ReadonlyMap<string, PortBinding>;
  /** Ids of which nothing is known: there was an answer, and it could not be read. */
  readonly unreadable: ReadonlySet<string>;
  readonly reasons: readonly string[];
};

/** As many as make a reply of some 400 kB; a reply above the broker's message limit would never arrive. */
export const LOOK_UP_CHUNK = 100;

/** Reads what `bulk_pull` answered for `ids`. Objects that nobody asked for are ignored. */
export function readLookUp(ids: readonly string[], primitives: readonly unknown[]): LookedUp {
  const asked = new Set(ids);
  const found = new Map<string, PortBinding>();
  const unreadable = new Set<string>();
  const reasons: string[] = [];
  let nameless = false;
  for (const primitive of primitives) {
    const port = decodePort(primitive);
    if (port.ok) {
      if (asked.has(port.value.portId)) found.set(port.value.portId, port.value);
      continue;
    }
    reasons.push(port.reason);
    const id = portIdOf(primitive);
    if (!id.ok) nameless = true;
    else if (asked.has(id.value)) unreadable.add(id.value);
  }
  // An object without a readable id may be any of those that seem to be missing.
  if (nameless) for (const id of ids) if (!found.has(id)) unreadable.add(id);
  for (const id of unreadable) found.delete(id);
  return { found, unreadable, reasons };
}
