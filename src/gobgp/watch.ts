/**
 * GoBGP's event stream. It ends when the daemon ends; a heartbeat ends it when the daemon hangs, which the stream alone
 * never tells. A daemon that lost its BGP instance ends it too.
 */
import type { WatchHandlers } from '../core/ports.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import { peerNameFromWire, sessionStateFromWire } from './peers.ts';
import { isReleaseProbe } from './release.ts';
import type { Session } from './session.ts';
import type { Calls } from './wire.ts';

export type WatchSettings = {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatDeadlineMs: number;
};

/** Returns when `signal` aborts; throws when the daemon is gone, hangs or was restarted. */
export async function watchEvents(session: Session, handlers: WatchHandlers, settings: WatchSettings): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([settings.signal, ending.signal]);
  const request: Calls['WatchEvent'][0] = { peer: {}, table: { filters: [{ type: 'BEST', init: false }] } };
  const stream = session.channel.serverStream(session.dialect.methods.WatchEvent, request, (event) => tell(session, event, handlers), {
    signal,
    deadlineMs: Number.POSITIVE_INFINITY,
  });
  try {
    await Promise.race([stream, heartbeat(session, settings, signal)]);
    if (!settings.signal.aborted) throw new AgentError('gobgp-stream-ended', 'retryable', 'GoBGP ended the stream of events');
  } catch (error) {
    if (!settings.signal.aborted) throw error;
  } finally {
    ending.abort();
    await stream.catch(() => undefined);
  }
}

async function heartbeat(session: Session, settings: WatchSettings, signal: AbortSignal): Promise<void> {
  const { clock, heartbeatIntervalMs, heartbeatDeadlineMs: deadlineMs } = settings;
  while (!signal.aborted) {
    await sleep(clock, heartbeatIntervalMs, signal);
    if (signal.aborted) return;
    const { global } = await session.channel.unary(session.dialect.methods.GetBgp, {}, { signal, deadlineMs });
    if ((global?.asn ?? 0) === 0) throw new AgentError('gobgp-restarted', 'retryable', 'GoBGP lost its BGP instance');
  }
}

function tell({ dialect }: Session, event: Calls['WatchEvent'][1], handlers: WatchHandlers): void {
  if (event.peer !== undefined) {
    const { type, peer } = event.peer;
    // what was registered before is complete now: peers are told first, and every later change of a table follows
    if (type === 'END_OF_INIT') handlers.live();
    else if (peer !== undefined && !isReleaseProbe(peer))
      handlers.peer({ name: peerNameFromWire(peer), asn: peer.conf?.peerAsn ?? 0, state: sessionStateFromWire(peer) });
  }
  for (const wire of event.table?.paths ?? []) {
    const path = dialect.read(wire);
    if (path.prefix !== undefined) handlers.route(path.prefix, path.isLocal && !path.isWithdraw ? path.route() : undefined);
  }
}
