/** The way of one address from what a source says to each router: every step, and what to do where it ends. */
import { type Claim, type Decision, type Reason, reasonAgainst } from '../domain/decision.ts';
import { guard } from '../domain/guard.ts';
import { activeBinding } from '../domain/port-binding.ts';
import { addressOf, type Prefix } from '../domain/prefix.ts';
import { isMarked, type PathAttributes, type Route, sameRoute, shapeOf } from '../domain/route.ts';
import type { DecisionSettings } from '../domain/settings.ts';
import type { SourceStatus } from './binding-table.ts';
import type { PeerStatus } from './ports.ts';
import type { ExplainAnswer, ExplainStep } from './status.ts';

/** What each reason means to somebody who wants the address announced, and what helps. */
export const REASON_TEXTS: Readonly<Record<Reason, string>> = {
  deleted: 'the port was deleted in Neutron',
  'not-found': 'Neutron does not find the port, but has not told that it was deleted; it is withdrawn when a later snapshot says the same',
  'address-removed': 'the port no longer has this address',
  unbound: 'the port is bound to no host',
  'bound-elsewhere': 'the port is bound to another host: ask there',
  'binding-failed': 'Neutron could not bind the port to this host: see the log of neutron-server and the L2 agent of this host',
  'vif-unbound': 'Neutron has not wired the port on this host (vif_type unbound)',
  'admin-down': 'the port is administratively down: openstack port set --enable PORT',
  'device-owner': 'the port belongs to none of announce.deviceOwners',
  'vnic-type': 'the vnic_type of the port is none of announce.vnicTypes',
  network: 'the network of the port is none of announce.networks, nor, with announce.external, known to be external',
  'outside-prefixes': 'the address is in none of announce.prefixes',
  'denied-prefix': 'the address is in one of announce.deniedPrefixes',
  'not-active': 'the port is not ACTIVE: the instance is stopped, or the L2 agent has not wired it',
  'no-next-hop': 'no peer can be given a next hop for this address family: set announce.nextHop',
  'duplicate-address': 'another port of this host has the address',
  'claimed-elsewhere': 'a newer port of the same network has the address on another host',
  'foreign-route': 'somebody else put a path for the address into this GoBGP, which is not ours to change (gobgp.mode attached)',
  'route-limit': 'limits.routes is reached',
  'agent-disabled': 'the agent is disabled in Neutron, so it announces no new address: openstack network agent set --enable AGENT',
  'host-name-twice': 'another agent reports to Neutron under our host name, so no new address is announced: give each host its own name',
  unmentioned: 'no source knows a port with this address',
};

const GONE_TEXTS = {
  unconfirmed: 'told as deleted, not yet confirmed',
  deleted: 'deleted',
  'not-found': 'not found by a look-up',
} as const;

export type ExplainFacts = {
  readonly prefix: Prefix;
  readonly claims: readonly Claim[];
  readonly decision: Decision | undefined;
  readonly sources: readonly SourceStatus[];
  readonly settings: DecisionSettings;
  readonly nowMs: number;
  /** The local path in GoBGP; `away`: it cannot be asked. */
  readonly local: Route | undefined | 'away';
  /** The peers, each with what its Adj-RIB-Out holds for the prefix; undefined: it could not be asked. */
  readonly peers: readonly { readonly status: PeerStatus; readonly advertised: Route | undefined }[] | undefined;
};

export function explain(facts: ExplainFacts): ExplainAnswer {
  const steps = [...bindingSteps(facts), decisionStep(facts), ...guardStep(facts), locRibStep(facts), ...peerSteps(facts)];
  const firstFailure = steps.find(({ ok }) => !ok)?.text;
  const announced = steps.some(({ step, ok }) => step === 'peer' && ok);
  return {
    address: addressOf(facts.prefix),
    prefix: facts.prefix,
    announced,
    steps,
    ...(firstFailure !== undefined && { firstFailure }),
  };
}

