/**
 * The two API majors of GoBGP are two wire protocols. A dialect is everything that differs between them: service and enum
 * numbers (in its .proto file), how a prefix and its path attributes are packed, and how a local path is recognised.
 * Everything else is written once, against `wire.ts`. Another major is one more file beside `dialect-v3.ts`.
 */
import type { Prefix } from '../domain/prefix.ts';
import type { PathAttributes, Route } from '../domain/route.ts';
import { AgentError, codeOf } from '../lib/errors.ts';
import type { Channel } from './channel.ts';
import { dialectV3 } from './dialect-v3.ts';
import type { Method, Methods, WirePath } from './wire.ts';

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
}

type Probe = { readonly version: ApiVersion; readonly path: string; readonly create: (() => Dialect) | undefined };

/** Newest first. The wrong major answers UNIMPLEMENTED at once; no version serves reflection or the health service. */
const PROBES: readonly Probe[] = [
  { version: 'v4', path: '/api.GoBgpService/GetBgp', create: undefined },
  { version: 'v3', path: '/apipb.GobgpApi/GetBgp', create: dialectV3 },
];

/**
 * Finds out which API the daemon serves.
 * @param waitMs how long to wait for a daemon that is not there yet
 */
export async function detectDialect(channel: Channel, signal?: AbortSignal, waitMs = 0): Promise<Dialect> {
  for (const { version, path, create } of PROBES) {
    const method: Method<object, object> = { path, requestSerialize: () => Buffer.alloc(0), responseDeserialize: () => ({}) };
    try {
      await channel.unary(method, {}, { signal, ...(waitMs > 0 ? { waitForReady: true, deadlineMs: waitMs } : {}) });
    } catch (error) {
      if (codeOf(error) === 'gobgp-other-version') continue;
      throw error;
    }
    if (create !== undefined) return create();
    throw new AgentError(
      'gobgp-version-unsupported',
      'terminal',
      `GoBGP at ${channel.address} serves API ${version}; this version of neutron-bgp-agent needs GoBGP 3.x (API v3)`,
    );
  }
  throw new AgentError(
    'gobgp-version-unsupported',
    'terminal',
    `what answers at ${channel.address} is no GoBGP: it serves neither API v3 nor v4`,
  );
}
