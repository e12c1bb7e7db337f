/**
 * When an address is announced: one pure function from what is known about one prefix to one decision (docs/design.md part 5).
 * No clock, no socket, no log: time is a value. What is not here: who tells us (core/binding-table.ts), what to do about it (domain/plan.ts).
 */
import { activeBinding, type HostBinding, hasInactiveBindingElsewhere, type PortBinding } from './port-binding.ts';
import { familyOf, hostPrefix, type Prefix } from './prefix.ts';
import { type Route, type Shape, shapeOf } from './route.ts';
import type { DecisionSettings, GraceMs } from './settings.ts';

/** Every reason for which an address is not announced, or only for a while longer. The same word in log, metric, API and `explain`. */
export const REASONS = [
  'deleted',
  'not-found',
  'address-removed',
  'unbound',
  'bound-elsewhere',
  'binding-failed',
  'vif-unbound',
  'admin-down',
  'device-owner',
  'vnic-type',
  'network',
  'outside-prefixes',
  'denied-prefix',
  'not-active',
  'no-next-hop',
  'duplicate-address',
  'claimed-elsewhere',
  'foreign-route',
  'route-limit',
  'agent-disabled',
  'host-name-twice',
  'unmentioned',
] as const;

export type Reason = (typeof REASONS)[number];

/** Why a source's ports get no new address announced; what is ours already stays. */
export type Restraint = Extract<Reason, 'agent-disabled' | 'host-name-twice'>;

/** What one port has to do with one prefix. */
export type Claim = {
  readonly source: string;
  /**
   * `present`: the source knows the port. `unconfirmed`: it was told as deleted and nobody confirmed it. `deleted`: confirmed.
   * `not-found`: a look-up by id found nothing, which alone proves nothing.
   */
  readonly state: 'present' | 'unconfirmed' | 'deleted' | 'not-found';
  /** The last known state of the port. */
  readonly port: PortBinding;
  /** Whether the port holds the address now; false: it once did. */
  readonly holds: boolean;
};

/** The rows of the grace table; the time of each is in `DecisionSettings.graceMs`. */
export type GraceRow = keyof GraceMs;

/** Since when a claim has been rejected in one row of the grace table. The port id is empty for an unmentioned route. */
export type Since = { readonly portId: string; readonly row: GraceRow; readonly sinceMs: number };

/** All that is known about one prefix. */
export type PrefixFacts = {
  readonly prefix: Prefix;
  readonly claims: readonly Claim[];
  /** Our route in GoBGP, or the one it held before it was found empty. */
  readonly own: Route | undefined;
  /** Whether GoBGP holds `own` now. */
  readonly isHeld: boolean;
  /** Whether an unmarked local path holds the prefix in GoBGP. */
  readonly foreign: boolean;
  /** The port by which the address was announced last; absent: none was in this process. */
  readonly spokesman?: string;
  readonly since: readonly Since[];
};

/** What is the same for all prefixes of one evaluation. */
export type World = {
  readonly settings: DecisionSettings;
  readonly nowMs: number;
  /** Whether every source was in sync once since the start. */
  readonly inSyncOnce: boolean;
  /** When the last complete snapshot of a source was taken; without a name: the oldest of all sources' last ones. -Infinity: never. */
  readonly snapshotMs: (source?: string) => number;
  readonly restraint: (source: string) => Restraint | undefined;
};

export type Decision = {
  readonly prefix: Prefix;
  /** `held`: announced although no source speaks for it any more, because a doubt must not withdraw it. */
  readonly set: 'desired' | 'held' | 'rejected';
  /** What is to be announced; absent when rejected. */
  readonly route?: Route;
  /** Why it is rejected, held, or announced only until `untilMs`. */
  readonly reason?: Reason;
  /** When a grace ends, on the monotonic clock. */
  readonly untilMs?: number;
  /** The port that speaks for the address; absent when none does. */
  readonly claim?: Claim;
};

