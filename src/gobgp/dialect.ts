/**
 * The two API majors of GoBGP are two wire protocols. A dialect is everything that differs between them: service and enum
 * numbers (in its .proto file), how a prefix and its path attributes are packed, and how a local path is recognised.
 * Everything else is written once, against `wire.ts`. What differs inside a major stands in `capabilities.ts`.
 */
import type { Prefix } from '../domain/prefix.ts';
import type { PathAttributes, Route } from '../domain/route.ts';
import { AgentError } from '../lib/errors.ts';
import type { Methods, WirePath } from './wire.ts';

export type ApiVersion = 'v3' | 'v4';

export type ListedPath = {
  /** Undefined when its prefix is none that we understand. */
  readonly prefix: Prefix | undefined;
  readonly isLocal: boolean;
  readonly isWithdraw: boolean;
  readonly isFiltered: boolean;
  /** Decodes the attributes. */
  readonly route: () => Route;
};

export interface Dialect {
  readonly version: ApiVersion;
  readonly methods: Methods;
  /** Packed attributes are kept per `attributes` object and family: share the object between routes. */
  path(prefix: Prefix, attributes: PathAttributes): WirePath;
  withdrawal(prefix: Prefix): WirePath;
  read(path: WirePath): ListedPath;
  /** `GoBGP/4.8.0` among a session's capabilities, if it is among them. */
  softwareVersion(capabilities: readonly unknown[]): string | undefined;
}

/** What both dialects make of a path, once its prefix and attributes can be read. */
export function listedPath(
  path: WirePath,
  parts: {
    readonly prefix: Prefix | undefined;
    readonly isAbsent: (address: string | undefined) => boolean;
    readonly attributes: () => PathAttributes;
  },
): ListedPath {
  const { prefix, isAbsent, attributes } = parts;
  return {
    prefix,
    isLocal: isAbsent(path.neighborIp) && isAbsent(path.sourceId),
    isWithdraw: path.isWithdraw === true,
    isFiltered: path.filtered === true,
    route: () => {
      if (prefix === undefined) throw new AgentError('gobgp-path', 'bug', 'a path whose prefix is none that we understand has no route');
      return { prefix, attributes: attributes() };
    },
  };
}
