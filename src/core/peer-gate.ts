/**
 * When the peers of GoBGP may be opened. A router that sees a session come back without routes drops what it kept, so the
 * peers of a GoBGP that lost its routes wait until they are there again (RFC 4724: End-of-RIB is sent about 1 s after the
 * session). At the latest they open after half of the restart time, because the router counts from the loss of the session.
 */
import type { SpeakerSettings } from '../domain/settings.ts';

const AT_LATEST_SHARE = 0.5;
/** For peers without graceful restart nothing is kept, but a table in one piece is still worth a moment. */
const DEFAULT_RESTART_SECONDS = 30;

export class PeerGate {
  #state: 'closed' | 'opening' | 'open' = 'closed';
  #atLatestMs = 0;
  #checkAgain = false;

  /** A speaker was found. With its routes and peers in place nothing has to wait. */
  found(state: 'empty' | 'running', { mode, peers }: SpeakerSettings, nowMs: number): void {
    const restartSeconds = peers.flatMap(({ gracefulRestart }) => gracefulRestart?.restartTimeSeconds ?? []);
    const waitMs = Math.min(DEFAULT_RESTART_SECONDS, ...restartSeconds) * 1_000 * AT_LATEST_SHARE;
    this.#state = mode === 'attached' ? 'open' : 'closed';
    this.#checkAgain = false;
    this.#atLatestMs = state === 'empty' ? nowMs + waitMs : nowMs;
  }

  /** The configuration of the peers may have changed; they have their routes. While it is carried out, it waits. */
  check(nowMs: number): void {
    if (this.#state === 'opening') this.#checkAgain = true;
    else if (this.#state === 'open') {
      this.#state = 'closed';
      this.#atLatestMs = nowMs;
    }
  }

  isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Whether to open now: then the caller opens and says how it went. */
  mayOpen(complete: boolean, nowMs: number): boolean {
    if (this.#state !== 'closed' || !(complete || nowMs >= this.#atLatestMs)) return false;
    this.#state = 'opening';
    return true;
  }

  opened(nowMs: number): void {
    this.#state = 'open';
    const again = this.#checkAgain;
    this.#checkAgain = false;
    if (again) this.check(nowMs);
  }

  failed(retryAtMs: number): void {
    this.#state = 'closed';
    this.#checkAgain = false;
    this.#atLatestMs = retryAtMs;
  }

  /** When the gate opens by itself; Infinity: it waits for nothing. */
  nextMs(): number {
    return this.#state === 'closed' ? this.#atLatestMs : Number.POSITIVE_INFINITY;
  }
}
