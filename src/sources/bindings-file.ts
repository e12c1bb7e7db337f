/**
 * The text of bindings.yaml -> port bindings. Pure. One file may serve many hosts: an entry names the host it is on.
 *
 *     ports:
 *       - addresses: [203.0.113.10, "2001:db8::10"]
 *       - { id: web-2, host: compute-2, addresses: [203.0.113.11], status: DOWN }
 */
import { z } from 'zod';
import type { PortBinding } from '../domain/port-binding.ts';
import { canonicalAddress } from '../domain/prefix.ts';
import { checkYaml } from '../lib/checked-yaml.ts';

/** More than any host has; what is larger is a mistake, and must not cost the process its memory. */
export const MOST_BYTES: number = 4 * 1024 * 1024;
const MOST_PORTS = 20_000;
const MOST_ADDRESSES = 64;

/** An entry; only `addresses` is needed. */
type PortEntry = {
  readonly id?: string | undefined;
  readonly host?: string | undefined;
  readonly addresses: readonly string[];
  readonly status: string;
  readonly adminStateUp: boolean;
  readonly deviceOwner: string;
  readonly networkId: string;
  readonly vnicType: string;
};

export type BindingsFile =
  | { readonly bindings: readonly PortBinding[]; readonly problems?: undefined }
  | { readonly bindings?: undefined; readonly problems: readonly string[] };

export type BindingsContext = {
  /** The name that is shown in problems. */
  readonly file: string;
  /** The host of entries that name none. */
  readonly host: string;
  /** The revision of every port in this state of the file; higher than that of any state before. */
  readonly revisionNumber: number;
  /** ISO 8601 in UTC with whole seconds. */
  readonly updatedAt: string;
};

const address = z.string().transform((text, context) => {
  const parsed = canonicalAddress(text);
  if (parsed !== undefined) return parsed.address;
  context.issues.push({ code: 'custom', message: `${JSON.stringify(text.slice(0, 60))} is no IP address`, input: text });
  return z.NEVER;
});

const word = z.string().min(1).max(255);

const schema: z.ZodType<{ readonly ports: readonly PortEntry[] }> = z.strictObject({
  ports: z
    .array(
      z.strictObject({
        id: word.optional(),
        host: word.optional(),
        addresses: z.array(address).min(1).max(MOST_ADDRESSES),
        status: z.enum(['ACTIVE', 'DOWN', 'BUILD', 'ERROR', 'N/A']).default('ACTIVE'),
        adminStateUp: z.boolean().default(true),
        deviceOwner: word.default('compute:file'),
        networkId: word.default('file'),
        vnicType: word.default('normal'),
      }),
    )
    .max(MOST_PORTS),
});

/**
 * Everything in the file, or every problem in it: half a file is no snapshot. A file without a word is a problem too,
 * because that is how one looks that is just being written; no ports at all is written `ports: []`.
 */
export function parseBindings(text: string, context: BindingsContext): BindingsFile {
  if (text.trim() === '') return { problems: [`${context.file}: is empty; a file without ports says: ports: []`] };
  const entries = parseJson(text);
  if (entries !== undefined) return bindingsOf(entries, context, ({ message }) => `${context.file}: ${message}`);
  const { value, problems, describe } = checkYaml(text, schema, context.file);
  return value === undefined ? { problems } : bindingsOf(value.ports, context, describe);
}

/** JSON is YAML, and machines write it: parsing it as such is a hundred times as fast. Undefined: not JSON, or not right. */
function parseJson(text: string): readonly PortEntry[] | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data?.ports;
  } catch {
    // The YAML parser tells what is wrong, and where.
    return undefined;
  }
}

function bindingsOf(
  entries: readonly PortEntry[],
  context: BindingsContext,
  describe: (problem: { path: readonly (string | number)[]; message: string }) => string,
): BindingsFile {
  const indexById = new Map<string, number>();
  const problems: string[] = [];
  const bindings = entries.map((entry, index) => {
    const binding = bindingOf(entry, context);
    const first = indexById.get(binding.portId);
    if (first === undefined) indexById.set(binding.portId, index);
    else problems.push(describe({ path: ['ports', index], message: `${binding.portId} is already the id of ports[${first}]` }));
    return binding;
  });
  return problems.length > 0 ? { problems: problems.slice(0, 20) } : { bindings };
}

function bindingOf(entry: PortEntry, { host, revisionNumber, updatedAt }: BindingsContext): PortBinding {
  return {
    portId: entry.id ?? `file:${entry.addresses[0]}`,
    revisionNumber,
    updatedAt,
    status: entry.status,
    adminStateUp: entry.adminStateUp,
    deviceOwner: entry.deviceOwner,
    networkId: entry.networkId,
    fixedIps: entry.addresses,
    allowedAddressPairs: [],
    bindings: [{ host: entry.host ?? host, status: 'ACTIVE', vifType: 'ovs', vnicType: entry.vnicType }],
  };
}