function bindingSteps({ claims, decision, sources, settings, prefix }: ExplainFacts): readonly ExplainStep[] {
  if (claims.length === 0) {
    const unsynced = sources.filter(({ inSync }) => !inSync).map(({ name, lostReason }) => `${name} (${lostReason ?? 'no snapshot yet'})`);
    const text = unsynced.length === 0 ? REASON_TEXTS.unmentioned : `${REASON_TEXTS.unmentioned}; not in sync: ${unsynced.join(', ')}`;
    return [{ step: 'binding', ok: false, text }];
  }
  const spokesman = decision?.claim?.port.portId;
  return claims
    .toSorted((a, b) => Number(b.port.portId === spokesman) - Number(a.port.portId === spokesman))
    .map((claim) => {
      const { port, source, state, holds } = claim;
      const active = activeBinding(port);
      const gone = state === 'present' ? '' : `${GONE_TEXTS[state]}; last known: `;
      const where = active === undefined ? 'bound to no host' : `bound to ${active.host} (${active.vifType}, ${active.vnicType})`;
      const against =
        decision === undefined || port.portId === spokesman
          ? undefined
          : reasonAgainst(claim, decision, decision.route !== undefined, settings);
      return {
        step: 'binding',
        ok: true,
        text: `${gone}port ${port.portId} is ${where}, ${port.status}${port.adminStateUp ? '' : ', admin down'}, revision ${port.revisionNumber} of ${port.updatedAt}, told by ${source}${
          against === undefined ? '' : `; not this one: ${against}`
        }`,
        detail: { prefix, source, state, holdsAddress: holds, port, ...(against !== undefined && { reason: against }) },
      };
    });
}

function decisionStep({ decision, nowMs }: ExplainFacts): ExplainStep {
  if (decision === undefined)
    return { step: 'decision', ok: false, text: 'nothing to decide: no source speaks of it and no route of ours holds it' };
  const { set, reason, route, untilMs } = decision;
  const because = reason === undefined ? '' : `: ${reason} (${REASON_TEXTS[reason]})`;
  const shape = route === undefined ? undefined : shapeOf(route.attributes);
  const detail = { set, reason, shape };
  if (set === 'rejected') return { step: 'decision', ok: false, text: `rejected${because}`, detail };
  const until = untilMs === undefined ? '' : `, for ${Math.max(0, (untilMs - nowMs) / 1_000).toFixed(1)} s more`;
  return { step: 'decision', ok: true, text: `${set}, in ${shape} shape${until}${because}`, detail };
}

function guardStep({ decision, settings }: ExplainFacts): readonly ExplainStep[] {
  if (decision?.route === undefined) return [];
  const refusal = guard(decision.route, settings);
  return [
    { step: 'guard', ok: refusal === undefined, text: refusal === undefined ? 'inside what may be announced' : `refused: ${refusal}` },
  ];
}

function locRibStep({ local, decision, settings }: ExplainFacts): ExplainStep {
  const step = 'loc-rib';
  if (local === 'away') return { step, ok: false, text: 'GoBGP cannot be asked: see `neutron-bgp-agent status`' };
  if (local === undefined)
    return {
      step,
      ok: false,
      text: decision?.route === undefined ? 'not in the Loc-RIB, as decided' : 'not in the Loc-RIB although it should be',
    };
  const attributes = describe(local.attributes);
  const detail = { attributes: local.attributes };
  if (!isMarked(local.attributes, settings.markers))
    return { step, ok: false, text: `the Loc-RIB holds a path that is not ours: ${attributes}`, detail };
  const isAsDecided = sameRoute(local, decision?.route);
  return {
    step,
    ok: isAsDecided,
    text: `in the Loc-RIB: ${attributes}${isAsDecided ? '' : ', which is not what was decided: about to change'}`,
    detail,
  };
}

function peerSteps({ peers, local }: ExplainFacts): readonly ExplainStep[] {
  if (peers === undefined) return [];
  if (peers.length === 0) return [{ step: 'peer', ok: false, text: 'there is no peer to announce to' }];
  return peers.map(({ status, advertised }) => {
    const name = `peer ${status.name} (AS ${status.asn})`;
    const detail = { peer: status.name, state: status.state };
    if (status.state !== 'established') return { step: 'peer', ok: false, text: `${name}: the session is ${status.state}`, detail };
    if (advertised !== undefined)
      return { step: 'peer', ok: true, text: `${name}: advertised`, detail: { ...detail, attributes: advertised.attributes } };
    const why =
      local === undefined || local === 'away' ? 'nothing to advertise' : 'not in the Adj-RIB-Out: the export policy holds it back';
    return { step: 'peer', ok: false, text: `${name}: ${why}`, detail };
  });
}

function describe({ nextHop, asPath, communities, largeCommunities, med, localPref }: PathAttributes): string {
  return [
    `next hop ${nextHop}`,
    asPath.length > 0 && `AS_PATH ${asPath.join(' ')}`,
    med !== undefined && `MED ${med}`,
    localPref !== undefined && `LOCAL_PREF ${localPref}`,
    communities.length > 0 && `communities ${communities.join(' ')}`,
    largeCommunities.length > 0 && `large communities ${largeCommunities.join(' ')}`,
  ]
    .filter((part) => part !== false)
    .join(', ');
}
