// Where test results go beside the terminal: nowhere, or as JSON into the directory that
// RAFTBASE_TEST_RESULTS names.

import { join } from 'node:path'

export interface ResultReporters {
  readonly reporters: string[]
  readonly outputFile?: { readonly json: string }
}

/**
 * One file for each run of the test runner, so that several runs of one command never overwrite
 * each other.
 */
export function resultReporters(): ResultReporters {
  const directory = process.env['RAFTBASE_TEST_RESULTS']
  if (directory === undefined || directory === '') return { reporters: ['default'] }
  const name = `vitest-${process.pid}-${Date.now()}.json`
  return { reporters: ['default', 'json'], outputFile: { json: join(directory, name) } }
}
