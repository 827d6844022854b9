// Every test that needs no container engine and no cluster; the scenarios with real member
// processes run by themselves, after all others, because they measure time. With
// RAFTBASE_TEST_RESULTS set to a directory, each run also leaves its results there as JSON, for
// programs that count them (.ci/run).

import { defineConfig } from 'vitest/config'
import { resultReporters } from './test/support/reporters.ts'

const shared = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 30_000,
  hookTimeout: 30_000,
}

export default defineConfig({
  test: {
    ...resultReporters(),
    projects: [
      {
        test: {
          ...shared,
          name: 'modules',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/bench/**', 'test/faults/**'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'processes',
          include: ['test/faults/**/*.test.ts'],
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
