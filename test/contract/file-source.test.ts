/** The file source against real files: every way in which an editor, a script or a configuration tool replaces one. */
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BindingSink, TelemetryEvent } from '../../src/core/ports.ts';
import type { PortBinding } from '../../src/domain/port-binding.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { watchFile } from '../../src/lib/file-watch.ts';
import { FileSource } from '../../src/sources/file.ts';
import { Lab, until } from '../lab/lab.ts';

/** A sink that keeps what it was told, and knows ports as the binding table does. */
class RecordingSink implements BindingSink {
  readonly told: string[] = [];
  bindings: readonly PortBinding[] = [];
  readonly #known = new Set<string>();
  readonly interest = {
    hasPort: (portId: string): boolean => this.#known.has(portId),
    portIds: (): readonly string[] => [...this.#known],
    port: (portId: string): PortBinding | undefined => this.bindings.find((one) => one.portId === portId),
    addresses: (): readonly string[] => [],
  };

  knows(portId: string): void {
    this.#known.add(portId);
  }
  replace(bindings: readonly PortBinding[]): void {
    this.bindings = bindings;
    for (const { portId } of bindings) this.#known.add(portId);
    this.told.push(`replace ${bindings.map(({ portId }) => portId).join(' ')}`.trim());
  }
  upsert(): void {
    throw new Error('a file source only tells snapshots');
  }
  remove(portId: string, cause: string): void {
    this.#known.delete(portId);
    this.told.push(`remove ${portId} ${cause}`);
  }
  lost(reason: string): void {
    this.told.push(`lost ${reason}`);
  }
  warn(): void {}
}

const ports = (...addresses: readonly string[]): string =>
  `ports:\n${addresses.map((address) => `  - addresses: [${address}]\n`).join('')}`;

describe('FileSource', () => {
  let lab: Lab;
  let sink: RecordingSink;
  let events: TelemetryEvent[];
  let stop: AbortController;
  let running: Promise<void>;
  let path: string;

  const start = (options: { rereadIntervalMs?: number } = {}): FileSource => {
    const telemetry = { count: (event: TelemetryEvent): void => void events.push(event), observe: (): void => {} };
    const source = new FileSource({ path, host: 'compute-1', telemetry, ...options });
    running = source.run(sink, stop.signal);
    return source;
  };
  const told = (what: string | RegExp): Promise<boolean> =>
    until(`${what}, told: ${sink.told.join(' | ')}`, () =>
      sink.told.some((line) => (typeof what === 'string' ? line === what : what.test(line))),
    );

  beforeEach(() => {
    lab = new Lab('file');
    path = lab.path('bindings.yaml');
    sink = new RecordingSink();
    events = [];
    stop = new AbortController();
    running = Promise.resolve();
  });
  afterEach(async () => {
    stop.abort();
    await running;
    await lab.close();
  });

  it('tells the file as a snapshot, and again when it was renamed over, twice', async () => {
    writeFileSync(path, ports('203.0.113.1'));
    start();
    await told('replace file:203.0.113.1');
    for (const address of ['203.0.113.2', '203.0.113.3']) {
      writeFileSync(`${path}.new`, ports('203.0.113.1', address));
      renameSync(`${path}.new`, path);
      await told(`replace file:203.0.113.1 file:${address}`);
    }
    expect(sink.told).toContain('remove file:203.0.113.2 deleted');
    expect(sink.told.indexOf('remove file:203.0.113.2 deleted')).toBeLessThan(
      sink.told.indexOf('replace file:203.0.113.1 file:203.0.113.3'),
    );
  });

  it('tells a change that was written in place, with a higher revision', async () => {
    writeFileSync(path, ports('203.0.113.1'));
    start();
    await told('replace file:203.0.113.1');
    const before = sink.bindings[0]?.revisionNumber ?? 0;
    writeFileSync(path, ports('203.0.113.1', '203.0.113.2'));
    await told('replace file:203.0.113.1 file:203.0.113.2');
    expect(sink.bindings[0]?.revisionNumber).toBeGreaterThan(before);
  });

  it('follows a symlink that is set to another folder', async () => {
    for (const [folder, address] of [
      ['one', '203.0.113.1'],
      ['two', '203.0.113.2'],
    ] as const) {
      mkdirSync(lab.path(folder));
      writeFileSync(lab.path(folder, 'bindings.yaml'), ports(address));
    }
    symlinkSync('one', lab.path('current'));
    symlinkSync('current/bindings.yaml', path);
    start();
    await told('replace file:203.0.113.1');
    symlinkSync('two', lab.path('next'));
    renameSync(lab.path('next'), lab.path('current'));
    await told('replace file:203.0.113.2');
  });

  it('waits for a file, and for its folder', async () => {
    path = lab.path('later', 'bindings.yaml');
    start({ rereadIntervalMs: 200 });
    await told(/^lost cannot read .*ENOENT/);
    mkdirSync(lab.path('later'));
    writeFileSync(path, ports('203.0.113.1'));
    await told('replace file:203.0.113.1');
  });

  it('keeps the last snapshot while the file is broken, emptied or gone', async () => {
    writeFileSync(path, ports('203.0.113.1'));
    start();
    await told('replace file:203.0.113.1');
    writeFileSync(path, 'ports: [');
    await told(/^lost .*bindings\.yaml:1:\d+: not YAML/);
    writeFileSync(path, '');
    await told(/^lost .*is empty/);
    unlinkSync(path);
    await told(/^lost cannot read .*ENOENT/);
    mkdirSync(path);
    await told(/^lost .*is no file/);
    expect(sink.told.filter((line) => line.startsWith('remove'))).toEqual([]);
    expect(events.filter((event) => event.kind === 'bus-message' && event.outcome === 'malformed').length).toBeGreaterThanOrEqual(3);
    rmSync(path, { recursive: true });
    writeFileSync(path, ports('203.0.113.2'));
    await told('replace file:203.0.113.2');
    expect(sink.told).toContain('remove file:203.0.113.1 deleted');
  });

  it('says that ports which the state store remembers were deleted, when the file has them no more', async () => {
    sink.knows('file:203.0.113.9');
    writeFileSync(path, ports('203.0.113.1'));
    start();
    await told('replace file:203.0.113.1');
    expect(sink.told).toEqual(['remove file:203.0.113.9 deleted', 'replace file:203.0.113.1']);
  });

  it('tells the same snapshot again, with the same revisions, at intervals and when asked', async () => {
    writeFileSync(path, ports('203.0.113.1'));
    const source = start();
    await told('replace file:203.0.113.1');
    const before = sink.bindings;
    source.resync();
    await until('a second snapshot', () => sink.told.length === 2);
    expect(sink.bindings).toEqual(before);
    stop.abort();
    await running;
    stop = new AbortController();
    start({ rereadIntervalMs: 30 });
    await until('snapshots at intervals', () => sink.told.length >= 5);
  });

  it('watchFile tells once of a burst of writes, and ends at the signal', async () => {
    writeFileSync(path, 'a');
    let changes = 0;
    running = watchFile({ path, onChange: () => (changes += 1), clock: systemClock, signal: stop.signal });
    // The first write may come before the watch has seen the file as it was; a burst is told once, when it is over.
    const burst = (): void => {
      for (let n = 0; n < 20; n++) writeFileSync(path, 'b'.repeat(n));
    };
    burst();
    await until('the watch tells', () => changes > 0 || (burst(), false), 15_000, 300);
    expect(changes).toBe(1);
    stop.abort();
    await running;
  });
});
