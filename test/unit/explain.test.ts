import { describe, expect, it } from 'vitest';
import { type ExplainFacts, explain, REASON_TEXTS } from '../../src/core/explain.ts';
import type { PeerStatus } from '../../src/core/ports.ts';
import { decide, REASONS } from '../../src/domain/decision.ts';
import { binding, claim, foreignRoute, host, route, settings } from '../fakes/ports.ts';

const PREFIX = host('203.0.113.10');
const NOW = 1_000_000;
const inSync = { name: 'neutron', inSync: true, inSyncOnce: true, snapshotMs: NOW };
const peer: PeerStatus = { name: '192.0.2.1', asn: 64500, state: 'established', adminDown: false, families: ['ipv4'] };

function facts(change: Partial<ExplainFacts> = {}): ExplainFacts {
  const claims = change.claims ?? [claim()];
  const own = change.local === 'away' ? undefined : (change.local ?? route('203.0.113.10'));
  const world = { settings: settings(), nowMs: NOW, inSyncOnce: true, snapshotMs: () => NOW, restraint: () => undefined };
  const { decision } = decide({ prefix: PREFIX, claims, own, isHeld: true, foreign: false, since: [] }, world);
  const peers = [{ status: peer, advertised: route('203.0.113.10') }];
  return {
    prefix: PREFIX,
    claims,
    decision,
    sources: [inSync],
    settings: settings(),
    nowMs: NOW,
    local: route('203.0.113.10'),
    peers,
    ...change,
  };
}

describe('explain', () => {
  it('shows every step of an address that is announced', () => {
    const answer = explain(facts());
    expect(answer).toMatchObject({ address: '203.0.113.10', announced: true });
    expect(answer.firstFailure).toBeUndefined();
    expect(answer.steps.map(({ step, ok, text }) => `${ok ? 'ok' : 'no'} ${step}: ${text}`)).toMatchInlineSnapshot(`
      [
        "ok binding: port port-1 is bound to hv1 (ovs, normal), ACTIVE, revision 4 of 2026-01-15T10:00:07Z, told by neutron",
        "ok decision: desired, in normal shape",
        "ok guard: inside what may be announced",
        "ok loc-rib: in the Loc-RIB: next hop self, large communities 4200000179:1:1",
        "ok peer: peer 192.0.2.1 (AS 64500): advertised",
      ]
    `);
  });

  it.each([
    [
      'nobody knows it',
      facts({ claims: [], decision: undefined, local: undefined, peers: [] }),
      'no source knows a port with this address',
    ],
    [
      'nobody knows it, and a source is away',
      facts({ claims: [], decision: undefined, local: undefined, sources: [{ ...inSync, inSync: false, lostReason: 'no route to host' }] }),
      'no source knows a port with this address; not in sync: neutron (no route to host)',
    ],
    [
      'the port is elsewhere',
      facts({
        claims: [claim({ bindings: [binding({ host: 'hv2' })] })],
        local: undefined,
        peers: [{ status: peer, advertised: undefined }],
      }),
      'rejected: bound-elsewhere (the port is bound to another host: ask there)',
    ],
    ['GoBGP is away', facts({ local: 'away', peers: undefined }), 'GoBGP cannot be asked: see `neutron-bgp-agent status`'],
    [
      'somebody else holds it',
      facts({ local: foreignRoute('203.0.113.10') }),
      'the Loc-RIB holds a path that is not ours: next hop 198.18.0.9',
    ],
    [
      'the session is down',
      facts({ peers: [{ status: { ...peer, state: 'active' }, advertised: undefined }] }),
      'peer 192.0.2.1 (AS 64500): the session is active',
    ],
    [
      'the policy holds it back',
      facts({ peers: [{ status: peer, advertised: undefined }] }),
      'peer 192.0.2.1 (AS 64500): not in the Adj-RIB-Out: the export policy holds it back',
    ],
    ['there is no peer', facts({ peers: [] }), 'there is no peer to announce to'],
  ])('%s', (_, given, firstFailure) => {
    expect(explain(given).firstFailure).toBe(firstFailure);
  });

  it('says how long a grace lasts', () => {
    const { steps } = explain(facts({ claims: [claim({ status: 'DOWN' })] }));
    expect(steps.find(({ step }) => step === 'decision')?.text).toBe(
      'desired, in normal shape, for 30.0 s more: not-active (the port is not ACTIVE: the instance is stopped, or the L2 agent has not wired it)',
    );
  });

  it('says why another port of the host is not the one', () => {
    const { steps } = explain(
      facts({ claims: [claim({ portId: 'a' }), claim({ portId: 'b' }), claim({ portId: 'c', adminStateUp: false })] }),
    );
    expect(steps.filter(({ step }) => step === 'binding').map(({ detail }) => detail?.reason)).toEqual([
      undefined,
      'duplicate-address',
      'admin-down',
    ]);
  });

  it('has a text for every reason', () => {
    expect(Object.keys(REASON_TEXTS).toSorted()).toEqual(REASONS.toSorted());
  });
});
