/** The shape of the YAML file after `schema.ts` has checked it: every default filled in, every scalar in canonical form. */
import type { Family, Prefix } from '../domain/prefix.ts';
import type { RequireActive, SpeakerMode } from '../domain/settings.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** An address and a TCP port to listen on. */
export type ListenAddress = { readonly host: string; readonly port: number };

export type ConfigFile = {
  readonly host?: string | undefined;
  readonly stateDirectory: string;
  readonly log: { readonly level: LogLevel };
  readonly http: { readonly listen: ListenAddress | 'off' };
  readonly operator: { readonly socket: string };
  readonly sources: { readonly file?: { readonly path: string } | undefined; readonly neutron?: NeutronSection | undefined };
  readonly announce: AnnounceSection;
  readonly limits: { readonly routes: number };
  readonly graceSeconds: {
    readonly inactive: number;
    readonly migration: number;
    readonly unconfirmed: number;
    readonly unmentioned: number;
  };
  readonly worse: { readonly prepends: number };
  readonly gobgp: GobgpSection;
  readonly peers: readonly PeerSection[];
};

export type NeutronSection = {
  readonly configFiles: readonly string[];
  readonly transportUrl?: string | undefined;
  readonly transportUrlFile?: string | undefined;
  readonly tls?:
    | {
        readonly caFile?: string | undefined;
        readonly certificateFile?: string | undefined;
        readonly keyFile?: string | undefined;
        readonly verifyHostname?: boolean | undefined;
      }
    | undefined;
  readonly heartbeatSeconds?: number | undefined;
  readonly reconnectSpreadSeconds: number;
  readonly controlExchange?: string | undefined;
  readonly fanoutDurable?: boolean | undefined;
  readonly resyncIntervalSeconds: number;
  readonly reportIntervalSeconds: number;
  readonly rpcTimeoutSeconds: number;
  readonly portVersion: PortVersionChoice;
};

/** `ovs-agent`: the version of the Port object that this host's OVS agent reports. */
export type PortVersionChoice = 'pinned' | 'ovs-agent';

export type AnnounceSection = {
  readonly networks?: readonly string[] | '*' | undefined;
  readonly external: boolean;
  readonly prefixes: readonly Prefix[];
  readonly deniedPrefixes: readonly Prefix[];
  readonly allowedAddressPairs: boolean;
  readonly deviceOwners: readonly string[];
  readonly vnicTypes: readonly string[];
  readonly requireActive: RequireActive;
  readonly nextHop: Readonly<Partial<Record<Family, string | undefined>>>;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly med?: number | undefined;
  readonly localPref?: number | undefined;
};

export type GobgpSection = {
  readonly address: string;
  readonly mode: SpeakerMode;
  readonly tls?:
    | { readonly caFile?: string | undefined; readonly certificateFile?: string | undefined; readonly keyFile?: string | undefined }
    | undefined;
  readonly asn: number;
  readonly routerId?: string | undefined;
  readonly listenPort: number;
  readonly listenAddresses: readonly string[];
  readonly marker: string;
  readonly formerMarkers: readonly string[];
  readonly resyncIntervalSeconds: number;
};

export type PeerSection = {
  readonly address?: string | undefined;
  readonly interface?: string | undefined;
  readonly asn: number;
  readonly description?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly localAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly passive: boolean;
  readonly multihopTtl?: number | undefined;
  readonly ttlSecurityMin?: number | undefined;
  readonly holdTimeSeconds: number;
  readonly keepaliveSeconds: number;
  readonly connectRetrySeconds: number;
  readonly families: readonly Family[];
  readonly gracefulRestart: {
    readonly enabled: boolean;
    readonly restartTimeSeconds: number;
    readonly deferralTimeSeconds: number;
    readonly longLivedSeconds?: number | undefined;
  };
  readonly bfd?: { readonly transmitIntervalMs: number; readonly receiveIntervalMs: number; readonly multiplier: number } | undefined;
};
