/**
 * A passive BGP neighbour that only listens (RFC 4271, 4760, 6793): the stop-watch of the benchmarks. It accepts
 * sessions, mirrors the peer's IPv4 and IPv6 unicast capabilities, and tells each prefix with the time of its receipt.
 */
import { createServer, type Socket } from 'node:net';
import { canonicalAddress } from '../../src/domain/prefix.ts';
import { freePort, type Lab, until } from './lab.ts';
import { loopbackAddress } from './loopback.ts';

/** One prefix of one UPDATE. `time`: `performance.now()` when its bytes were read from the socket. */
export type ListenerEvent = { readonly kind: 'announced' | 'withdrawn'; readonly prefix: string; readonly time: number };

export type BgpListenerOptions = {
  readonly host?: string;
  readonly port?: number;
  readonly asn: number;
  /** Called for every prefix of every UPDATE, in order. */
  readonly onEvent?: (event: ListenerEvent) => void;
};

export type BgpListener = {
  readonly host: string;
  readonly port: number;
  readonly asn: number;
  /** What the peers announced and did not withdraw. */
  readonly prefixes: ReadonlySet<string>;
  /** UPDATE messages, End-of-RIB markers included, and the prefixes in them. */
  readonly counts: { readonly updates: number; readonly announced: number; readonly withdrawn: number };
  /** Resolves when a session is established. */
  established(timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
};

const MESSAGE = { open: 1, update: 2, notification: 3, keepalive: 4 } as const;
const CAPABILITY = { multiprotocol: 1, fourOctetAs: 65 } as const;
const ATTRIBUTE = { mpReach: 14, mpUnreach: 15 } as const;
const HEADER_BYTES = 19;
const AS_TRANS = 23_456;

export async function startBgpListener(lab: Lab, options: BgpListenerOptions): Promise<BgpListener> {
  const { host = loopbackAddress(), asn, onEvent } = options;
  const port = options.port ?? (await freePort(host));
  const prefixes = new Set<string>();
  const counts = { updates: 0, announced: 0, withdrawn: 0 };
  const sockets = new Set<Socket>();
  let establishedSessions = 0;

  const tell = (kind: ListenerEvent['kind'], prefix: string, time: number): void => {
    counts[kind]++;
    if (kind === 'announced') prefixes.add(prefix);
    else prefixes.delete(prefix);
    onEvent?.({ kind, prefix, time });
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    const own = new Set<string>();
    let isUp = false;
    let keepalives: NodeJS.Timeout | undefined;
    const onMessage = (type: number, body: Buffer, time: number): void => {
      if (type === MESSAGE.open) {
        socket.write(Buffer.concat([openFor(body, asn, host), KEEPALIVE]));
        const holdSeconds = body.readUInt16BE(3);
        if (holdSeconds > 0) keepalives = setInterval(() => socket.write(KEEPALIVE), (holdSeconds * 1000) / 3);
      } else if (type === MESSAGE.keepalive && !isUp) {
        isUp = true;
        establishedSessions++;
      } else if (type === MESSAGE.update) {
        counts.updates++;
        readUpdate(body, (kind, prefix) => {
          if (kind === 'announced') own.add(prefix);
          else own.delete(prefix);
          tell(kind, prefix, time);
        });
      } else if (type === MESSAGE.notification) {
        socket.end();
      }
    };
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      rest = readMessages(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), performance.now(), onMessage);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearInterval(keepalives);
      sockets.delete(socket);
      if (isUp) establishedSessions--;
      for (const prefix of own) prefixes.delete(prefix);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });

  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  lab.onClose(close);
  return {
    host,
    port,
    asn,
    prefixes,
    counts,
    established: async (timeoutMs = 30_000) => void (await until('a session of the listener', () => establishedSessions > 0, timeoutMs)),
    close,
  };
}

/** Reads the whole messages of `bytes` and gives back what is left over. */
function readMessages(bytes: Buffer, time: number, onMessage: (type: number, body: Buffer, time: number) => void): Buffer {
  let at = 0;
  while (bytes.length - at >= HEADER_BYTES) {
    const length = bytes.readUInt16BE(at + 16);
    if (bytes.length - at < length) break;
    onMessage(bytes[at + 18] ?? 0, bytes.subarray(at + HEADER_BYTES, at + length), time);
    at += Math.max(length, HEADER_BYTES);
  }
  return bytes.subarray(at);
}

