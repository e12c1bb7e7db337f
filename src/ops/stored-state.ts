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
import { Trigger } from '../lib/trigger.ts';
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
  routes: z.array(z.unknown()),
  ports: z.array(z.unknown()),
});
const routeItemSchema = z.object({ prefix: text, attributes: attributesSchema });
const portItemSchema = z.object({ source: text, port: portSchema });

/** Reads what the last process of this host and boot left. An item that cannot be read is left out, and no other for it. */
export async function loadStoredState(
  store: StateStore,
  scope: { bootId: string | undefined; host: string; now: Date },
): Promise<StoredState> {
  const parsed = documentSchema.safeParse(await store.load('state'));
  if (!parsed.success || parsed.data.bootId !== scope.bootId || parsed.data.host !== scope.host) return NOTHING;
  const { savedAt, routes, ports } = parsed.data;
  const isFresh = scope.now.getTime() - Date.parse(savedAt) < MOST_AGE_MS;
  const valid = readable(routeItemSchema, routes).flatMap(({ prefix: written, attributes }) => {
    const prefix = hostPrefix(written);
    return prefix === undefined
      ? []
      : [[prefix, { prefix, attributes: pathAttributes(attributes as Partial<Route['attributes']>) }] as const];
  });
  return { routes: new Map(isFresh ? valid : []), ports: readable(portItemSchema, ports) as StoredState['ports'] };
}

/** Saves what `state` gives after each `changed()`, not more often than once a second. */
export class StateKeeper {
  readonly #save: () => Promise<void>;
  readonly #clock: Clock;
  readonly #changed = new Trigger();

  constructor(options: { store: StateStore; clock: Clock; bootId: string | undefined; host: string; state: () => StoredState }) {
    const { store, clock, bootId, host, state } = options;
    this.#clock = clock;
    this.#save = async () => {
      this.#changed.reset();
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
    this.#changed.fire();
  }

  /** Runs until `signal` aborts, then saves once more: the next process should know how old the state is. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#changed.wait(this.#clock, Number.POSITIVE_INFINITY, signal);
      await sleep(this.#clock, SAVE_DELAY_MS, signal);
      if (!signal.aborted) await this.#save();
    }
    await this.#save();
  }
}

/** The items that are what they should be; zod leaves absent members out where they were absent. */
function readable<T>(schema: z.ZodType<T>, items: readonly unknown[]): readonly T[] {
  return items.flatMap((item) => schema.safeParse(item).data ?? []);
}
