/**
 * Tells when a file has become another: written in place, renamed over, deleted, created, or reached by another symlink.
 * The folder is watched, because a watch on a file stays with the inode that a rename takes away; and the file is looked
 * at now and then, because the folder may not be there yet, or be of a kind that tells nothing (a network file system).
 */
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, sleep } from './clock.ts';

/** A writer that writes in place is probably done when the file was left alone this long. */
const SETTLED_MS = 50;

/** Calls `onChange` after each change, never for the state at the start, until `signal` aborts. */
export async function watchFile(options: {
  readonly path: string;
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How often the file is looked at without having been told. */
  readonly pollMs?: number;
}): Promise<void> {
  const { path, onChange, clock, signal, pollMs = 5_000 } = options;
  let wake = new AbortController();
  const folder = watchFolder(dirname(path), () => wake.abort());
  const stop = (): void => wake.abort();
  signal.addEventListener('abort', stop);
  try {
    let told = await signatureOf(path);
    let last = told;
    while (!signal.aborted) {
      folder.ensure();
      if (last === told) await sleep(clock, pollMs, wake.signal);
      else await sleep(clock, SETTLED_MS, signal);
      if (signal.aborted) return;
      wake = new AbortController();
      const now = await signatureOf(path);
      if (now === last && now !== told) {
        told = now;
        onChange();
      }
      last = now;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    folder.close();
  }
}

/** What tells two states of a file apart; a file that cannot be seen has the empty one. */
async function signatureOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch {
    return '';
  }
}

type FolderWatch = { readonly ensure: () => void; readonly close: () => void };

/** A watch that is set again after it broke: the folder may be replaced as well. */
function watchFolder(folder: string, onEvent: () => void): FolderWatch {
  let watcher: FSWatcher | undefined;
  const drop = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  return {
    ensure() {
      if (watcher !== undefined) return;
      try {
        watcher = watch(folder, { persistent: false }, onEvent);
        watcher.on('error', drop);
      } catch {
        // No such folder yet, or no watch left: looking now and then goes on, and tries this again.
        watcher = undefined;
      }
    },
    close: drop,
  };
}