function message(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES, 0xff);
  header.writeUInt16BE(HEADER_BYTES + body.length, 16);
  header[18] = type;
  return Buffer.concat([header, body]);
}

const KEEPALIVE: Buffer = message(MESSAGE.keepalive, Buffer.alloc(0));

/** Our OPEN for theirs: the same hold time, their unicast families, four-octet AS numbers. */
function openFor(theirs: Buffer, asn: number, routerId: string): Buffer {
  const capabilities = [...capabilitiesOf(theirs)]
    .filter(({ code, value }) => code === CAPABILITY.multiprotocol && [1, 2].includes(value.readUInt16BE(0)) && value[3] === 1)
    .map(({ code, value }) => Buffer.concat([Buffer.from([code, value.length]), value]));
  const fourOctetAs = Buffer.from([CAPABILITY.fourOctetAs, 4, 0, 0, 0, 0]);
  fourOctetAs.writeUInt32BE(asn, 2);
  const list = Buffer.concat([...capabilities, fourOctetAs]);
  const fixed = Buffer.alloc(10);
  fixed[0] = 4;
  fixed.writeUInt16BE(asn > 0xffff ? AS_TRANS : asn, 1);
  fixed.writeUInt16BE(theirs.readUInt16BE(3), 3);
  Buffer.from(routerId.split('.').map(Number)).copy(fixed, 5);
  fixed[9] = list.length + 2;
  return message(MESSAGE.open, Buffer.concat([fixed, Buffer.from([2, list.length]), list]));
}

function* capabilitiesOf(open: Buffer): Generator<{ code: number; value: Buffer }> {
  for (const { code: parameter, value } of tlvs(open.subarray(10))) if (parameter === 2) yield* tlvs(value);
}

function* tlvs(bytes: Buffer): Generator<{ code: number; value: Buffer }> {
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = bytes[at + 1] ?? 0;
    yield { code: bytes[at] ?? 0, value: bytes.subarray(at + 2, at + 2 + length) };
    at += 2 + length;
  }
}

type OnPrefix = (kind: ListenerEvent['kind'], prefix: string) => void;

/** RFC 4271 section 4.3; RFC 4760 sections 3 and 4. */
function readUpdate(body: Buffer, onPrefix: OnPrefix): void {
  const withdrawnEnd = 2 + body.readUInt16BE(0);
  const attributesEnd = withdrawnEnd + 2 + body.readUInt16BE(withdrawnEnd);
  readPrefixes(body.subarray(2, withdrawnEnd), 4, 'withdrawn', onPrefix);
  for (let at = withdrawnEnd + 2; at < attributesEnd; ) {
    const extended = ((body[at] ?? 0) & 0x10) !== 0;
    const type = body[at + 1];
    const length = extended ? body.readUInt16BE(at + 2) : (body[at + 2] ?? 0);
    const start = at + (extended ? 4 : 3);
    const value = body.subarray(start, start + length);
    const addressBytes = type === ATTRIBUTE.mpReach || type === ATTRIBUTE.mpUnreach ? (value.readUInt16BE(0) === 2 ? 16 : 4) : 0;
    if (type === ATTRIBUTE.mpReach) readPrefixes(value.subarray(5 + (value[3] ?? 0)), addressBytes, 'announced', onPrefix);
    if (type === ATTRIBUTE.mpUnreach) readPrefixes(value.subarray(3), addressBytes, 'withdrawn', onPrefix);
    at = start + length;
  }
  readPrefixes(body.subarray(attributesEnd), 4, 'announced', onPrefix);
}

function readPrefixes(bytes: Buffer, addressBytes: number, kind: ListenerEvent['kind'], onPrefix: OnPrefix): void {
  for (let at = 0; at < bytes.length; ) {
    const bits = bytes[at] ?? 0;
    const length = Math.ceil(bits / 8);
    const address = Buffer.alloc(addressBytes);
    bytes.copy(address, 0, at + 1, at + 1 + length);
    onPrefix(kind, `${addressText(address)}/${bits}`);
    at += 1 + length;
  }
}

function addressText(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2).toString(16)).join(':');
  return canonicalAddress(groups)?.address ?? groups;
}
