/** Watch local routes and peers until Ctrl-C, also across restarts of gobgpd: `npx tsx watch.ts 127.0.0.1:50051` */
import { setTimeout } from 'node:timers/promises';
import { connectGobgp } from 'neutron-bgp-agent/gobgp';

const [address = '127.0.0.1:50051'] = process.argv.slice(2);
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());

const gobgp = connectGobgp({ address });
while (!ending.signal.aborted) {
  try {
    await gobgp.watch(
      {
        live: () => console.log('live: whatever is read from now on is completed by what is told'),
        route: (prefix, route) => console.log(route === undefined ? `${prefix} gone` : `${prefix} by ${route.attributes.nextHop}`),
        peer: ({ name, state }) => console.log(`peer ${name} ${state}`),
      },
      ending.signal,
    );
  } catch (error) {
    // the daemon is gone, hangs or was restarted: what was known of it is worth nothing any more
    console.log(String(error));
    await setTimeout(1_000, undefined, { signal: ending.signal }).catch(() => undefined);
  }
}
gobgp.close();
