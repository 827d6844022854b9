// End-to-end scenarios on Kubernetes, one after the other: `make test-e2e-kind`. They need a container engine, kubectl,
// helm and kind (or a cluster: test/e2e/support/kind-setup.ts) and say so at once where one is missing.

import { defineConfig } from 'vitest/config'
import { type TestSequencer, type TestSpecification } from 'vitest/node'
import { SCENARIOS } from './test/e2e/support/run.ts'
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

export default defineConfig({
  test: {
    include: ['test/e2e/kind/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts', 'test/e2e/support/kind-setup.ts'],
    fileParallelism: false,
    sequence: { sequencer: Ordered },
    testTimeout: 240_000,
    hookTimeout: 600_000,
    teardownTimeout: 180_000,
    ...resultReporters(),
  },
})
