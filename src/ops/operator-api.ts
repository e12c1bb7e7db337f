/**
 * The operator API: JSON over HTTP on a unix socket, for the command line. The socket is the lock too: who finds somebody
 * answering there is the second daemon, and leaves. What the answers hold comes from outside.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { ExplainAnswer, PeerRow, RebuildAnswer, RouteRow, StatusAnswer } from '../core/status.ts';
import { hostPrefix } from '../domain/prefix.ts';
import { AgentError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { closeServer, createGetServer, failure, json } from './get-server.ts';

export type OperatorHandlers = {
  readonly routes: () => Promise<readonly RouteRow[]>;
  readonly peers: () => Promise<readonly PeerRow[]>;
  /** @param address a host address, with or without /32 or /128 */
  readonly explain: (address: string) => Promise<ExplainAnswer>;
  readonly status: () => Promise<StatusAnswer>;
  /** @param isSure false: nothing is done but to say what would be interrupted */
  readonly rebuild: (isSure: boolean) => Promise<RebuildAnswer>;
};

/** Who holds the socket; told to a second daemon. */
export type Holder = { readonly pid: number; readonly version: string; readonly host: string; readonly startedAt: string };

/**
 * Takes the socket and answers on it until `close`, which removes it.
 * @throws AgentError `already-running` when another daemon answers there, `operator-socket` when it cannot be had
 */
export async function startOperatorApi(options: {
  socketPath: string;
  holder: Holder;
  handlers: OperatorHandlers;
  log: Log;
}): Promise<{ readonly close: () => Promise<void> }> {
  const { socketPath, holder, handlers, log } = options;
  const server = createGetServer(
    {
      '/v1/holder': () => json(200, holder),
      '/v1/routes': async () => json(200, await handlers.routes()),
      '/v1/peers': async () => json(200, await handlers.peers()),
      '/v1/status': async () => json(200, await handlers.status()),
      '/v1/explain': async (query) => {
        const address = query.get('address') ?? '';
        if (hostPrefix(address) === undefined) return failure(400, 'no-address', 'address must be one IPv4 or IPv6 address');
        return json(200, await handlers.explain(address));
      },
    },
    log,
    { '/v1/rebuild': async (query) => json(200, await handlers.rebuild(query.get('yes') === 'true')) },
  );
  await takeSocket(socketPath);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(notToBeHad(socketPath, cause)));
    server.listen(socketPath, resolve);
  });
  server.on('error', (error) => log.error({ error }, 'operator API'));
  // Created with the umask's mode, which lets nobody but the owner connect; the group may from here on.
  chmodSync(socketPath, 0o660);
  return { close: () => closeServer(server) };
}

/** Makes the path free: a dead socket is removed, a live one is an error that names its holder. */
async function takeSocket(path: string): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (cause) {
    throw notToBeHad(path, cause);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new AgentError('operator-socket', 'terminal', `${path} (operator.socket) is there and is no socket`);
  if (await answers(path)) throw new AgentError('already-running', 'terminal', `another daemon holds ${path}: ${await holderOf(path)}`);
  // Looked at again without a pause in between: another daemon may have taken the path meanwhile.
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now?.ino === found.ino && now.dev === found.dev) unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(notToBeHad(path, error));
    });
  });
}

/** In words; a holder that does not say who it is still holds. */
function holderOf(path: string): Promise<string> {
  return new Promise((resolve) => {
    const silent = (): void => resolve('it does not say who it is');
    const asked = request({ socketPath: path, path: '/v1/holder', timeout: 1_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk.slice(0, 4096);
      });
      response.on('end', () => {
        const { pid, version, startedAt } = parseHolder(text);
        if (pid === undefined) silent();
        else resolve(`pid ${pid}, version ${version}, started ${startedAt}`);
      });
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', silent);
    asked.end();
  });
}

function parseHolder(text: string): Partial<Holder> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    // Somebody else's answer.
    return {};
  }
}

function notToBeHad(path: string, cause: unknown): AgentError {
  return new AgentError('operator-socket', 'terminal', `cannot use ${path} (operator.socket)`, { cause });
}
