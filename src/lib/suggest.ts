/** Which known word an unknown one was probably meant to be. */

/**
 * The nearest of `known`, or undefined when none is near. Case, `_` and `-` do not count, and a word that lacks its unit
 * (`hold_time`) is near the one that has it (`holdTimeSeconds`).
 */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '');
  const asked = plain(word);
  const byDistance = known
    .map((candidate) => ({ candidate, distance: distanceOf(asked, plain(candidate)) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = byDistance[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(asked.length / 3)) ? best.candidate : undefined;
}

function distanceOf(a: string, b: string): number {
  if (a === b) return 0;
  if (a.length >= 3 && (b.startsWith(a) || a.startsWith(b))) return 0.5;
  // Swapped letters are one mistake.
  if (Array.from(a).toSorted().join('') === Array.from(b).toSorted().join('')) return 1;
  return editDistance(a.slice(0, 64), b);
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
