/** From what should be in GoBGP and what is there to the operations that make them the same. */
import type { Prefix } from './prefix.ts';
import { isMarked, type Route, sameAttributes } from './route.ts';

export type Operation = { readonly kind: 'advertise'; readonly route: Route } | { readonly kind: 'withdraw'; readonly prefix: Prefix };

/** The prefix an operation is about. */
export function prefixOf(operation: Operation): Prefix {
  return operation.kind === 'advertise' ? operation.route.prefix : operation.prefix;
}

/**
 * Plans for `prefixes`. Routes are compared whole. Advertise comes before withdraw. An unmarked path on a prefix
 * that is not desired is somebody else's and stays.
 */
export function planReconcile(input: {
  readonly prefixes: Iterable<Prefix>;
  readonly desired: (prefix: Prefix) => Route | undefined;
  readonly local: (prefix: Prefix) => Route | undefined;
  readonly markers: readonly string[];
}): readonly Operation[] {
  const advertise: Operation[] = [];
  const withdraw: Operation[] = [];
  for (const prefix of input.prefixes) {
    const want = input.desired(prefix);
    const have = input.local(prefix);
    if (want !== undefined) {
      if (have === undefined || !sameAttributes(want.attributes, have.attributes)) advertise.push({ kind: 'advertise', route: want });
    } else if (have !== undefined && isMarked(have.attributes, input.markers)) withdraw.push({ kind: 'withdraw', prefix });
  }
  return advertise.concat(withdraw);
}
