/** The command line's side of the operator API: one request over the unix socket, JSON back. */
import { request } from 'node:http';
import { AgentError } from '../lib/errors.ts';

const ANSWER_TIMEOUT_MS = 15_000;
/** A hundred thousand routes with all their columns. */
const MOST_BYTES = 128 * 1024 * 1024;

/** Asks the daemon for `path`; POST where something happens. */
export type Ask = <T>(path: string, method?: 'GET' | 'POST') => Promise<T>;

/**
 * @throws AgentError `daemon-unreachable` with what to do, or the code and message that the daemon answered with
 */
export function operatorClient(socketPath: string): Ask {
  return async <T>(path: string, method: 'GET' | 'POST' = 'GET'): Promise<T> => {
    const { status, text } = await send(socketPath, path, method);
    const answer = parsed(text, socketPath);
    if (status === 200) return answer as T;
    const { code, message } = errorOf(answer);
    throw new AgentError(
      code ?? 'unexpected',
      status === 503 ? 'retryable' : 'terminal',
      message ?? `the daemon answered with status ${status}`,
    );
  };
}

function send(socketPath: string, path: string, method: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method, agent: false, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MOST_BYTES) asked.destroy(new Error('the answer does not end'));
        else chunks.push(chunk);
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      response.on('error', (error) => reject(unreachable(socketPath, error)));
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)));
    asked.on('error', (error) => reject(unreachable(socketPath, error)));
    asked.end();
  });
}

function unreachable(socketPath: string, cause: NodeJS.ErrnoException): AgentError {
  return new AgentError('daemon-unreachable', 'retryable', unreachableText(socketPath, cause));
}

function unreachableText(socketPath: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return (
      `the daemon is not running: nothing answers at ${socketPath}.\n` +
      'Start it with "neutron-bgp-agent run --config FILE"; if it runs with another socket, name that with --socket PATH or --config FILE.'
    );
  if (code === 'EACCES')
    return `you may not use ${socketPath}: it is for its owner and group. Try again as root, or as a member of that group.`;
  return `the daemon at ${socketPath} does not answer: ${message}`;
}

function parsed(text: string, socketPath: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentError('daemon-unreachable', 'terminal', `what answers at ${socketPath} is not the daemon`, { cause });
  }
}

function errorOf(answer: unknown): { readonly code?: string; readonly message?: string } {
  const { error } = (answer ?? {}) as { readonly error?: { readonly code?: string; readonly message?: string } };
  return error ?? {};
}
