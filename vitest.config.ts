// Every test that needs no container engine and no cluster; the scenarios with real member
// processes run after all others: first those whose verdicts know no time, two at once, then
// those that measure it, each by itself. With RAFTBASE_TEST_RESULTS set to a directory, each run
// also leaves its results there as JSON, for programs that count them (.ci/run).

import { defineConfig } from 'vitest/config'
import { resultReporters } from './test/support/reporters.ts'

/** Scenarios with real members that ask what happened, and not how long it took. */
const UNTIMED = [
  'disk',
  'documents',
  'everything',
  'exits',
  'feature-level',
  'history',
  'join',
  'membership-file',
  'operations',
  'replace',
  'requests',
  'start',
].map((name) => `test/faults/${name}.test.ts`)

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
          include: UNTIMED,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...shared,
          name: 'timed-processes',
          include: ['test/faults/**/*.test.ts'],
          exclude: UNTIMED,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
