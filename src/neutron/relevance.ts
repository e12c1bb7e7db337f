/**
 * Which pushes concern this host. Every port of the cloud is pushed to every agent, and only the twice-encoded body
 * names the host, so most messages are told apart by a search in the raw bytes and never parsed.
 */
import type { Interest } from '../core/ports.ts';
import type { PortBinding } from '../domain/port-binding.ts';

/** The end of a Port object's name. A search for it is ten times as fast as one for a text that begins with a backslash. */
const PORT_NAME = Buffer.from(String.raw`Port\"`);

/** After the name come namespace and version, and then the port's own fields, its id first. */
const PORT_FIELDS = Buffer.from(String.raw`\"versioned_object.data\": {\"id\": \"`);
const NAME_TO_FIELDS = 200;

/** How an id stands in a body: JSON inside a JSON string, in Python's spacing. */
const ID_KEY = Buffer.from(String.raw`\"id\": \"`);
const ID_LENGTH = 36;

/** Printable ASCII without quote and backslash: what JSON leaves as it is, once and twice encoded. */
const UNCHANGED_BY_JSON = /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/;

export type Relevance = {
  /** Whether a raw body may concern us. Only a body that shows ids, none of them ours, is denied; one that hides them is not. */
  readonly mayConcern: (body: Buffer) => boolean;
  /** Whether a decoded port does. */
  readonly concerns: (port: PortBinding) => boolean;
};

/** @param host this hypervisor, byte for byte as Neutron names it */
export function relevanceFor(host: string, interest: Pick<Interest, 'hasPort' | 'addresses'>): Relevance {
  const hostBytes = UNCHANGED_BY_JSON.test(host) ? Buffer.from(host) : undefined;

  function showsOnlyOtherIds(body: Buffer): boolean {
    const own = onlyPortId(body);
    if (own !== undefined) return !interest.hasPort(own);
    let shown = false;
    for (let at = body.indexOf(ID_KEY); at >= 0; at = body.indexOf(ID_KEY, at + ID_LENGTH)) {
      shown = true;
      const start = at + ID_KEY.length;
      if (interest.hasPort(body.toString('latin1', start, start + ID_LENGTH))) return false;
    }
    return shown;
  }

  return {
    mayConcern: (body) =>
      hostBytes === undefined ||
      body.includes(hostBytes) ||
      !showsOnlyOtherIds(body) ||
      interest.addresses().some((address) => body.includes(address)),
    concerns: (port) =>
      port.bindings.some((binding) => binding.host === host) ||
      interest.hasPort(port.portId) ||
      interest.addresses().some((address) => port.fixedIps.includes(address)),
  };
}

/** The id of the port in a body that shows exactly one, where Python writes it. */
function onlyPortId(body: Buffer): string | undefined {
  const name = body.indexOf(PORT_NAME);
  if (name < 0 || body.indexOf(PORT_NAME, name + 1) >= 0) return undefined;
  const fields = body.indexOf(PORT_FIELDS, name);
  if (fields < 0 || fields > name + NAME_TO_FIELDS) return undefined;
  const start = fields + PORT_FIELDS.length;
  return body.toString('latin1', start, start + ID_LENGTH);
}
