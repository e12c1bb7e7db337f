/** The router at the other end of an unnumbered session, from the kernel's IPv6 neighbour table. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { AgentError } from '../lib/errors.ts';

type Neighbour = { readonly dst?: string; readonly router?: unknown; readonly state?: readonly string[] };

/**
 * The link-local address of the router on an interface, with its zone: `fe80::1%eth0`.
 * @throws a retryable `AgentError` while the kernel knows none, or more than one
 */
export async function linkLocalRouter(interfaceName: string, signal?: AbortSignal): Promise<string> {
  const read = promisify(execFile)('ip', ['-6', '-json', 'neigh', 'show', 'dev', interfaceName], { signal });
  const { stdout } = await read.catch((error: unknown) => {
    throw failure(interfaceName, 'its IPv6 neighbours cannot be read', error);
  });
  return routerAmong(stdout, interfaceName);
}

/**
 * GoBGP itself looks for exactly one link-local neighbour; a router flag decides when there are more.
 * @param neighbours what `ip -6 -json neigh show dev INTERFACE` prints
 */
export function routerAmong(neighbours: string, interfaceName: string): string {
  const all = JSON.parse(neighbours === '' ? '[]' : neighbours) as Neighbour[];
  const alive = all.filter(({ dst, state = [] }) => dst?.toLowerCase().startsWith('fe80:') === true && !state.includes('FAILED'));
  const routers = alive.filter(({ router }) => router !== undefined);
  const [only, ...more] = routers.length > 0 ? routers : alive;
  if (only?.dst === undefined)
    throw failure(interfaceName, 'no link-local neighbour is known yet; does the router send router advertisements?');
  if (more.length > 0)
    throw failure(interfaceName, `${more.length + 1} link-local neighbours; an unnumbered session needs a link with one`);
  return `${only.dst}%${interfaceName}`;
}

function failure(interfaceName: string, problem: string, cause?: unknown): AgentError {
  return new AgentError('no-link-local-router', 'retryable', `interface ${interfaceName}: ${problem}`, { cause });
}
