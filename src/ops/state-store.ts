/**
 * Documents that outlive the process: one JSON file each in one folder, replaced by rename so that a crash leaves the old
 * one or the new one. Failures are told to telemetry and survived.
 */
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { StateStore, Telemetry } from '../core/ports.ts';
import { messageOf } from '../lib/errors.ts';

/** Raised when a file's meaning changes; a file of another version is as good as none. */
const VERSION = 1;
/** Ten thousand ports are about 6 MB. */
const MOST_BYTES = 64 * 1024 * 1024;

export function createStateStore(directory: string, telemetry: Telemetry): StateStore {
  const writes = new Map<string, Promise<void>>();
  const fail = (name: string, error: unknown): void =>
    telemetry.count({ kind: 'state-store-failure', name, error: typeof error === 'string' ? error : messageOf(error) });

  return {
    async load(name) {
      const file = fileOf(directory, name);
      try {
        const { size } = await stat(file);
        if (size > MOST_BYTES) throw new Error(`${file} is larger than ${MOST_BYTES} bytes`);
        return contentOf(file, await readFile(file, 'utf8'));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') fail(name, error);
        return undefined;
      }
    },
    /** Saves of one name happen in their order; the promise settles when this one is on disk, or has failed. */
    save(name, value) {
      const text = `${JSON.stringify({ version: VERSION, value })}\n`;
      const before = writes.get(name) ?? Promise.resolve();
      const write = before.then(() => replaceFile(directory, name, text)).catch((error: unknown) => fail(name, error));
      writes.set(name, write);
      return write;
    },
  };
}

function fileOf(directory: string, name: string): string {
  return join(directory, `${name.replaceAll(/[^a-z0-9-]/g, '_')}.json`);
}

function contentOf(file: string, text: string): unknown {
  const document: unknown = JSON.parse(text);
  if (typeof document !== 'object' || document === null || !('version' in document) || !('value' in document))
    throw new Error(`${file} is no state of ours`);
  if (document.version !== VERSION) throw new Error(`${file} is of version ${String(document.version)}, not ${VERSION}`);
  return document.value;
}

async function replaceFile(directory: string, name: string, text: string): Promise<void> {
  if (Buffer.byteLength(text) > MOST_BYTES) throw new Error(`${name} is larger than ${MOST_BYTES} bytes`);
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const file = fileOf(directory, name);
  const written = `${file}.new`;
  try {
    const handle = await open(written, 'w', 0o640);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(written, file);
  } catch (error) {
    await rm(written, { force: true });
    throw error;
  }
}
