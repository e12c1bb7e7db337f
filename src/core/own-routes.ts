/**
 * What is ours in GoBGP. A GoBGP that lost its routes does not make them less ours: until everything is there again,
 * what it held last counts, so that a grace or a hold survives its restart.
 */
import type { Prefix } from '../domain/prefix.ts';
import { isMarked, type Route } from '../domain/route.ts';
import type { LocalRoutes } from './ports.ts';
import type { SpeakerView } from './speaker-view.ts';

export class OwnRoutes {
  readonly #view: SpeakerView;
  #before: Map<Prefix, Route>;

  /** @param stored what GoBGP held last as far as the state store knows */
  constructor(view: SpeakerView, stored: LocalRoutes) {
    this.#view = view;
    this.#before = new Map(stored);
  }

  /** GoBGP was found without its routes. It may be lost again before they are back: nothing is forgotten then. */
  lost(): void {
    for (const [prefix, route] of this.#view.routes()) this.#before.set(prefix, route);
  }

  /** GoBGP was found with its routes: what it holds is what is ours. */
  found(): void {
    this.#before = new Map();
  }

  /** GoBGP holds the prefix again, or it is not to be announced any more: what it held before is over. @returns whether it counted */
  settled(prefix: Prefix): boolean {
    return this.#before.delete(prefix);
  }

  get(prefix: Prefix, markers: readonly string[]): Route | undefined {
    const route = this.#view.get(prefix) ?? this.#before.get(prefix);
    return route !== undefined && isMarked(route.attributes, markers) ? route : undefined;
  }

  /** Every route of ours that GoBGP holds. */
  held(markers: readonly string[]): LocalRoutes {
    return new Map([...this.#view.routes()].filter(([, { attributes }]) => isMarked(attributes, markers)));
  }

  /** What the state store should hold: also what GoBGP does not hold yet again. */
  toKeep(markers: readonly string[]): LocalRoutes {
    return new Map([...this.#before, ...this.held(markers)]);
  }

  /** Prefixes that GoBGP held before it was found empty. */
  lostPrefixes(): Iterable<Prefix> {
    return this.#before.keys();
  }
}
