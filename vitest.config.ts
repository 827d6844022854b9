// Every test that needs no container engine and no cluster. With RAFTBASE_TEST_RESULTS set to a
// directory, each run also leaves its results there as JSON, for programs that count them
// (.ci/run).

import { defineConfig } from 'vitest/config'
import { resultReporters } from './test/support/reporters.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'test/bench/**'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    maxWorkers: 2,
    ...resultReporters(),
  },
})