export type Evaluation = {
  /** Absent when there is nothing to say: no claim and no route of ours. */
  readonly decision?: Decision;
  readonly since: readonly Since[];
};

type Context = {
  readonly prefix: Prefix;
  readonly isOwn: boolean;
  readonly settings: DecisionSettings;
  readonly active: HostBinding | undefined;
};

/** The checks of one claim, in order: each names the reason with which it rejects. */
const CHECKS: readonly (readonly [Reason, (claim: Claim, context: Context) => boolean])[] = [
  ['deleted', ({ state }) => state !== 'deleted' && state !== 'unconfirmed'],
  ['not-found', ({ state }) => state !== 'not-found'],
  ['address-removed', ({ holds }) => holds],
  ['unbound', (_, { active }) => active !== undefined],
  ['bound-elsewhere', (_, { active, settings }) => active?.host === settings.host],
  ['binding-failed', (_, { active }) => active?.vifType !== 'binding_failed'],
  ['vif-unbound', ({ port }, { active, isOwn, settings }) => active?.vifType !== 'unbound' || (isOwn && isMigrating(port, settings))],
  ['admin-down', ({ port }) => port.adminStateUp],
  ['device-owner', ({ port }, { settings }) => settings.deviceOwners.some((pattern) => matches(pattern, port.deviceOwner))],
  ['vnic-type', (_, { active, settings }) => settings.vnicTypes.has(active?.vnicType ?? '')],
  ['network', (claim, { isOwn, settings }) => isNetworkOurs(claim, settings) ?? isOwn],
  ['outside-prefixes', (_, { prefix, settings }) => settings.prefixes.covers(prefix)],
  ['denied-prefix', (_, { prefix, settings }) => !settings.deniedPrefixes.covers(prefix)],
  ['not-active', ({ port }, { isOwn, settings }) => isActiveEnough(port, isOwn, settings) || isMigrating(port, settings)],
  ['no-next-hop', (_, { prefix, settings }) => settings.attributes[familyOf(prefix)] !== undefined],
];

/** The first reason for which a claim alone is rejected; undefined when it passes every check. */
function judge(claim: Claim, prefix: Prefix, isOwn: boolean, settings: DecisionSettings): Reason | undefined {
  const context = { prefix, isOwn, settings, active: activeBinding(claim.port) };
  return CHECKS.find(([, passes]) => !passes(claim, context))?.[0];
}

/** Decides one prefix. */
export function decide(facts: PrefixFacts, world: World): Evaluation {
  const { prefix, own } = facts;
  const { settings } = world;
  const speaking = facts.claims.filter((claim) => speaksOfOurAddresses(claim, facts, settings));
  if (speaking.length === 0 && own !== undefined) return decideUnmentioned(facts, own, world);
  const claims = speaking.length === 0 ? facts.claims : speaking;

  const judged = claims.map((claim) => standing(claim, facts, world));
  const since = judged.flatMap(({ since: one }) => (one === undefined ? [] : [one]));
  const best = judged.toSorted(byPrecedence)[0];
  if (best === undefined) return { since: [] };
  const { claim } = best;
  const reject = (reason: Reason): Evaluation => ({ decision: { prefix, set: 'rejected', reason, claim }, since });

  if (best.shape === undefined) {
    // Who gave the address up may have been told before who has it now: that is known when every source was in sync.
    if (own !== undefined && !world.inSyncOnce && claims.every(hasGivenUp)) return decideUnmentioned(facts, own, world);
    return reject(best.reason ?? 'unmentioned');
  }
  if (isDoubt(best.reason) && claims.some((other) => isNewerElsewhere(other, claim, settings))) return reject('claimed-elsewhere');
  if (facts.foreign && settings.mode === 'attached') return reject('foreign-route');
  const attributes = settings.attributes[familyOf(prefix)]?.[best.shape];
  if (attributes === undefined) return reject('no-next-hop');
  const restraint = own === undefined ? world.restraint(claim.source) : undefined;
  if (restraint !== undefined) return reject(restraint);
  return {
    decision: {
      prefix,
      set: best.reason === 'not-found' ? 'held' : 'desired',
      route: { prefix, attributes },
      claim,
      ...(best.reason !== undefined && { reason: best.reason }),
      ...(best.untilMs !== undefined && { untilMs: best.untilMs }),
    },
    since,
  };
}

