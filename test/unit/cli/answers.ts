/** Canned answers of the operator API: one of each kind that the command line shows differently. */
import type { ExplainAnswer, PeerRow, RouteRow, StatusAnswer } from '../../../src/core/status.ts';

export const routes: readonly RouteRow[] = [
  {
    prefix: '203.0.113.10/32',
    set: 'desired',
    shape: 'normal',
    portId: '5f8d0d9b-1111-4c43-9b8e-0d1a6e3c2f10',
    inLocRib: true,
    nextHop: 'self',
    communities: ['64512:100'],
    largeCommunities: ['4200000179:1:1'],
    advertisedTo: ['192.0.2.254', '192.0.2.253'],
  },
  {
    prefix: '203.0.113.11/32',
    set: 'held',
    shape: 'worse',
    reason: 'unmentioned',
    inLocRib: true,
    nextHop: 'self',
    communities: ['65535:0'],
    largeCommunities: ['4200000179:1:1'],
    advertisedTo: null,
  },
  {
    prefix: '203.0.113.12/32',
    set: 'rejected',
    reason: 'bound-elsewhere',
    portId: 'file:203.0.113.12',
    inLocRib: false,
    communities: [],
    largeCommunities: [],
    advertisedTo: [],
  },
  {
    prefix: '2001:db8::10/128',
    set: 'foreign',
    inLocRib: true,
    nextHop: '2001:db8::1',
    communities: [],
    largeCommunities: [],
    advertisedTo: [],
  },
];

export const peers: readonly PeerRow[] = [
  {
    name: '192.0.2.254',
    asn: 64500,
    description: 'tor-a',
    state: 'established',
    adminDown: false,
    uptimeSeconds: 7_500,
    families: ['ipv4', 'ipv6'],
    advertised: 12,
  },
  { name: 'eth1', asn: 4_200_000_000, state: 'active', adminDown: false, families: ['ipv4'], advertised: null },
  { name: '192.0.2.252', asn: 64500, description: 'old\u001B[31m', state: 'idle', adminDown: true, families: [], advertised: 0 },
];

export const announced: ExplainAnswer = {
  address: '203.0.113.10',
  prefix: '203.0.113.10/32',
  announced: true,
  steps: [
    { step: 'binding', ok: true, text: 'neutron binds port p1 to compute-1', detail: { status: 'ACTIVE', revisionNumber: 7 } },
    { step: 'decision', ok: true, text: 'desired' },
    { step: 'guard', ok: true, text: 'inside 203.0.113.0/24' },
    { step: 'loc-rib', ok: true, text: 'in the Loc-RIB of GoBGP' },
    { step: 'peer', ok: true, text: 'in the Adj-RIB-Out of 192.0.2.254, which is established' },
  ],
};

export const notAnnounced: ExplainAnswer = {
  address: '203.0.113.12',
  prefix: '203.0.113.12/32',
  announced: false,
  steps: [
    { step: 'binding', ok: true, text: 'neutron binds port p2 to compute-2' },
    { step: 'decision', ok: false, text: 'rejected: bound-elsewhere' },
  ],
  firstFailure: 'rejected: bound-elsewhere',
};

export const status: StatusAnswer = {
  version: '0.1.0',
  host: 'compute-1',
  instanceId: '3f1c',
  startedAt: '2026-01-15T10:00:00Z',
  sources: [
    { name: 'neutron', inSync: true, everInSync: true, ports: 12 },
    { name: 'file', inSync: false, everInSync: false, lostReason: 'cannot read bindings.yaml: ENOENT', ports: 0 },
  ],
  speaker: { state: 'waiting', reason: 'waiting for file', version: 'API v3' },
  peers,
  routes: { desired: 12, own: 11, held: 0, rejected: 3 },
  lastReconcileAgeSeconds: 4,
  warnings: ['announce.networks is "*"'],
};

export const fineStatus: StatusAnswer = {
  ...status,
  sources: [{ name: 'neutron', inSync: true, everInSync: true, ports: 12 }],
  speaker: { state: 'ready' },
  peers: peers.filter(({ state }) => state === 'established'),
  lastReconcileAgeSeconds: null,
  warnings: [],
};
