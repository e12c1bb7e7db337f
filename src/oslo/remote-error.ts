/** What the other side of a call raised (oslo_messaging/_drivers/common.py serialize_remote_exception). */
import { AgentError } from '../lib/errors.ts';
import { isJsonObject, parseJson } from './json.ts';

const MAX_MESSAGE = 500;

/** The server does not know the method, or not in this version (oslo_messaging/rpc/dispatcher.py): asking again will not help. */
const UNKNOWN_METHOD: ReadonlySet<string> = new Set(['NoSuchMethod', 'UnsupportedVersion']);

export class RemoteError extends AgentError {
  /** The name of the Python exception: `InvalidInput`, `DBConnectionError`, ... */
  readonly remoteClass: string;

  constructor(remoteClass: string, method: string, message: string) {
    const unknown = UNKNOWN_METHOD.has(remoteClass);
    super(
      unknown ? 'rpc-unknown-method' : 'rpc-remote-error',
      unknown ? 'terminal' : 'retryable',
      `${method} was answered with ${remoteClass}: ${message.slice(0, MAX_MESSAGE)}`,
    );
    this.remoteClass = remoteClass;
  }
}

/** Reads a reply's `failure`. Its traceback and arguments are dropped: they may quote what was asked. */
export function remoteError(failure: unknown, method: string): RemoteError {
  const parsed = typeof failure === 'string' ? parseJson(failure) : undefined;
  const fields = parsed?.ok === true && isJsonObject(parsed.value) ? parsed.value : {};
  const name = typeof fields['class'] === 'string' ? fields['class'].slice(0, 100) : 'an unreadable failure';
  return new RemoteError(name, method, typeof fields['message'] === 'string' ? fields['message'] : '(no message)');
}
