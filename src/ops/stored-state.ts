/**
 * What the next process should know of this one: our routes as GoBGP held them, and the last word on every port.
 * Only what was written under the kernel's present boot id counts: after a reboot no instance is running.
 */
import { z } from 'zod';
import type { PortBinding } from '../domain/port-binding.ts';
import { hostPrefix, type Prefix } from '../domain/prefix.ts';
import { pathAttributes, type Route } from '../domain/route.ts';
import type { Clock } from '../lib/clock.ts';
import { sleep } from '../lib/clock.ts';
import type { StateStore } from '../core/ports.ts';

/** Older routes are not injected again: too much may have moved meanwhile. */
const MOST_AGE_MS = 24 * 3_600_000;
/** Changes are saved together, this long after the first. */
const SAVE_DELAY_MS = 1_000;

export type StoredState = {
  readonly routes: ReadonlyMap<Prefix, Route>;
  readonly ports: readonly { readonly source: string; readonly port: PortBinding }[];
};

const NOTHING: StoredState = { routes: new Map(), ports: [] };

const text = z.string();
const texts = z.array(text);
const attributesSchema = z.object({
  origin: z.enum(['igp', 'egp', 'incomplete']),
  asPath: z.array(z.number()),
  nextHop: text,
  med: z.number().optional(),
  localPref: z.number().optional(),
  communities: texts,
  largeCommunities: texts,
  others: texts,
});
const hostBindingSchema = z.object({
  host: text,
  status: z.enum(['ACTIVE', 'INACTIVE']),
  vifType: text,
  vnicType: text,
  migratingTo: text.optional(),
});
const portSchema = z.object({
  portId: text,
  revisionNumber: z.number(),
  updatedAt: text,
  status: text,
  adminStateUp: z.boolean(),
  deviceOwner: text,
  networkId: text,
  external: z.boolean().optional(),
  fixedIps: texts,
  allowedAddressPairs: texts,
  bindings: z.array(hostBindingSchema),
  requestId: text.optional(),
});
const documentSchema = z.object({
  bootId: text,
  host: text,
  savedAt: z.iso.datetime(),
  routes: z.array(z.object({ prefix: text, attributes: attributesSchema })),
  ports: z.array(z.object({ source: text, port: portSchema })),
});

/** Reads what the last process of this host and boot left. */
export async function loadStoredState(
  store: StateStore,
  scope: { bootId: string | undefined; host: string; now: Date },
): Promise<StoredState> {
  const parsed = documentSchema.safeParse(await store.load('state'));
  if (!parsed.success || parsed.data.bootId !== scope.bootId || parsed.data.host !== scope.host) return NOTHING;
  const { savedAt, routes, ports } = withoutUndefined(parsed.data);
  const isFresh = scope.now.getTime() - Date.parse(savedAt) < MOST_AGE_MS;
  const valid = routes.flatMap(({ prefix: written, attributes }) => {
    const prefix = hostPrefix(written);
    return prefix === undefined ? [] : [[prefix, { prefix, attributes: pathAttributes(attributes) }] as const];
  });
  return { routes: new Map(isFresh ? valid : []), ports };
}

/** Saves what `state` gives after each `changed()`, not more often than once a second. */
export class StateKeeper {
  readonly #save: () => Promise<void>;
  readonly #clock: Clock;
  #isChanged = false;
  #wake: () => void = () => {};

  constructor(options: { store: StateStore; clock: Clock; bootId: string | undefined; host: string; state: () => StoredState }) {
    const { store, clock, bootId, host, state } = options;
    this.#clock = clock;
    this.#save = async () => {
      this.#isChanged = false;
      const { routes, ports } = state();
      await store.save('state', {
        bootId: bootId ?? '',
        host,
        savedAt: clock.wallTime().toISOString(),
        routes: [...routes.values()],
        ports,
      });
    };
  }

  changed(): void {
    this.#isChanged = true;
    this.#wake();
  }

  /** Runs until `signal` aborts, then saves what is left. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    while (!signal.aborted) {
      if (!this.#isChanged) await Promise.race([stopped, new Promise<void>((resolve) => (this.#wake = resolve))]);
      await sleep(this.#clock, SAVE_DELAY_MS, signal);
      if (this.#isChanged) await this.#save();
    }
  }
}

/** zod gives absent optional members as `undefined`; our types say absent. */
function withoutUndefined(document: z.infer<typeof documentSchema>): {
  savedAt: string;
  routes: readonly { prefix: string; attributes: Partial<Route['attributes']> }[];
  ports: StoredState['ports'];
} {
  return JSON.parse(JSON.stringify(document)) as ReturnType<typeof withoutUndefined>;
}
