import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { PeerSettings } from '../../../src/domain/settings.ts';
import { peerToWire, readPeer } from '../../../src/gobgp/peers.ts';
import type { WirePeer } from '../../../src/gobgp/wire.ts';

const peer: PeerSettings = {
  neighbor: { address: '192.0.2.1' },
  asn: 64500,
  description: 'tor-1',
  passive: false,
  holdTimeSeconds: 9,
  keepaliveSeconds: 3,
  connectRetrySeconds: 1,
  families: ['ipv4', 'ipv6'],
  gracefulRestart: { restartTimeSeconds: 30, deferralTimeSeconds: 2 },
};
const now = new Date('2026-01-15T10:01:00Z');

describe('a peer for GoBGP', () => {
  test('carries no label: GoBGP would drop the session when it changes', () => {
    expect(JSON.stringify(peerToWire(peer, { localRestarting: true }))).not.toContain('tor-1');
  });

  test('of an interface carries the address that GoBGP before 4.8 does not look up', () => {
    const wire = peerToWire({ ...peer, neighbor: { interface: 'eth0' } }, { localRestarting: true, linkLocal: 'fe80::1%eth0' });
    expect(wire.conf).toEqual({ peerAsn: 64500, neighborInterface: 'eth0' });
    expect(wire.state).toEqual({ neighborAddress: 'fe80::1%eth0' });
  });

  test('restarts only where graceful restart is on', () => {
    expect(peerToWire(peer, { localRestarting: true }).gracefulRestart).toMatchObject({ enabled: true, localRestarting: true });
    expect(peerToWire({ ...peer, gracefulRestart: undefined }, { localRestarting: true }).gracefulRestart).toEqual({ enabled: false });
  });
});

describe('a listed peer', () => {
  /** As GoBGP lists it: with what it fills in by itself. */
  const listed = (more: Partial<WirePeer> = {}): WirePeer => {
    const sent = peerToWire(peer, { localRestarting: true });
    return {
      ...sent,
      ebgpMultihop: {},
      ttlSecurity: {},
      state: { neighborAddress: '192.0.2.1', sessionState: 'ESTABLISHED', adminState: 'UP' },
      timers: { ...sent.timers, state: { uptime: { seconds: now.getTime() / 1000 - 60 } } },
      transport: { localAddress: '192.0.2.2' },
      ...more,
    };
  };

  test('is configured as it was sent', () => {
    const { isConfiguredAs } = readPeer(listed(), now);
    expect(isConfiguredAs(peer)).toBe(true);
    expect(isConfiguredAs({ ...peer, localAddress: '192.0.2.2' })).toBe(true);
    expect(isConfiguredAs({ ...peer, localAddress: '192.0.2.3' })).toBe(false);
    expect(isConfiguredAs({ ...peer, password: 'secret' })).toBe(false);
  });

  test('shows no password, however it is printed', () => {
    const secretive = readPeer(listed({ conf: { ...listed().conf, authPassword: 'secret' } }), now);
    expect(inspect(secretive, { depth: null }) + JSON.stringify(secretive)).not.toContain('secret');
  });

  test('that somebody disabled is not configured as wanted', () => {
    expect(readPeer(listed({ conf: { ...listed().conf, adminDown: true } }), now).isConfiguredAs(peer)).toBe(false);
  });

  const states: readonly [name: string, more: Partial<WirePeer>, status: object][] = [
    [
      'established',
      {},
      { name: '192.0.2.1', asn: 64500, state: 'established', adminDown: false, uptimeSeconds: 60, families: ['ipv4', 'ipv6'] },
    ],
    ['down', { state: { neighborAddress: '192.0.2.1', sessionState: 'ACTIVE' } }, { state: 'active', adminDown: false }],
    ['over its prefix limit', { state: { sessionState: 'IDLE', adminState: 'PREFIX_LIMIT' } }, { state: 'idle', adminDown: true }],
    ['of a state that we do not know', { state: {} }, { state: 'unknown' }],
    ['of an interface', { conf: { peerAsn: 1, neighborInterface: 'eth0' }, state: { neighborAddress: 'fe80::1%eth0' } }, { name: 'eth0' }],
  ];
  test.each(states)('that is %s', (_name, more, status) => {
    expect(readPeer(listed(more), now).status).toMatchObject(status);
  });

  test('that is down has no uptime, and is known by its address', () => {
    const { status, address } = readPeer(listed({ state: { neighborAddress: 'fe80::1%eth0', sessionState: 'IDLE' } }), now);
    expect(status.uptimeSeconds).toBeUndefined();
    expect(address).toBe('fe80::1%eth0');
  });
});
