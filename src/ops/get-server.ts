/** A small HTTP server that answers GET, and POST where something happens, on a few fixed paths. What listens, and where, is not decided here. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AgentError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

export type Reply = { readonly status: number; readonly contentType: string; readonly body: string };
export type GetHandler = (query: URLSearchParams) => Promise<Reply> | Reply;

const LONGEST_URL = 1024;

/**
 * A server that is bounded in every direction: sizes, times, connections. It does not listen yet.
 * @param posts the paths where something happens; what is asked for stands in the query, a body is not read
 */
export function createGetServer(
  handlers: Readonly<Record<string, GetHandler>>,
  log: Log,
  posts: Readonly<Record<string, GetHandler>> = {},
): Server {
  const byPath = new Map(Object.entries(handlers));
  const postsByPath = new Map(Object.entries(posts));
  const server = createServer(
    { maxHeaderSize: 8 * 1024, requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000, insecureHTTPParser: false },
    (request, response) => {
      answer(request).then(
        (reply) => send(request, response, reply),
        (error: unknown) => {
          log.warn({ path: request.url?.split('?')[0], error }, 'request failed');
          send(request, response, errorReply(error));
        },
      );
    },
  );
  server.maxConnections = 64;
  return server;

  async function answer(request: IncomingMessage): Promise<Reply> {
    const { url = '/', method } = request;
    if (url.length > LONGEST_URL) return failure(414, 'too-long', 'the address of the request is too long');
    const [path = '', query = ''] = url.split('?', 2);
    const isPost = postsByPath.has(path);
    if (isPost ? method !== 'POST' : method !== 'GET' && method !== 'HEAD')
      return failure(405, 'method', `only ${isPost ? 'POST' : 'GET'} is answered`);
    const handler = (isPost ? postsByPath : byPath).get(path);
    return handler === undefined ? failure(404, 'not-found', 'no such path') : handler(new URLSearchParams(query));
  }
}

export function json(status: number, value: unknown): Reply {
  return { status, contentType: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

/** An error as clients see it: `{ "error": { "code", "message" } }`. */
export function failure(status: number, code: string, message: string): Reply {
  return json(status, { error: { code, message } });
}

/** Ends the server at once: nobody may keep the process alive with an open connection. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function errorReply(error: unknown): Reply {
  if (!(error instanceof AgentError)) return failure(500, 'unexpected', 'unexpected error, see the log');
  return failure(error.kind === 'retryable' ? 503 : 500, error.code, messageOf(error));
}

function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  response.writeHead(reply.status, {
    'content-type': reply.contentType,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(reply.status === 405 ? { allow: 'GET, HEAD' } : {}),
    // A body that nobody reads would stand in the way of the next request.
    ...(request.method === 'GET' || request.method === 'HEAD' ? {} : { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : reply.body);
}