/**
 * Why each claim that is not the one a decision went by is not announced either: for `explain`.
 * A claim that passes alone loses against the first one.
 */
export function reasonAgainst(claim: Claim, decision: Decision, isOwn: boolean, settings: DecisionSettings): Reason | undefined {
  if (decision.claim?.port.portId === claim.port.portId) return decision.reason;
  return judge(claim, decision.prefix, isOwn, settings) ?? 'duplicate-address';
}

type Standing = {
  readonly claim: Claim;
  /** Absent when the claim passes every check. */
  readonly reason?: Reason;
  /** In what shape the claim lets the address be announced; absent: not at all. */
  readonly shape?: Shape;
  readonly untilMs?: number;
  readonly since?: Since;
};

/** What one claim is good for by itself: it passes, is in a grace, or is rejected. */
function standing(claim: Claim, facts: PrefixFacts, world: World): Standing {
  const { prefix, own } = facts;
  const { settings, nowMs } = world;
  const reason = judge(claim, prefix, own !== undefined, settings);
  if (reason === undefined) return { claim, shape: 'normal' };
  const row = graceRow(reason, claim, settings);
  // A grace keeps what is announced; it never announces. Outside our prefixes nothing is kept.
  if (row === undefined || own === undefined || !isAllowed(prefix, settings)) return { claim, reason };
  const since = sinceFor(facts, claim.port.portId, row, nowMs);
  const untilMs = since.sinceMs + settings.graceMs[row];
  const over = row === 'unmentioned' ? world.snapshotMs(claim.source) >= untilMs : nowMs >= untilMs;
  if (over) return { claim, reason, since };
  const shape = row === 'inactive' ? shapeOf(own.attributes) : 'worse';
  return { claim, reason, since, shape, ...(row !== 'unmentioned' && { untilMs }) };
}

/** An own route of which nobody speaks. Unknown is not empty: it waits for every source, then for two snapshots that agree. */
function decideUnmentioned(facts: PrefixFacts, own: Route, world: World): Evaluation {
  const { prefix } = facts;
  const { settings } = world;
  const reason = 'unmentioned';
  if (!isAllowed(prefix, settings)) return { decision: { prefix, set: 'rejected', reason: 'outside-prefixes' }, since: [] };
  const attributes = settings.attributes[familyOf(prefix)]?.worse;
  if (!world.inSyncOnce) {
    // What GoBGP holds is left alone; what would have to be injected anew must lose against whoever else announces it.
    const route = facts.isHeld || attributes === undefined ? own : { prefix, attributes };
    return { decision: { prefix, set: 'held', reason, route }, since: [] };
  }
  const since = sinceFor(facts, '', 'unmentioned', world.nowMs);
  if (attributes === undefined || world.snapshotMs() >= since.sinceMs + settings.graceMs.unmentioned)
    return { decision: { prefix, set: 'rejected', reason }, since: [since] };
  return { decision: { prefix, set: 'held', reason, route: { prefix, attributes } }, since: [since] };
}

/** Counts per row, so that DOWN followed by unbound is one window. */
function sinceFor({ since }: PrefixFacts, portId: string, row: GraceRow, nowMs: number): Since {
  return since.find((one) => one.portId === portId && one.row === row) ?? { portId, row, sinceMs: nowMs };
}

function graceRow(reason: Reason, { state, port }: Claim, settings: DecisionSettings): GraceRow | undefined {
  if (reason === 'not-active' || reason === 'vif-unbound') return 'inactive';
  if (reason === 'not-found') return 'unmentioned';
  if (reason === 'deleted') return state === 'unconfirmed' ? 'unconfirmed' : undefined;
  const leftByMigration = port.bindings.some(({ host, status }) => host === settings.host && status === 'INACTIVE');
  return reason === 'bound-elsewhere' && leftByMigration ? 'migration' : undefined;
}

