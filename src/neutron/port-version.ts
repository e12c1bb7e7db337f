/**
 * Which version of the Port object we ask for and report. A version above the server's stops pushes for every agent of the
 * cloud (neutron/api/rpc/handlers/resources_rpc.py), so none is reported that the server has not just served.
 */
import type { AgentRow } from './agent-object.ts';
import { readObject } from './versioned-object.ts';

/** The one version that every release from Zed on can serve. */
export const PINNED_PORT_VERSION = '1.7';

/** Whose version is followed where that is asked for: it is on the bus anyway. */
export const OVS_AGENT_TYPE = 'Open vSwitch agent';

/** What this host's OVS agent reports, if it is one that we understand. */
export function offeredVersion(rows: readonly AgentRow[]): string | undefined {
  const version = rows.find(({ agentType }) => agentType === OVS_AGENT_TYPE)?.resourceVersions['Port'];
  const minor = typeof version === 'string' ? /^1\.(\d{1,3})$/.exec(version)?.[1] : undefined;
  return minor !== undefined && Number(minor) >= 7 ? `1.${Number(minor)}` : undefined;
}

/** Whether an answer shows that the server made a Port of this version. */
export function isServed(primitives: readonly unknown[], version: string): boolean {
  return primitives.some(
    (primitive) => readObject(primitive, 'Port').ok && (primitive as Record<string, unknown>)['versioned_object.version'] === version,
  );
}
