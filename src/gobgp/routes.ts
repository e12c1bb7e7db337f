/** Routes into GoBGP and out of it: single operations, bulk by streams, the tables. */
import type { Outcome } from '../core/ports.ts';
import type { Operation } from '../domain/plan.ts';
import type { Route } from '../domain/route.ts';
import { messageOf } from '../lib/errors.ts';
import type { OperationCheck } from './checks.ts';
import type { ListedPath } from './dialect.ts';
import { isRefusal } from './errors.ts';
import { ask, has, type Session, type Settings } from './session.ts';
import { FAMILIES, type WirePath, type WireTableType } from './wire.ts';

/** GoBGP takes a message as a whole or refuses it as a whole. */
const PATHS_PER_MESSAGE = 100;
/** One acknowledgement answers a whole stream; what it does not cover has to be sent again. */
const PATHS_PER_STREAM = 2_000;
/**
 * Echoes on the watch stream that wait until the operations are sent. Read at once, those of 10,000 routes take CPU that the
 * routes need, and these reach a router a sixth later (docs/performance.md); left for long, echoes would count as missing.
 */
const MOST_HELD_ECHOES = 10_000;
/** How many prefixes GoBGP lists before it lets changes go on. */
const LISTED_PER_BATCH = 1_000;

type Answer = { readonly result: 'done' } | { readonly result: 'failed' | 'unknown'; readonly error: string };
const DONE: Answer = { result: 'done' };

/**
 * Sends operations in their order, one unary, more as streams. A refused stream is repeated by messages and a refused
 * message route by route, so that one bad route is one failure. Once an answer is missing nothing more is sent.
 */
export async function applyOperations(
  session: Session,
  operations: readonly Operation[],
  check: OperationCheck,
  settings: Settings,
): Promise<readonly Outcome[]> {
  const answers = new Map<Operation, Answer>();
  const sendable: Operation[] = [];
  for (const operation of operations) {
    const problem = check(operation);
    if (problem === undefined) sendable.push(operation);
    else answers.set(operation, { result: 'failed', error: problem });
  }

  let missing: string | undefined;
  /** True when every operation was taken; false when they were refused. */
  const send = async (some: readonly Operation[]): Promise<boolean> => {
    let answer: Answer = DONE;
    try {
      if (missing !== undefined) answer = { result: 'unknown', error: missing };
      else if (some.length === 1) await sendOne(session, some[0] as Operation, settings);
      else await sendStream(session, some, settings);
    } catch (error) {
      const refused = isRefusal(error);
      if (refused && some.length > 1) return false;
      answer = { result: refused ? 'failed' : 'unknown', error: messageOf(error) };
      if (!refused) missing = `not sent: ${answer.error}`;
    }
    for (const operation of some) answers.set(operation, answer);
    return true;
  };

  const release = session.channel.hold();
  let started = 0;
  try {
    for (const stream of chunks(sendable, PATHS_PER_STREAM)) {
      if (started >= MOST_HELD_ECHOES) release();
      started += stream.length;
      if (await send(stream)) continue;
      for (const message of chunks(stream, PATHS_PER_MESSAGE)) {
        if (message.length < stream.length && (await send(message))) continue;
        for (const operation of message) await send([operation]);
      }
    }
  } finally {
    release();
  }
  return operations.map((operation) => ({ operation, ...(answers.get(operation) ?? DONE) }));
}

async function sendOne(session: Session, operation: Operation, settings: Settings): Promise<void> {
  const path = wirePath(session, operation);
  if (operation.kind === 'advertise') await ask(session, 'AddPath', { tableType: 'GLOBAL', path }, settings);
  else await ask(session, 'DeletePath', { tableType: 'GLOBAL', family: path.family ?? {}, path }, settings);
}

async function sendStream(session: Session, operations: readonly Operation[], settings: Settings): Promise<void> {
  const messages = function* (): Generator<{ tableType: 'GLOBAL'; paths: WirePath[] }> {
    for (const some of chunks(operations, PATHS_PER_MESSAGE))
      yield { tableType: 'GLOBAL', paths: some.map((operation) => wirePath(session, operation)) };
  };
  await session.channel.clientStream(session.dialect.methods.AddPathStream, messages(), settings);
}

function wirePath({ dialect }: Session, operation: Operation): WirePath {
  return operation.kind === 'advertise'
    ? dialect.path(operation.route.prefix, operation.route.attributes)
    : dialect.withdrawal(operation.prefix);
}

function* chunks<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}

/** Every path of one table, both families. @param name the neighbour's address, for ADJ_OUT */
async function listPaths(
  session: Session,
  table: { readonly tableType: WireTableType; readonly name?: string },
  onPath: (path: ListedPath) => void,
  settings: Settings,
): Promise<void> {
  for (const family of [FAMILIES.ipv4, FAMILIES.ipv6]) {
    await session.channel.serverStream(
      session.dialect.methods.ListPath,
      { ...table, family, ...(has(session, 'listBatches') ? { batchSize: LISTED_PER_BATCH } : {}) },
      ({ destination }) => {
        for (const path of destination?.paths ?? []) onPath(session.dialect.read(path));
      },
      settings,
    );
  }
}

/** The routes among listed paths. */
export async function listRoutes(
  session: Session,
  table: { readonly tableType: WireTableType; readonly name?: string },
  include: (path: ListedPath) => boolean,
  settings: Settings,
): Promise<readonly Route[]> {
  const routes: Route[] = [];
  await listPaths(
    session,
    table,
    (path) => {
      if (path.prefix !== undefined && include(path)) routes.push(path.route());
    },
    settings,
  );
  return routes;
}
