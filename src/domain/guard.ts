/** The last look at what is about to be desired: promise P2 in the agent, independent of how the decision came about. */
import { isHostPrefix } from './prefix.ts';
import { isMarked, type Route } from './route.ts';
import type { DecisionSettings } from './settings.ts';

/** Why a route must not be announced; undefined when it may. */
export function guard(route: Route, settings: DecisionSettings): string | undefined {
  const { prefix, attributes } = route;
  if (!isHostPrefix(prefix)) return 'not a host route';
  if (!settings.prefixes.covers(prefix)) return 'outside the configured prefixes';
  if (settings.deniedPrefixes.covers(prefix)) return 'inside a denied prefix';
  if (!isMarked(attributes, settings.markers)) return 'without our marker';
  return undefined;
}
