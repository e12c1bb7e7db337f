/** What machines ask over HTTP: /metrics for Prometheus, /healthz and /readyz for supervisors. Nothing here changes anything. */
import type { AddressInfo } from 'node:net';
import { AgentError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { closeServer, createGetServer, json } from './get-server.ts';

/** A yes, or a no with why. */
export type Verdict = { readonly ok: boolean; readonly reasons: readonly string[] };

export type HttpEndpoint = { readonly port: number; readonly close: () => Promise<void> };

/**
 * @param options `health`: is the process of any use to anybody; `ready`: does it do its whole job
 * @throws AgentError `http-listen` when the address cannot be had
 */
export async function startHttp(options: {
  listen: { host: string; port: number };
  metrics: { render: () => Promise<string>; contentType: string };
  health: () => Verdict;
  ready: () => Verdict;
  log: Log;
}): Promise<HttpEndpoint> {
  const { listen, metrics, health, ready, log } = options;
  const server = createGetServer(
    {
      '/metrics': async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.render() }),
      '/healthz': () => verdictReply(health()),
      '/readyz': () => verdictReply(ready()),
    },
    log,
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new AgentError('http-listen', 'retryable', `cannot listen on ${listen.host} port ${listen.port} (http.listen)`, { cause }));
    });
    server.listen(listen.port, listen.host, resolve);
  });
  server.on('error', (error) => log.error({ error }, 'HTTP server'));
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server) };
}

function verdictReply(verdict: Verdict): ReturnType<typeof json> {
  return json(verdict.ok ? 200 : 503, verdict);
}
