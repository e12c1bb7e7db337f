import { defineConfig } from 'vitest/config';

/** One project per suite; `test/run.mjs` names the one it wants. Suites with real daemons get time to start them. */
export default defineConfig({
  test: {
    // Most of the time real daemons are waited for: two files at once take little more than one.
    maxWorkers: 2,
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { test: { name: 'property', include: ['test/property/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 180_000 } },
    ],
  },
});
