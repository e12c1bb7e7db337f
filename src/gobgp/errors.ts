/** What a gRPC status means to us, decided here once. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { AgentError } from '../lib/errors.ts';

/** `gobgp-aborted` means our own signal; `gobgp-refused` that GoBGP understood and said no; `gobgp-stopped` that it had a StopBgp. */
export type GobgpErrorCode =
  | 'gobgp-unavailable'
  | 'gobgp-timeout'
  | 'gobgp-aborted'
  | 'gobgp-refused'
  | 'gobgp-stopped'
  | 'gobgp-other-version'
  | 'gobgp-denied'
  | 'gobgp-failed';

/** @param call what was asked, for the message: `AddPath` */
export function fromGrpc(error: ServiceError, call: string, address: string, signal?: AbortSignal): AgentError {
  // no cause: the message says all that the status says, and its metadata is nobody's business
  const failure = (code: GobgpErrorCode, kind: 'retryable' | 'terminal', message: string): AgentError =>
    new AgentError(code, kind, message);
  if (signal?.aborted === true) return failure('gobgp-aborted', 'retryable', `${call} was given up`);
  // grpc-js ends some of its own messages with a note that is empty
  const details = error.details.replace(/\.? Resolution note: *$/, '') || `status ${status[error.code] ?? error.code}`;
  // the codes that need their own words; everything else is one failure
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (error.code) {
    case status.UNAVAILABLE:
      return failure('gobgp-unavailable', 'retryable', `GoBGP at ${address} cannot be reached: ${details}`);
    case status.DEADLINE_EXCEEDED:
      return failure('gobgp-timeout', 'retryable', `GoBGP at ${address} did not answer ${call} in time`);
    // grpc-go answers UNKNOWN for every plain error of GoBGP's
    case status.UNKNOWN:
    case status.INVALID_ARGUMENT:
    case status.ALREADY_EXISTS:
    case status.NOT_FOUND:
    case status.FAILED_PRECONDITION:
      // GoBGP 4 does not come back from StopBgp
      if (details === 'server stopped')
        return failure(
          'gobgp-stopped',
          'retryable',
          `GoBGP at ${address} was stopped and has to be restarted: systemctl restart gobgpd, or the like`,
        );
      return failure('gobgp-refused', 'retryable', `GoBGP refused ${call}: ${details}`);
    case status.UNIMPLEMENTED:
      return failure('gobgp-other-version', 'retryable', `GoBGP at ${address} does not know ${call}: ${details}`);
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return failure('gobgp-denied', 'terminal', `GoBGP at ${address} denies ${call}: ${details}`);
    default:
      return failure('gobgp-failed', 'retryable', `${call} at GoBGP ${address} failed: ${details}`);
  }
}

/** Whether the call certainly changed nothing; otherwise only reading GoBGP tells. */
export function isRefusal(error: unknown): boolean {
  return error instanceof AgentError && ['gobgp-refused', 'gobgp-other-version', 'gobgp-denied'].includes(error.code);
}
