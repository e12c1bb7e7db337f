/**
 * `npm run bench`: how fast and how large, each beside a baseline of the same run; docs/performance.md says what is measured.
 *
 *   npm run bench [-- --json] [-- --only NAME]
 *
 * The exit code is 0 only if everything was measured and every target is met.
 */
import { parseArgs } from 'node:util';
import { Lab } from '../lab/lab.ts';
import { type Benchmark, failedRow, type Row, type Rounds, rounded, rowOf } from './benchmark.ts';
import { bulk } from './bulk.ts';
import { bus } from './bus.ts';
import { event } from './event.ts';
import { memory } from './memory.ts';

const BENCHMARKS: readonly Benchmark[] = [event, bulk, bus, memory];

type Measured = { readonly row: Row; readonly rounds: Rounds | undefined };

const { json, chosen } = readArguments() ?? process.exit(2);
let lab: Lab | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    console.error('interrupted');
    void (lab?.close() ?? Promise.resolve()).finally(() => process.exit(130));
  });

const measured: Measured[] = [];
for (const benchmark of chosen) measured.push(...(await run(benchmark)));
const rows = measured.map(({ row }) => row);
console.log(json ? JSON.stringify(rows, undefined, 2) : table(measured));
for (const { name, why } of rows) if (why !== undefined) console.error(`${name}: ${why}`);
process.exitCode = rows.every(({ ok }) => ok) ? 0 : 1;

async function run(benchmark: Benchmark): Promise<readonly Measured[]> {
  lab = new Lab(`bench-${benchmark.name}`);
  const startMs = performance.now();
  const say = (progress: string): void => console.error(`${benchmark.name}: ${progress}`);
  try {
    say('starting');
    const rounds = await benchmark.measure(lab, say);
    return benchmark.rows.map((spec) => ({ row: rowOf(spec, rounds[spec.name]), rounds: rounds[spec.name] }));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return benchmark.rows.map((spec) => ({ row: failedRow(spec, why), rounds: undefined }));
  } finally {
    await lab.close();
    say(`took ${((performance.now() - startMs) / 1_000).toFixed(0)} s`);
  }
}

function table(all: readonly Measured[]): string {
  const lines = [['', 'ours', '(rounds)', 'baseline', '(rounds)', 'unit', 'ratio', 'target', '']];
  for (const { row, rounds } of all) {
    const { name, value, unit, baseline, ratio, target, ok } = row;
    const cells = [value, spread(rounds?.ours), baseline, spread(rounds?.baseline), unit, ratio, target];
    lines.push([name, ...cells.map((cell) => String(cell ?? '-')), ok ? 'ok' : 'MISSED']);
  }
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  return lines.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

function spread(values: readonly number[] = []): string {
  return values.length === 0 ? '' : `${rounded(Math.min(...values))}..${rounded(Math.max(...values))}`;
}

function readArguments(): { json: boolean; chosen: readonly Benchmark[] } | undefined {
  const names = BENCHMARKS.map(({ name }) => name);
  try {
    const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, only: { type: 'string' } } });
    if (values.only !== undefined && !names.includes(values.only)) throw new Error(`there is no benchmark ${values.only}`);
    return { json: values.json, chosen: BENCHMARKS.filter(({ name }) => values.only === undefined || values.only === name) };
  } catch (error) {
    console.error(
      `${error instanceof Error ? error.message : String(error)}\nusage: npm run bench [-- --json] [-- --only ${names.join('|')}]`,
    );
    return undefined;
  }
}
