/** A channel and the dialect that the daemon at its other end speaks: what every call needs. */
import { type CapabilityName, hasCapability, type Release } from './capabilities.ts';
import type { Channel } from './channel.ts';
import type { Dialect } from './dialect.ts';
import type { CallName, Calls } from './wire.ts';

export type Session = {
  readonly channel: Channel;
  readonly dialect: Dialect;
  /** The daemon's release, once `findRelease` has told it. */
  release?: Release | undefined;
};

export type Settings = { readonly signal?: AbortSignal | undefined };

/** Whether the daemon has it; where its release is not known, what the first release of its API had. */
export function has(session: Session, name: CapabilityName): boolean {
  return hasCapability(name, session.dialect.version, session.release);
}

/** One request, one reply. */
export function ask<Name extends CallName>(
  session: Session,
  name: Name,
  request: Calls[Name][0],
  settings: Settings,
): Promise<Calls[Name][1]> {
  return session.channel.unary(session.dialect.methods[name], request, settings);
}

/** One request, everything that the daemon streams for it. */
export async function collect<Name extends CallName>(
  session: Session,
  name: Name,
  request: Calls[Name][0],
  settings: Settings,
): Promise<readonly Calls[Name][1][]> {
  const messages: Calls[Name][1][] = [];
  await session.channel.serverStream(session.dialect.methods[name], request, (message) => messages.push(message), settings);
  return messages;
}
