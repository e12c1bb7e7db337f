import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { type HttpEndpoint, startHttp, type Verdict } from '../../../src/ops/http.ts';

const open: HttpEndpoint[] = [];
const fine: Verdict = { ok: true, reasons: [] };

async function start(changes: { ready?: () => Verdict; render?: () => Promise<string> } = {}): Promise<string> {
  const endpoint = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    metrics: { render: changes.render ?? (() => Promise.resolve('a 1\n')), contentType: 'text/plain; version=0.0.4' },
    health: () => fine,
    ready: changes.ready ?? (() => fine),
    log: silentLog,
  });
  open.push(endpoint);
  return `http://127.0.0.1:${endpoint.port}`;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((endpoint) => endpoint.close()));
});

describe('HTTP', () => {
  it('gives metrics in their own content type', async () => {
    const response = await fetch(`${await start()}/metrics`);
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'text/plain; version=0.0.4',
      'a 1\n',
    ]);
  });

  it('is healthy', async () => {
    expect(await (await fetch(`${await start()}/healthz`)).json()).toEqual(fine);
  });

  it('is not ready with the reasons', async () => {
    const reasons = ['waiting for neutron', 'GoBGP away'];
    const response = await fetch(`${await start({ ready: () => ({ ok: false, reasons }) })}/readyz?x=1`);
    expect([response.status, await response.json()]).toEqual([503, { ok: false, reasons }]);
  });

  it.each([
    ['another path', 'GET', '/v1/routes', 404],
    ['the root', 'GET', '/', 404],
    ['a path that objects inherit', 'GET', '/constructor', 404],
    ['another method', 'POST', '/metrics', 405],
    ['a long address', 'GET', `/metrics?${'x'.repeat(2000)}`, 414],
  ])('refuses %s', async (_, method, path, status) => {
    const response = await fetch(`${await start()}${path}`, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code: expect.any(String) as string } });
  });

  it('answers HEAD without a body', async () => {
    const response = await fetch(`${await start()}/metrics`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  it('tells nothing of an unexpected error', async () => {
    const response = await fetch(`${await start({ render: () => Promise.reject(new Error('secret')) })}/metrics`);
    expect([response.status, await response.text()]).toEqual([500, expect.not.stringContaining('secret')]);
  });

  it('says which address it cannot have', async () => {
    const port = Number(new URL(await start()).port);
    const listen = { host: '127.0.0.1', port };
    const metrics = { render: () => Promise.resolve(''), contentType: 'text/plain' };
    await expect(startHttp({ listen, metrics, health: () => fine, ready: () => fine, log: silentLog })).rejects.toThrow(
      `cannot listen on 127.0.0.1 port ${port} (http.listen)`,
    );
  });

  it('closes although somebody holds a connection', async () => {
    const { port } = new URL(await start());
    const socket = connect(Number(port), '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await open.pop()?.close();
    await closed;
  });
});
