// End-to-end scenarios in containers, one after the other: `make test-e2e-containers`. They need a
// container engine with Compose and say so at once where there is none.

import { defineConfig } from 'vitest/config'
import { resultReporters } from './test/support/reporters.ts'

export default defineConfig({
  test: {
    include: ['test/e2e/containers/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts', 'test/e2e/support/require-engine.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 600_000,
    ...resultReporters(),
  },
})
