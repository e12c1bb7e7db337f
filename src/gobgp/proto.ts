/** Loads our .proto files, from `src/` and from `dist/` alike, into typed codecs. */
import { fileURLToPath } from 'node:url';
import { type AnyDefinition, loadSync, type MessageTypeDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import type { Method, Methods } from './wire.ts';

export type Codec<Message> = { readonly encode: (message: Message) => Buffer; readonly decode: (bytes: Uint8Array) => Message };

export type Proto = {
  methods(service: string): Methods;
  codec<Message>(name: string): Codec<Message>;
};

/** @param file its name in the folder `proto/`; `packageName` as it states it */
export function loadProto(file: string, packageName: string): Proto {
  const path = fileURLToPath(new URL(`../../proto/${file}`, import.meta.url));
  const definitions = loadSync(path, { longs: Number, enums: String, defaults: false });
  const find = (name: string): AnyDefinition => {
    const definition = definitions[`${packageName}.${name}`];
    if (definition === undefined) throw new Error(`${file} states no ${name}`);
    return definition;
  };
  return {
    methods(service) {
      const methods: Record<string, Method<object, object>> = {};
      for (const [name, { path: callPath, requestSerialize, responseDeserialize }] of Object.entries(find(service) as ServiceDefinition))
        methods[name] = { path: callPath, requestSerialize, responseDeserialize };
      return methods as unknown as Methods;
    },
    codec<Message>(name: string) {
      const { serialize, deserialize } = find(name) as MessageTypeDefinition<object, object>;
      return {
        encode: (message: Message) => serialize(message as object),
        decode: (bytes: Uint8Array) => deserialize(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)) as Message,
      };
    },
  };
}
