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
  const fail = (message: string, cause?: unknown): AgentError =>
    new AgentError('no-link-local-router', 'retryable', `interface ${interfaceName}: ${message}`, cause === undefined ? {} : { cause });
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)('ip', ['-6', '-json', 'neigh', 'show', 'dev', interfaceName], {
      signal,
    }));
  } catch (error) {
    throw fail('its IPv6 neighbours cannot be read', error);
  }
  return `${routerAmong(JSON.parse(output === '' ? '[]' : output) as Neighbour[], fail)}%${interfaceName}`;
}

/** GoBGP itself looks for exactly one link-local neighbour; a router flag decides when there are more. */
function routerAmong(neighbours: readonly Neighbour[], fail: (message: string) => AgentError): string {
  const alive = neighbours.filter(({ dst, state = [] }) => dst?.toLowerCase().startsWith('fe80:') === true && !state.includes('FAILED'));
  const routers = alive.filter(({ router }) => router !== undefined);
  const [only, ...more] = routers.length > 0 ? routers : alive;
  if (only?.dst === undefined) throw fail('no link-local neighbour is known yet; does the router send router advertisements?');
  if (more.length > 0) throw fail(`${more.length + 1} link-local neighbours; an unnumbered session needs a link with one`);
  return only.dst;
}
