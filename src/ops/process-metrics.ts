/**
 * The process's own metrics under the names that Prometheus gives them. Our own few instead of prom-client's default set,
 * whose event-loop histogram wakes an idle process a hundred times a second.
 */
import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Registers the metrics; each is read when it is asked for. */
export function registerProcessMetrics(registry: Registry): void {
  const registers: [] = [];
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  registry.registerMetric(cpu);
  gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', () => process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', () => performance.timeOrigin / 1000);
  gauge('process_open_fds', 'Number of open file descriptors.', openFiles);
  gauge('nodejs_heap_used_bytes', 'Bytes of the JavaScript heap in use.', () => process.memoryUsage().heapUsed);
  let last = performance.eventLoopUtilization();
  gauge('nodejs_eventloop_utilization', 'Share of time since the last scrape in which the event loop was busy.', () => {
    const since = performance.eventLoopUtilization(last);
    last = performance.eventLoopUtilization();
    return since.utilization;
  });

  function gauge(name: string, help: string, read: () => number | undefined): void {
    const metric = new Gauge({
      name,
      help,
      registers,
      collect() {
        const value = read();
        if (value !== undefined) this.set(value);
      },
    });
    registry.registerMetric(metric);
  }
}

function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // No /proc: the metric stays away.
    return undefined;
  }
}
