/** Neutron's Agent object (neutron/objects/agent.py): what of it we read. */
import { type Decoded, decoded, isJsonObject, type JsonObject, parseJson, undecodable } from '../oslo/json.ts';
import { readObject } from './versioned-object.ts';

export type AgentRow = {
  readonly id: string;
  readonly agentType: string;
  readonly host: string;
  readonly adminStateUp: boolean;
  /** What the agent showed of itself with its last report. */
  readonly configurations: JsonObject;
  /** By object name: `{ Port: '1.7' }`. */
  readonly resourceVersions: JsonObject;
};

export function decodeAgent(primitive: unknown): Decoded<AgentRow> {
  const object = readObject(primitive, 'Agent');
  if (!object.ok) return object;
  const { id, agent_type: agentType, host, admin_state_up: adminStateUp, configurations, resource_versions: versions } = object.value;
  if (typeof id !== 'string') return undecodable('id');
  if (typeof agentType !== 'string') return undecodable('agent_type');
  if (typeof host !== 'string') return undecodable('host');
  if (typeof adminStateUp !== 'boolean') return undecodable('admin_state_up');
  return decoded({
    id: id.slice(0, 36),
    agentType,
    host,
    adminStateUp,
    configurations: dictionary(configurations),
    resourceVersions: dictionary(versions),
  });
}

/** JSON text inside the object (DictOfMiscValuesField); empty when it is none. */
function dictionary(value: unknown): JsonObject {
  const parsed = typeof value === 'string' ? parseJson(value) : decoded(value);
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
}
