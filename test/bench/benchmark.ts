/** What every benchmark gives: the values of each round beside the baseline's, and the rows that are made of them. */
import type { Lab } from '../lab/lab.ts';

/** What the ratio of ours to the baseline must keep. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** A row without a target is told, and is ok when it was measured. */
export type RowSpec = { readonly name: string; readonly unit: string; readonly target?: Target };

/** One value a round. Rounds of both are interleaved, so that what else the machine does meets both. */
export type Rounds = { readonly ours: number[]; readonly baseline: number[] };

export type Benchmark = {
  readonly name: string;
  readonly rows: readonly RowSpec[];
  /** @returns the rounds of every row, by its name */
  readonly measure: (lab: Lab, say: (progress: string) => void) => Promise<Readonly<Record<string, Rounds>>>;
};

/** A row of `--json`. Values are medians of the rounds; null: it could not be measured, and `why` says why. */
export type Row = {
  readonly name: string;
  readonly value: number | null;
  readonly unit: string;
  readonly baseline: number | null;
  /** `value / baseline`. */
  readonly ratio: number | null;
  /** Of the ratio: `<= 2`. */
  readonly target: string | null;
  readonly ok: boolean;
  readonly why?: string;
};

export function rowOf({ name, unit, target }: RowSpec, rounds: Rounds | undefined): Row {
  if (rounds === undefined || rounds.ours.length === 0 || rounds.baseline.length === 0)
    return failedRow({ name, unit, ...(target && { target }) }, 'nothing was measured');
  const [value, baseline] = [median(rounds.ours), median(rounds.baseline)];
  const ratio = value / baseline;
  return {
    name,
    value: rounded(value),
    unit,
    baseline: rounded(baseline),
    ratio: rounded(ratio),
    target: targetText(target),
    ok: Number.isFinite(ratio) && isMet(ratio, target),
  };
}

export function failedRow({ name, unit, target }: RowSpec, why: string): Row {
  return { name, value: null, unit, baseline: null, ratio: null, target: targetText(target), ok: false, why };
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** By nearest rank: a value that occurred. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** Three digits say all that a noisy machine can. */
export function rounded(value: number): number {
  return value >= 1_000 ? Math.round(value) : Number(value.toPrecision(3));
}

function isMet(ratio: number, target: Target | undefined): boolean {
  if (target === undefined) return true;
  return 'atMost' in target ? ratio <= target.atMost : ratio >= target.atLeast;
}

function targetText(target: Target | undefined): string | null {
  if (target === undefined) return null;
  return 'atMost' in target ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
}
