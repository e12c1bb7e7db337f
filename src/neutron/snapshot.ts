/** A complete picture of this host's ports: the ids that Neutron lists for the host and those we hold, each looked up. */
import type { PortBinding } from '../domain/port-binding.ts';
import { LOOK_UP_CHUNK, type LookedUp } from './look-up.ts';

export type SnapshotOptions = {
  /** Ids of the ports with any binding on this host. */
  readonly listIds: () => Promise<readonly string[]>;
  readonly lookUp: (ids: readonly string[]) => Promise<LookedUp>;
  /** Ids that we hold; asked again at the end, because pushes go on meanwhile. */
  readonly heldIds: () => readonly string[];
  /** Ids that were told as deleted since the last time this was called: an answer from before does not count. */
  readonly takeDeleted: () => readonly string[];
};

export type Snapshot = {
  readonly ports: readonly PortBinding[];
  /** Held ids whose answer could not be read. While there are any, the snapshot says nothing about absences. */
  readonly unknown: readonly string[];
};

export async function takeSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  const { listIds, lookUp, heldIds, takeDeleted } = options;
  takeDeleted();
  const asked = new Set<string>();
  const found = new Map<string, PortBinding>();
  const unreadable = new Set<string>();
  let due: readonly string[] = [...new Set([...(await listIds()), ...heldIds()])];
  while (due.length > 0) {
    for (let start = 0; start < due.length; start += LOOK_UP_CHUNK) {
      const ids = due.slice(start, start + LOOK_UP_CHUNK);
      const answer = await lookUp(ids);
      for (const id of ids) {
        asked.add(id);
        const port = answer.found.get(id);
        if (port === undefined) found.delete(id);
        else found.set(id, port);
        if (answer.unreadable.has(id)) unreadable.add(id);
        else unreadable.delete(id);
      }
    }
    const again = takeDeleted().filter((id) => asked.has(id));
    due = [...new Set([...again, ...heldIds().filter((id) => !asked.has(id))])];
  }
  const held = new Set(heldIds());
  return { ports: [...found.values()], unknown: [...unreadable].filter((id) => held.has(id)) };
}
