/** The one error type that crosses a module's border: what failed, whether trying again can help, and why. */

/**
 * `retryable`: the same call may work later. `terminal`: it will not until somebody changes something.
 * `bug`: our own mistake.
 */
export type ErrorKind = 'retryable' | 'terminal' | 'bug';

export class AgentError extends Error {
  readonly code: string;
  readonly kind: ErrorKind;

  /**
   * @param code short kebab-case word, stable: shown in logs, metrics and status
   * @param message says what failed and, where a person can mend it, what to do
   */
  constructor(code: string, kind: ErrorKind, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
    this.kind = kind;
  }
}

/** The message of whatever was thrown, with the messages of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${messageOf(error.cause)}`;
}

/** The code of whatever was thrown; `unexpected` for what is not ours. */
export function codeOf(error: unknown): string {
  return error instanceof AgentError ? error.code : 'unexpected';
}
