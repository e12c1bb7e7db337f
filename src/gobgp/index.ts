/**
 * The project's GoBGP client for others: `import { connectGobgp } from 'neutron-bgp-agent/gobgp'`. Usable without the agent;
 * examples/gobgp/ shows how.
 */
export type { Outcome, PeerStatus, SessionState, WatchHandlers } from '../core/ports.ts';
export type { Operation } from '../domain/plan.ts';
export { type Family, hostPrefix, type Prefix, parsePrefix } from '../domain/prefix.ts';
export { type PathAttributes, pathAttributes, type Route } from '../domain/route.ts';
export type { BfdSettings, PeerSettings, SpeakerSettings } from '../domain/settings.ts';
export { AgentError, type ErrorKind } from '../lib/errors.ts';
export type { CapabilityName } from './capabilities.ts';
export type { TlsOptions } from './channel.ts';
export { connectGobgp, GobgpClient, type GobgpGlobal, type GobgpOptions } from './client.ts';
export type { ApiVersion } from './dialect.ts';
export type { GobgpErrorCode } from './errors.ts';
export type { ListedPeer } from './peers.ts';
export { type PolicyRule, type PolicyRules, planPolicies } from './policy.ts';
