/** Finds the API that a daemon serves: one GetBgp to each service, since neither reflection nor the health service is there. */
import { AgentError, codeOf } from '../lib/errors.ts';
import type { Channel } from './channel.ts';
import type { Dialect } from './dialect.ts';
import { dialectV3 } from './dialect-v3.ts';
import { dialectV4 } from './dialect-v4.ts';
import type { Method } from './wire.ts';

type Probe = { readonly path: string; readonly create: () => Dialect };

/** Newest first. The wrong major answers UNIMPLEMENTED at once. */
const PROBES: readonly Probe[] = [
  { path: '/api.GoBgpService/GetBgp', create: dialectV4 },
  { path: '/apipb.GobgpApi/GetBgp', create: dialectV3 },
];

/**
 * Finds out which API the daemon serves.
 * @param waitMs how long to wait for a daemon that is not there yet
 */
export async function detectDialect(channel: Channel, signal?: AbortSignal, waitMs = 0): Promise<Dialect> {
  for (const { path, create } of PROBES) {
    const method: Method<object, object> = { path, requestSerialize: () => Buffer.alloc(0), responseDeserialize: () => ({}) };
    try {
      await channel.unary(method, {}, { signal, ...(waitMs > 0 ? { waitForReady: true, deadlineMs: waitMs } : {}) });
    } catch (error) {
      if (codeOf(error) === 'gobgp-other-version') continue;
      throw error;
    }
    return create();
  }
  throw new AgentError(
    'gobgp-version-unsupported',
    'terminal',
    `what answers at ${channel.address} is no GoBGP: it serves neither API v3 nor v4`,
  );
}
