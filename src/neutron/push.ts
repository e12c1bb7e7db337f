/** What the servers push about ports (neutron/api/rpc/handlers/resources_rpc.py, method `push`). */
import type { PortBinding } from '../domain/port-binding.ts';
import type { Cast } from '../oslo/fanout.ts';
import { decodePort, portIdOf } from './port-object.ts';
import { isOtherObject } from './versioned-object.ts';

/**
 * What a push says about one port. `deleted` is an id and nothing else: no revision, and no proof that the port is gone.
 * `unsupported` is well-formed, but nothing that we asked to be told.
 */
export type PortPush =
  | { readonly kind: 'updated'; readonly port: PortBinding }
  | { readonly kind: 'deleted'; readonly portId: string }
  | { readonly kind: 'malformed' | 'unsupported'; readonly reason: string };

/** Neutron's ML2 pushes one object a message. */
const MAX_OBJECTS = 1_000;

/** One element per object of the push: an object that cannot be read does not spoil its neighbours. */
export function decodePush(cast: Cast): readonly PortPush[] {
  if (cast.method !== 'push' || !cast.version.startsWith('1.')) return [{ kind: 'unsupported', reason: 'no push of version 1' }];
  const { resource_list: resources, event_type: eventType } = cast.args;
  if (!Array.isArray(resources)) return [{ kind: 'malformed', reason: 'resource_list is no list' }];
  if (resources.length > MAX_OBJECTS) return [{ kind: 'malformed', reason: 'resource_list is too long' }];
  switch (eventType) {
    case 'updated':
    case 'created':
      return (resources as readonly unknown[]).map((resource) => {
        const port = decodePort(resource, cast.requestId);
        return port.ok ? { kind: 'updated', port: port.value } : unreadable(resource, port.reason);
      });
    case 'deleted':
      return (resources as readonly unknown[]).map((resource) => {
        const portId = portIdOf(resource);
        return portId.ok ? { kind: 'deleted', portId: portId.value } : unreadable(resource, portId.reason);
      });
    default:
      return [{ kind: 'malformed', reason: 'event_type' }];
  }
}

/** An object of another type or major version is not malformed, it is none of ours. */
function unreadable(resource: unknown, reason: string): PortPush {
  return { kind: isOtherObject(resource, 'Port') ? 'unsupported' : 'malformed', reason };
}
