/** What the reconciler takes, and what it tells of itself. */
import type { Decision } from '../domain/decision.ts';
import type { DecisionSettings, SpeakerSettings } from '../domain/settings.ts';
import type { Outcome } from './ports.ts';

export type ReconcilerSettings = {
  readonly decision: DecisionSettings;
  readonly speaker: SpeakerSettings;
  /** How often the speaker is read in full and everything is decided anew. */
  readonly resyncIntervalMs: number;
};

/** What became of one route, and the decision that asked for it. */
export type RouteChange = { readonly outcome: Outcome; readonly decision: Decision | undefined };

export type ReconcileReport = {
  readonly changes: readonly RouteChange[];
  /** Whether GoBGP holds, as far as we know, exactly what is desired. */
  readonly complete: boolean;
  readonly durationMs: number;
};

/** The reconciler's relation to the speaker; each transition is told to telemetry as from, to, reason. */
export type SpeakerState =
  | { readonly kind: 'away'; readonly reason: string }
  | { readonly kind: 'preparing' }
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'ready' };
