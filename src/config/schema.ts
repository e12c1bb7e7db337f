/**
 * The config file's schema: keys, defaults, ranges of single values, and the text that editors show (config/agent.schema.json).
 * What several keys must be to each other is in `cross-checks.ts`.
 */
import { z } from 'zod';
import type { ConfigFile, PeerSection } from './config-file.ts';
import {
  addressField,
  announcedPrefixField,
  asnField,
  communityField,
  gobgpAddressField,
  largeCommunityField,
  listenField,
  networkIdField,
  nextHopField,
  portField,
  prefixField,
  routerIdField,
  uint32Field,
} from './fields.ts';

/** Where the daemon and the command line meet when nobody says otherwise. */
export const DEFAULT_OPERATOR_SOCKET = '/run/neutron-bgp-agent/operator.sock';

const text = (): z.ZodString => z.string().min(1).max(4096);
const seconds = (least: number, most: number): z.ZodNumber => z.number().min(least).max(most);
const wholeSeconds = (least: number, most: number): z.ZodInt => z.int().min(least).max(most);

const fileSource = z.strictObject({
  path: text().meta({ description: 'bindings.yaml; a relative path begins at the folder of this file' }),
});

const neutronSource = z.strictObject({
  configFiles: z.array(text()).max(16).default([]).meta({
    description:
      "Neutron's own option files: transport_url, host, control_exchange and [oslo_messaging_rabbit] are taken from them. Keys of this file go before",
  }),
  transportUrl: text()
    .regex(/^[a-z][a-z0-9+.-]*:\/\//, { error: 'must begin with rabbit://' })
    .optional()
    .meta({ description: 'oslo.messaging transport URL with its password; better in transportUrlFile or NEUTRON_BGP_AGENT_TRANSPORT_URL' }),
  transportUrlFile: text().optional().meta({ description: 'File that holds the transport URL and nothing else' }),
  tls: z
    .strictObject({
      caFile: text()
        .optional()
        .meta({ description: "PEM file of the authority that signed RabbitMQ's certificate; default: the system's" }),
      certificateFile: text().optional().meta({ description: "PEM file of the agent's certificate" }),
      keyFile: text().optional().meta({ description: "PEM file of the agent's key" }),
      verifyHostname: z
        .boolean()
        .optional()
        .meta({ description: 'Whether the certificate must name the host of the transport URL; default: true' }),
    })
    .optional()
    .meta({ description: 'TLS to RabbitMQ; also switched on by ssl of [oslo_messaging_rabbit] or of the transport URL' }),
  heartbeatSeconds: wholeSeconds(1, 600).optional().meta({ description: "AMQP heartbeat; default: 15, or Neutron's if that is shorter" }),
  reconnectSpreadSeconds: seconds(0, 600)
    .default(30)
    .meta({ description: 'After a loss the agent waits up to this long, at random, since all agents lose RabbitMQ at once' }),
  controlExchange: text().optional().meta({ description: "Neutron's control_exchange; default: neutron" }),
  fanoutDurable: z
    .boolean()
    .optional()
    .meta({ description: "Whether Neutron's fanout exchanges are durable (rabbit_transient_quorum_queue); default: asked of RabbitMQ" }),
  resyncIntervalSeconds: seconds(10, 86_400).default(300).meta({ description: 'How often a complete snapshot is asked for' }),
  reportIntervalSeconds: seconds(1, 600)
    .default(30)
    .meta({ description: "How often the agent reports to Neutron; below half of Neutron's agent_down_time" }),
  rpcTimeoutSeconds: seconds(1, 600)
    .default(60)
    .meta({ description: 'How long one call to Neutron may take; doubled after each that took longer, up to ten times as long' }),
  portVersion: z.enum(['pinned', 'ovs-agent']).default('pinned').meta({
    description:
      "pinned: Port 1.7, which every server can push; ovs-agent: the version of this host's OVS agent, which costs the server no push of its own",
  }),
});

const announce = z.strictObject({
  networks: z
    .union([z.literal('*'), z.array(networkIdField).min(1)], { error: 'must be a list of network ids, or "*"' })
    .optional()
    .meta({
      description:
        'Ids of the networks whose ports may be announced, or "*"; with a Neutron source, this or external is required; not asked of the file source',
    }),
  external: z
    .boolean()
    .default(false)
    .meta({ description: 'Also announce ports of every network that Neutron calls external (router:external)' }),
  prefixes: z
    .array(announcedPrefixField)
    .min(1)
    .max(1024)
    .meta({ description: 'Only host addresses inside these are ever announced; enforced again by GoBGP' }),
  deniedPrefixes: z.array(prefixField).max(1024).default([]).meta({ description: 'Addresses inside these are not announced' }),
  allowedAddressPairs: z
    .boolean()
    .default(false)
    .meta({ description: "Also announce a port's allowed address pairs that are one host address" }),
  deviceOwners: z.array(text()).min(1).default(['compute:*']).meta({ description: 'device_owner values, or beginnings followed by *' }),
  vnicTypes: z
    .array(text())
    .min(1)
    .default(['normal', 'direct', 'macvtap', 'virtio-forwarder', 'vdpa'])
    .meta({ description: 'binding:vnic_type values whose ports are announced' }),
  requireActive: z.enum(['always', 'first', 'never']).default('always').meta({
    description:
      'When a port must be ACTIVE: always; first: only until it is announced; never: for mechanism drivers that do not report it',
  }),
  nextHop: z
    .strictObject({
      ipv4: nextHopField('ipv4').optional().meta({ description: 'self (default in managed mode), or an address' }),
      ipv6: nextHopField('ipv6')
        .optional()
        .meta({ description: 'self only where every peer with IPv6 is configured over IPv6, or an address' }),
    })
    .prefault({})
    .meta({ description: 'One next hop per family for all peers' }),
  communities: z.array(communityField).max(64).default([]).meta({ description: 'Communities of every route (RFC 1997)' }),
  largeCommunities: z
    .array(largeCommunityField)
    .max(64)
    .default([])
    .meta({ description: 'Large communities of every route (RFC 8092), beside the marker' }),
  med: uint32Field.optional().meta({ description: 'MULTI_EXIT_DISC of every route' }),
  localPref: uint32Field.optional().meta({ description: 'LOCAL_PREF of every route; reaches iBGP peers only' }),
});

const gobgp = z.strictObject({
  address: gobgpAddressField.default('127.0.0.1:50051').meta({ description: "gobgpd's API: HOST:PORT or unix:///PATH" }),
  mode: z
    .enum(['managed', 'attached'])
    .default('managed')
    .meta({ description: 'managed: gobgpd has no configuration but ours; attached: it has its own, and we add routes only' }),
  tls: z
    .strictObject({
      caFile: text().optional().meta({ description: "PEM file of the authority that signed gobgpd's certificate" }),
      certificateFile: text().optional().meta({ description: "PEM file of the agent's certificate" }),
      keyFile: text().optional().meta({ description: "PEM file of the agent's key" }),
    })
    .optional()
    .meta({ description: 'TLS to the API, if its address is not local' }),
  asn: asnField.meta({ description: 'Our ASN' }),
  routerId: routerIdField.optional().meta({ description: "BGP identifier; without it the peers' IPv4 localAddress, never a guess" }),
  listenPort: z
    .int()
    .min(-1)
    .max(65_535)
    .refine((port) => port !== 0, { error: '0 would mean 179 to GoBGP; -1 means none' })
    .default(179)
    .meta({ description: 'TCP port for incoming sessions, -1: none' }),
  listenAddresses: z.array(addressField).max(64).default([]).meta({ description: 'Addresses to listen on; none: all' }),
  marker: largeCommunityField.default('4200000179:1:1').meta({ description: 'The large community that makes a route ours' }),
  formerMarkers: z
    .array(largeCommunityField)
    .max(8)
    .default([])
    .meta({ description: 'Markers of former configurations whose routes are still ours' }),
  resyncIntervalSeconds: seconds(1, 3600).default(15).meta({ description: 'How often GoBGP is read in full' }),
});

/** Defaults as docs/design.md part 7 explains them. */
const gracefulRestart = z.strictObject({
  enabled: z.boolean().default(true).meta({ description: 'RFC 4724' }),
  restartTimeSeconds: wholeSeconds(1, 4095).default(30).meta({ description: 'How long the peer keeps our routes while GoBGP is away' }),
  deferralTimeSeconds: wholeSeconds(1, 360).default(2).meta({ description: 'How long GoBGP waits for silent peers after its restart' }),
  longLivedSeconds: wholeSeconds(1, 16_777_215).optional().meta({ description: 'RFC 9494; off when absent' }),
});

const bfdInterval = (): z.ZodDefault<z.ZodInt> => z.int().min(10).max(60_000).default(300);

const bfd = z.strictObject({
  transmitIntervalMs: bfdInterval().meta({ description: 'How often we send at the most' }),
  receiveIntervalMs: bfdInterval().meta({ description: 'How often we want to hear at the least' }),
  multiplier: z.int().min(1).max(255).default(3).meta({ description: 'Missed packets after which the other end is down' }),
});

const peer: z.ZodType<PeerSection> = z.strictObject({
  address: addressField.optional().meta({ description: "The peer's address" }),
  interface: text().max(15).optional().meta({ description: 'Instead of an address: the interface of an unnumbered session' }),
  asn: asnField.meta({ description: "The peer's ASN" }),
  description: text().max(255).optional().meta({ description: 'For people' }),
  passwordFile: text().optional().meta({ description: 'File with the TCP MD5 password (RFC 2385)' }),
  localAddress: addressField.optional().meta({ description: 'Our address of the session' }),
  remotePort: portField.optional().meta({ description: "The peer's TCP port when it is not 179" }),
  passive: z.boolean().default(false).meta({ description: 'Wait for the peer to connect' }),
  multihopTtl: z.int().min(2).max(255).optional().meta({ description: 'TTL of an eBGP session over several hops' }),
  ttlSecurityMin: z.int().min(1).max(255).optional().meta({ description: 'GTSM (RFC 5082): the least TTL that is accepted' }),
  holdTimeSeconds: wholeSeconds(3, 65_535).default(9).meta({ description: 'Hold time that we offer' }),
  keepaliveSeconds: wholeSeconds(1, 21_845).default(3).meta({ description: 'Below the hold time, best a third of it' }),
  connectRetrySeconds: wholeSeconds(1, 65_535).default(1).meta({ description: 'Time between attempts to connect' }),
  families: z
    .array(z.enum(['ipv4', 'ipv6']))
    .min(1)
    .max(2)
    .default(['ipv4', 'ipv6'])
    .meta({ description: 'Unicast families of the session' }),
  gracefulRestart: gracefulRestart.prefault({}).meta({ description: 'Graceful restart (RFC 4724)' }),
  bfd: bfd.optional().meta({ description: 'BFD (RFC 5880), single hop; needs GoBGP 4.6; off when absent' }),
});

export const configSchema: z.ZodType<ConfigFile> = z
  .strictObject({
    host: text().max(255).optional().meta({ description: "This hypervisor as Neutron and nova name it; default: the machine's host name" }),
    stateDirectory: text().default('/var/lib/neutron-bgp-agent').meta({ description: 'What outlives the process' }),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error']).default('info').meta({ description: 'JSON lines on standard output' }),
      })
      .prefault({})
      .meta({ description: 'Logging' }),
    http: z
      .strictObject({
        listen: z
          .union([z.literal('off'), listenField], { error: 'must be ADDRESS:PORT, such as 127.0.0.1:9471 or "[::1]:9471", or off' })
          .prefault('127.0.0.1:9471')
          .meta({ description: 'ADDRESS:PORT of /metrics, /healthz and /readyz, or off' }),
      })
      .prefault({})
      .meta({ description: 'Metrics and health' }),
    operator: z
      .strictObject({
        socket: text()
          .max(107, { error: "must be at most 107 characters, the kernel's limit for a socket" })
          .default(DEFAULT_OPERATOR_SOCKET)
          .meta({ description: 'Unix socket of the operator API; also the lock against a second daemon' }),
      })
      .prefault({})
      .meta({ description: 'What the command line talks to' }),
    sources: z
      .strictObject({
        file: fileSource.optional().meta({ description: 'Bindings from a file' }),
        neutron: neutronSource.optional().meta({ description: 'Bindings from Neutron over RabbitMQ' }),
      })
      .meta({ description: 'Where bindings come from; at least one' }),
    announce: announce.meta({ description: 'What may be announced, and how' }),
    limits: z
      .strictObject({
        routes: z
          .int()
          .min(1)
          .max(100_000)
          .default(4096)
          .meta({ description: "Most routes at once; keep it below the peers' maximum-prefix" }),
      })
      .prefault({})
      .meta({ description: 'Limits' }),
    graceSeconds: z
      .strictObject({
        inactive: seconds(0, 3600)
          .default(30)
          .meta({ description: 'A port that is not ACTIVE or whose vif is unbound: a reboot, a re-wiring' }),
        migration: seconds(0, 60).default(2).meta({ description: 'At the old host of a live migration, in the worse shape' }),
        unconfirmed: seconds(0, 3600)
          .default(60)
          .meta({ description: 'A deleted port that Neutron has not confirmed, in the worse shape' }),
        unmentioned: seconds(0, 3600).default(60).meta({ description: 'Least time between two snapshots that both lack a route' }),
      })
      .prefault({})
      .meta({ description: 'How long a rejected address stays announced' }),
    worse: z
      .strictObject({
        prepends: z.int().min(0).max(32).default(8).meta({ description: 'How often our ASN is prepended toward eBGP peers' }),
      })
      .prefault({})
      .meta({ description: 'The worse shape: loses against any other announcement, carries traffic while alone' }),
    gobgp: gobgp.meta({ description: 'The local GoBGP' }),
    peers: z.array(peer).max(64).default([]).meta({ description: 'The routers, in managed mode' }),
  })
  .meta({ title: 'neutron-bgp-agent' });

/** The JSON Schema of the config file (draft 2020-12), as config/agent.schema.json holds it. */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: 'input' });
}
