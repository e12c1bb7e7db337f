import { describe, expect, test } from 'vitest';
import { AgentError } from '../../../src/lib/errors.ts';
import { parseTransportUrl, type TransportUrl } from '../../../src/config/transport-url.ts';

const one = (host: string, port = 5672, username = 'u', password = 'p'): TransportUrl['hosts'] => [{ host, port, username, password }];

describe('what oslo.messaging accepts', () => {
  test.each<[string, string, Partial<TransportUrl>]>([
    ['the usual form', 'rabbit://u:p@mq1:5673/', { hosts: one('mq1', 5673), virtualHost: '/', options: {} }],
    ['no port', 'rabbit://u:p@mq1/', { hosts: one('mq1') }],
    ['no path is the vhost /', 'rabbit://u:p@mq1', { virtualHost: '/' }],
    ['a vhost', 'rabbit://u:p@mq1/neutron', { virtualHost: 'neutron' }],
    ['two slashes are the vhost /', 'rabbit://u:p@mq1//', { virtualHost: '/' }],
    ['a percent-encoded vhost', 'rabbit://u:p@mq1/%2Fneutron', { virtualHost: '/neutron' }],
    ['percent-encoded credentials', 'rabbit://us%40er:p%3A%2F%2C%25@mq1/', { hosts: one('mq1', 5672, 'us@er', 'p:/,%') }],
    ['a colon in a password', 'rabbit://u:p:q@mq1/', { hosts: one('mq1', 5672, 'u', 'p:q') }],
    ['an @ in a password', 'rabbit://u:p@q@mq1/', { hosts: one('mq1', 5672, 'u', 'p@q') }],
    ['an IPv6 address', 'rabbit://u:p@[2001:db8::1]:5671/', { hosts: one('2001:db8::1', 5671) }],
    ['no credentials are kombu’s guest', 'rabbit://mq1/', { hosts: one('mq1', 5672, 'guest', 'guest') }],
    [
      'several hosts, each with its own credentials',
      'rabbit://a:b@mq1:1,c:d@[::1]:2/v',
      {
        hosts: [
          { host: 'mq1', port: 1, username: 'a', password: 'b' },
          { host: '::1', port: 2, username: 'c', password: 'd' },
        ],
        virtualHost: 'v',
      },
    ],
    [
      'options',
      'rabbit://u:p@mq1/v?ssl=1&heartbeat_timeout_threshold=60',
      { virtualHost: 'v', options: { ssl: '1', heartbeat_timeout_threshold: '60' } },
    ],
    ['the older scheme kombu', 'kombu://u:p@mq1/', { hosts: one('mq1') }],
    ['blanks around it', ' rabbit://u:p@mq1/\n', { hosts: one('mq1') }],
  ])('%s', (_name, url, expected) => {
    expect(parseTransportUrl(url)).toMatchObject(expected);
  });
});

describe('what is refused, without telling the password', () => {
  test.each([
    ['nothing', ''],
    ['no scheme', 'u:s3cret@mq1/'],
    ['another transport', 'zmq://u:s3cret@mq1/'],
    ['no host', 'rabbit:///v'],
    ['a port beyond the range', 'rabbit://u:s3cret@mq1:70000/'],
    ['a port that is no number', 'rabbit://u:s3cret@mq1:x/'],
    ['IPv6 without brackets', 'rabbit://u:s3cret@2001:db8::1/'],
    ['an unfinished percent-encoding', 'rabbit://u:s3cret%@mq1/'],
    ['a fragment', 'rabbit://u:s3cret@mq1/#x'],
  ])('%s', (_name, url) => {
    try {
      parseTransportUrl(url);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(AgentError);
      expect(error).toMatchObject({ code: 'transport-url', kind: 'terminal' });
      expect((error as Error).message).not.toContain('s3cret');
    }
  });
});
