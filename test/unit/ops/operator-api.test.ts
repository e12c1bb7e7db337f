import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { type OperatorHandlers, startOperatorApi } from '../../../src/ops/operator-api.ts';
import { Lab } from '../../lab/lab.ts';

const holder = { pid: 4711, version: '1.2.3', host: 'compute-1', startedAt: '2026-01-15T10:00:07Z' };
const handlers: OperatorHandlers = {
  routes: () => Promise.resolve([]),
  peers: () => Promise.reject(new AgentError('speaker-away', 'retryable', 'GoBGP does not answer')),
  explain: (address) => Promise.resolve({ address, prefix: `${address}/32`, announced: false, steps: [] }),
  status: () => Promise.reject(new Error('secret')),
  rebuild: (isSure) => Promise.resolve({ isDone: isSure, changes: [], interrupts: { peers: [], routes: 0 }, needsRestart: false }),
};

function get(socketPath: string, path: string, method = 'GET'): Promise<{ status: number | undefined; body: unknown }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) as unknown }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('the operator API', () => {
  let lab: Lab;
  let socketPath: string;
  const started: { close: () => Promise<void> }[] = [];
  const start = async (): Promise<void> => void started.push(await startOperatorApi({ socketPath, holder, handlers, log: silentLog }));

  beforeEach(() => {
    lab = new Lab('operator');
    socketPath = lab.path('run', 'operator.sock');
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((api) => api.close()));
    await lab.close();
  });

  it.each([
    ['/v1/routes', 200, []],
    ['/v1/explain?address=203.0.113.1', 200, { address: '203.0.113.1', prefix: '203.0.113.1/32', announced: false, steps: [] }],
    ['/v1/explain?address=203.0.113.0/24', 400, { error: { code: 'no-address', message: 'address must be one IPv4 or IPv6 address' } }],
    ['/v1/explain', 400, { error: { code: 'no-address', message: expect.any(String) as string } }],
    ['/v1/peers', 503, { error: { code: 'speaker-away', message: 'GoBGP does not answer' } }],
    ['/v1/status', 500, { error: { code: 'unexpected', message: 'unexpected error, see the log' } }],
    ['/v1/nothing', 404, { error: { code: 'not-found', message: 'no such path' } }],
  ])('answers %s with %i', async (path, status, body) => {
    await start();
    expect(await get(socketPath, path)).toEqual({ status, body });
  });

  it('rebuilds by POST alone, and only when somebody is sure', async () => {
    await start();
    expect((await get(socketPath, '/v1/rebuild?yes=true')).status).toBe(405);
    expect((await get(socketPath, '/v1/status', 'POST')).status).toBe(405);
    expect((await get(socketPath, '/v1/rebuild', 'POST')).body).toMatchObject({ isDone: false });
    expect((await get(socketPath, '/v1/rebuild?yes=true', 'POST')).body).toMatchObject({ isDone: true });
  });

  it('lets owner and group in, and removes the socket when it closes', async () => {
    await start();
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    await started.pop()?.close();
    expect(statSync(socketPath, { throwIfNoEntry: false })).toBeUndefined();
  });

  it('a second daemon is told who holds the socket, and the first goes on', async () => {
    await start();
    await expect(start()).rejects.toThrow(`another daemon holds ${socketPath}: pid 4711, version 1.2.3`);
    expect((await get(socketPath, '/v1/routes')).status).toBe(200);
  });

  it('somebody who does not say who it is holds the socket as well', async () => {
    socketPath = lab.path('other.sock');
    const other = createServer((socket) => socket.on('error', () => socket.destroy()).end('hello'));
    await new Promise<void>((resolve) => {
      other.listen(socketPath, resolve);
    });
    await expect(start()).rejects.toThrow('it does not say who it is');
    other.close();
  });

  it('takes over the socket of a daemon that was killed', async () => {
    socketPath = lab.path('dead.sock');
    const script = `require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(statSync(socketPath).isSocket()).toBe(true);
    await start();
    expect((await get(socketPath, '/v1/routes')).status).toBe(200);
  });

  it('never removes what is no socket', async () => {
    socketPath = lab.path('file');
    writeFileSync(socketPath, 'precious');
    await expect(start()).rejects.toThrow('is no socket');
    expect(statSync(socketPath).size).toBe(8);
  });
});
