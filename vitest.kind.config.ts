// End-to-end scenarios on Kubernetes: `make test-e2e-kind`. They need a container engine, kubectl,
// helm and kind (or a cluster: test/e2e/support/kind-setup.ts) and say so at once where one is missing.

import { defineConfig } from 'vitest/config'
import { type TestSequencer, type TestSpecification } from 'vitest/node'
import { SCENARIOS, SHARING_SCENARIOS } from './test/e2e/support/run.ts'
import { resultReporters } from './test/support/reporters.ts'

/** In the order in which the scenarios are listed. */
class Ordered implements TestSequencer {
  shard(files: TestSpecification[]): TestSpecification[] {
    return files
  }

  sort(files: TestSpecification[]): TestSpecification[] {
    return files.toSorted((a, b) => placeOf(a) - placeOf(b))
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  return SCENARIOS.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`))
}

const sharing = SHARING_SCENARIOS.map((name) => `test/e2e/kind/${name}.test.ts`)

const shared = {
  globalSetup: ['test/support/global-setup.ts', 'test/e2e/support/kind-setup.ts'],
  testTimeout: 240_000,
  hookTimeout: 600_000,
  teardownTimeout: 180_000,
}

export default defineConfig({
  test: {
    ...resultReporters(),
    sequence: { sequencer: Ordered },
    teardownTimeout: shared.teardownTimeout,
    projects: [
      {
        test: {
          ...shared,
          name: 'sharing',
          include: sharing,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'alone',
          include: ['test/e2e/kind/**/*.test.ts'],
          exclude: sharing,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
