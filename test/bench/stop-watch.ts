/** The stop-watch of all benchmarks: a passive BGP listener that says when the UPDATE with a prefix came. */
import { type BgpListener, type ListenerEvent, startBgpListener } from '../lab/bgp-listener.ts';
import { ROUTER_ASN } from '../lab/hypervisor.ts';
import { type Lab, until } from '../lab/lab.ts';
import { monotonicMs } from './worker.ts';

const EVENT_TIMEOUT_MS = 10_000;
const TABLE_TIMEOUT_MS = 60_000;

export type StopWatch = {
  readonly listener: BgpListener;
  /** Resolves with the time of the UPDATE that announces `prefix`. Ask before it can come. */
  announced(prefix: string): Promise<number>;
  /** Waits until the listener holds so many prefixes. @returns the time of the UPDATE that made it so */
  holds(count: number): Promise<number>;
};

/** All times are `monotonicMs`. */
export async function startStopWatch(lab: Lab): Promise<StopWatch> {
  const clockOffsetMs = monotonicMs() - performance.now();
  const waiting = new Map<string, (time: number) => void>();
  let last = 0;
  const onEvent = ({ kind, prefix, time }: ListenerEvent): void => {
    last = time + clockOffsetMs;
    if (kind !== 'announced') return;
    waiting.get(prefix)?.(last);
    waiting.delete(prefix);
  };
  const listener = await startBgpListener(lab, { asn: ROUTER_ASN, onEvent });
  return {
    listener,
    announced: (prefix) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no UPDATE for ${prefix} within ${EVENT_TIMEOUT_MS} ms`)), EVENT_TIMEOUT_MS);
        waiting.set(prefix, (time) => {
          clearTimeout(timer);
          resolve(time);
        });
      }),
    holds: (count) =>
      until(`${count} prefixes at the listener`, () => listener.prefixes.size === count && { last }, TABLE_TIMEOUT_MS).then(
        ({ last: time }) => time,
      ),
  };
}
