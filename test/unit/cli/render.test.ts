import { describe, expect, it } from 'vitest';
import { duration, renderExplain, renderPeers, renderRoutes, renderStatus } from '../../../src/cli/render.ts';
import { renderTable } from '../../../src/cli/table.ts';
import { announced, fineStatus, notAnnounced, peers, routes, status } from './answers.ts';

const pipe = { columns: undefined, colour: false };
const now = new Date('2026-01-16T12:30:00Z');

/** A golden text, indented like the code around it. */
function golden(text: string): string {
  const lines = text.split('\n').slice(1, -1);
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return lines.map((line) => `${line.slice(indent)}\n`).join('');
}

describe('the output for people', () => {
  it('routes', () => {
    expect(renderRoutes(routes, pipe)).toBe(
      golden(`
      PREFIX            SET       SHAPE   REASON           LOC-RIB  NEXT HOP     ADJ-RIB-OUT              PORT
      203.0.113.10/32   desired   normal  -                yes      self         192.0.2.254 192.0.2.253  5f8d0d9b-1111-4c43-9b8e-0d1a6e3c2f10
      203.0.113.11/32   held      worse   unmentioned      yes      self         ?                        -
      203.0.113.12/32   rejected  -       bound-elsewhere  no       -            -                        file:203.0.113.12
      2001:db8::10/128  foreign   -       -                yes      2001:db8::1  -                        -

      1 desired, 1 held, 1 rejected, 1 foreign
      `),
    );
  });

  it('routes on a narrow terminal: cut from the widest column that may be cut', () => {
    const text = renderRoutes(routes, { columns: 100, colour: false });
    expect(text.split('\n').slice(0, 3).join('\n')).toBe(
      golden(`
      PREFIX            SET       SHAPE   REASON           LOC-RIB  NEXT HOP     ADJ-RIB-OUT  PORT
      203.0.113.10/32   desired   normal  -                yes      self         192.0.2.25…  5f8d0d9b-11…
      203.0.113.11/32   held      worse   unmentioned      yes      self         ?            -
      `).trimEnd(),
    );
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('peers, without the control characters of a description', () => {
    expect(renderPeers(peers, pipe)).toBe(
      golden(`
      PEER                ASN  STATE                UP FOR  FAMILIES   ADVERTISED  DESCRIPTION
      192.0.2.254       64500  established       2 h 5 min  ipv4 ipv6          12  tor-a
      eth1         4200000000  active                    -  ipv4                ?  -
      192.0.2.252       64500  idle, admin down          -  -                   0  old\uFFFD[31m
      `),
    );
  });

  it('explain: announced', () => {
    expect(renderExplain(announced, pipe)).toBe(
      golden(`
      203.0.113.10/32 is announced

        yes  binding   neutron binds port p1 to compute-1
                         status: ACTIVE
                         revisionNumber: 7
        yes  decision  desired
        yes  guard     inside 203.0.113.0/24
        yes  loc-rib   in the Loc-RIB of GoBGP
        yes  peer      in the Adj-RIB-Out of 192.0.2.254, which is established
      `),
    );
  });

  it('explain: not announced', () => {
    expect(renderExplain(notAnnounced, pipe)).toBe(
      golden(`
      203.0.113.12/32 is not announced: rejected: bound-elsewhere

        yes  binding   neutron binds port p2 to compute-2
        no   decision  rejected: bound-elsewhere
      `),
    );
  });

  it('status with everything that can be wrong', () => {
    expect(renderStatus(status, pipe, now)).toBe(
      golden(`
      agent      0.1.0 on compute-1, up for 1 d 2 h, instance 3f1c
      sources    neutron: in sync, 12 ports
                 file: never in sync, 0 ports: cannot read bindings.yaml: ENOENT
      GoBGP      waiting, API v3: waiting for file
      peers      192.0.2.254 AS64500: established for 2 h 5 min, 12 advertised
                 eth1 AS4200000000: active, ? advertised
                 192.0.2.252 AS64500: idle, admin down, 0 advertised
      routes     12 desired, 11 own, 0 held, 3 rejected
      reconciled 4 s ago
      warnings   announce.networks is "*"
      `),
    );
  });

  it('status when all is fine', () => {
    expect(renderStatus(fineStatus, pipe, now)).toBe(
      golden(`
      agent      0.1.0 on compute-1, up for 1 d 2 h, instance 3f1c
      sources    neutron: in sync, 12 ports
      GoBGP      ready
      peers      192.0.2.254 AS64500: established for 2 h 5 min, 12 advertised
      routes     12 desired, 11 own, 0 held, 3 rejected
      reconciled never completely
      `),
    );
  });

  it.each([
    ['routes', renderRoutes([], pipe), 'no routes\n'],
    ['peers', renderPeers([], pipe), 'no peers\n'],
  ])('no %s', (_, text, expected) => {
    expect(text).toBe(expected);
  });

  it('colours only the words, and only when asked to', () => {
    const colour = { columns: undefined, colour: true };
    expect(renderPeers(peers, colour)).toContain('\u001B[32mestablished\u001B[0m ');
    expect(renderExplain(notAnnounced, colour)).toContain('\u001B[31mis not announced\u001B[0m');
    const plain = [renderRoutes(routes, pipe), renderPeers(peers, pipe), renderExplain(announced, pipe), renderStatus(status, pipe, now)];
    expect(plain.join('')).not.toContain('\u001B');
  });

  it('a table that cannot become narrow enough stays readable', () => {
    const text = renderTable([{ title: 'FIXED' }, { title: 'CUT', mayShrink: true }], [['0123456789', 'abcdefghijkl']], {
      columns: 5,
      colour: false,
    });
    expect(text).toBe('FIXED       CUT\n0123456789  abcdefg…\n');
  });

  it.each([
    [0, '0 s'],
    [59.6, '1 min'],
    [3_599, '59 min'],
    [7_500, '2 h 5 min'],
    [90_000, '1 d 1 h'],
    [-5, '0 s'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});
