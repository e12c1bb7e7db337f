/** Two network namespaces with a wire between them. Needs root. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { type Lab, until } from './lab.ts';

export type Namespace = {
  readonly name: string;
  /** Its end of the wire. */
  readonly interface: string;
  /** To be put before a command. */
  readonly wrapper: readonly string[];
};

/** Fails with what is missing, before a test that needs namespaces begins. */
export function requireNamespaces(): void {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root: run the tests as root');
  if (spawnSync('ip', ['-V']).status !== 0) throw new Error('the program ip is missing: apt-get install iproute2');
}

/** @param addresses with their lengths, for each end: `fd91::1/64` */
export async function wiredNamespaces(
  lab: Lab,
  addresses: readonly [readonly string[], readonly string[]],
): Promise<readonly [Namespace, Namespace]> {
  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
  const id = randomBytes(3).toString('hex');
  const ends = ['a', 'b'].map((end): Namespace => {
    const name = `nba-${id}-${end}`;
    return { name, interface: `nba${id}${end}`, wrapper: ['ip', 'netns', 'exec', name] };
  }) as [Namespace, Namespace];
  for (const { name } of ends) {
    ip('netns', 'add', name);
    lab.onClose(() => void ip('netns', 'delete', name));
  }
  const [a, b] = ends;
  ip('-n', a.name, 'link', 'add', a.interface, 'type', 'veth', 'peer', 'name', b.interface, 'netns', b.name);
  for (const [index, { name, interface: device }] of ends.entries()) {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    for (const address of addresses[index] ?? [])
      ip('-n', name, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
    ip('-n', name, 'link', 'set', device, 'up');
  }
  for (const { name } of ends)
    await until(`link-local addresses in ${name}`, () => !ip('-n', name, '-6', 'address', 'show', 'tentative').includes('inet6'));
  return ends;
}
