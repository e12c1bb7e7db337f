/** The kernel's id of this boot: what was true of instances under another one is true no more. */
import { readFile } from 'node:fs/promises';

/** Undefined when there is no such id (no Linux, no /proc). */
export async function readBootId(file = '/proc/sys/kernel/random/boot_id'): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim() || undefined;
  } catch {
    // Nothing is then known to be of this boot, which is the safe side.
    return undefined;
  }
}