/** Passing before in a grace before rejected; then the newer port, then the port id. Among rejected ones the one that came furthest. */
function byPrecedence(a: Standing, b: Standing): number {
  return (
    rank(a) - rank(b) ||
    (rank(a) === 2 ? furthest(b) - furthest(a) : 0) ||
    compare(b.claim.port.updatedAt, a.claim.port.updatedAt) ||
    compare(a.claim.port.portId, b.claim.port.portId)
  );
}

function rank({ reason, shape }: Standing): 0 | 1 | 2 {
  return reason === undefined ? 0 : shape === undefined ? 2 : 1;
}

function furthest({ reason }: Standing): number {
  return reason === undefined ? REASONS.length : REASONS.indexOf(reason);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Reasons on which alone nobody should lose a route: somebody's word is missing or may be about to change. */
function isDoubt(reason: Reason | undefined): boolean {
  return reason === 'not-active' || reason === 'vif-unbound' || reason === 'not-found' || reason === 'deleted';
}

/** Whether a port of the same network holds the address on another host, and says so later than our claim. */
function isNewerElsewhere(other: Claim, ours: Claim, settings: DecisionSettings): boolean {
  return (
    other.state === 'present' &&
    other.holds &&
    other.port.networkId === ours.port.networkId &&
    other.port.updatedAt > ours.port.updatedAt &&
    isBoundElsewhere(other.port, settings)
  );
}

/**
 * A port in a network that is not ours to announce speaks of another address space, wherever it is and whatever became of
 * it: a tenant may give any address to a port. Only the port that the address was announced by keeps its voice.
 */
function speaksOfOurAddresses(claim: Claim, { spokesman }: PrefixFacts, settings: DecisionSettings): boolean {
  return claim.port.portId === spokesman || (isNetworkOurs(claim, settings) ?? !isBoundElsewhere(claim.port, settings));
}

function hasGivenUp({ state, holds }: Claim): boolean {
  return !holds || state === 'deleted';
}

function isBoundElsewhere(port: PortBinding, settings: DecisionSettings): boolean {
  const active = activeBinding(port);
  return active !== undefined && active.host !== settings.host;
}

/** Undefined: not known yet, which neither announces nor withdraws. */
function isNetworkOurs({ source, port }: Claim, { networks, external, anyNetworkSources }: DecisionSettings): boolean | undefined {
  if (networks === 'any' || anyNetworkSources.has(source) || networks.has(port.networkId)) return true;
  return external ? port.external : false;
}

/** Whether a source has to find out if the port's network is external: with it, an address of the port might be announced. */
export function hangsOnNetwork(port: PortBinding, settings: DecisionSettings): boolean {
  const { networks, external, allowedAddressPairs } = settings;
  if (!external || networks === 'any' || networks.has(port.networkId)) return false;
  const addresses = allowedAddressPairs ? [...port.fixedIps, ...port.allowedAddressPairs] : port.fixedIps;
  return addresses.some((address) => {
    const prefix = hostPrefix(address);
    return prefix !== undefined && isAllowed(prefix, settings);
  });
}

function isActiveEnough({ status }: PortBinding, isOwn: boolean, { requireActive }: DecisionSettings): boolean {
  return status === 'ACTIVE' || requireActive === 'never' || (requireActive === 'first' && isOwn);
}

function isAllowed(prefix: Prefix, { prefixes, deniedPrefixes }: DecisionSettings): boolean {
  return prefixes.covers(prefix) && !deniedPrefixes.covers(prefix);
}

/** During a live migration the status is DOWN at either end although the guest runs (seen on Neutron 26). */
function isMigrating(port: PortBinding, { host }: DecisionSettings): boolean {
  return hasInactiveBindingElsewhere(port, host);
}

function matches(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern;
}
