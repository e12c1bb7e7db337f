/** What the errors that Neutron's servers answer with mean to us (neutron_lib, oslo.messaging, oslo.versionedobjects, oslo.db). */
import { RemoteError } from '../oslo/remote-error.ts';

/**
 * `unknown-method`, `unsupported-version`, `invalid-request`: the same question is refused again until one side changes.
 * `not-found`: the thing asked about is not there. `database` and `server`: trouble of the server's own, which passes.
 */
export const REFUSALS = ['unknown-method', 'unsupported-version', 'invalid-request', 'not-found', 'database', 'server'] as const;

export type Refusal = (typeof REFUSALS)[number];

/** By the name of the Python class. What is not here is trouble of the server's own. */
const BY_CLASS: Readonly<Record<string, Refusal>> = {
  NoSuchMethod: 'unknown-method',
  UnsupportedVersion: 'unsupported-version',
  InvalidTargetVersion: 'unsupported-version',
  IncompatibleObjectVersion: 'unsupported-version',
  InvalidInput: 'invalid-request',
  CallbackNotFound: 'invalid-request',
  InvalidResourceTypeClass: 'invalid-request',
  TypeError: 'invalid-request',
  ResourceNotFound: 'not-found',
  NetworkNotFound: 'not-found',
  PortNotFound: 'not-found',
  OperationalError: 'database',
  InterfaceError: 'database',
  InternalError: 'database',
  TimeoutError: 'database',
  RetryRequest: 'database',
};

/** Undefined: it was not the server that refused. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof RemoteError)) return undefined;
  const { remoteClass } = error;
  // All of oslo.db's begin so: DBError, DBConnectionError, DBDeadlock, ...
  return BY_CLASS[remoteClass] ?? (remoteClass.startsWith('DB') ? 'database' : 'server');
}

/** Whether asking again cannot help before somebody changes something. */
export function isLasting(refusal: Refusal | undefined): boolean {
  return refusal === 'unknown-method' || refusal === 'unsupported-version' || refusal === 'invalid-request';
}
