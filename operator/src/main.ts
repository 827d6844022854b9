// `raftbase-operator`: reads the configuration, refuses it or runs the operator with it until it is told to stop or loses
// its leadership.

import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemTimers } from '../../lib/clock.ts'
import { type ConfigProblem, describeProblem } from '../../lib/config.ts'
import { EXIT_CLEAN, EXIT_FAILED, EXIT_USAGE } from '../../lib/exit-codes.ts'
import { runProcess } from '../../lib/lifecycle.ts'
import { createLogger } from '../../lib/logger.ts'
import { loadOperatorConfig } from './config.ts'
import { startOperator } from './operator.ts'
import { helpText } from './settings.ts'
import { VERSION } from './version.ts'

/** Requests under way end within seconds; the Lease is given back after them. */
const STOP_TIMEOUT_MS = 20_000

/** Returns the exit code for `process.exit`. `argv` is without the program. */
export async function main(argv: readonly string[]): Promise<number> {
  const loaded = loadOperatorConfig({
    argv,
    environment: process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    hostName: hostname(),
  })
  if (loaded.kind === 'help') {
    process.stdout.write(helpText())
    return EXIT_CLEAN
  }
  if (loaded.kind === 'version') {
    process.stdout.write(`raftbase-operator Version: ${VERSION}\n`)
    return EXIT_CLEAN
  }
  if (loaded.kind === 'refused') return refuse(loaded.problems)
  const { config, warnings } = loaded
  const log = createLogger({ level: config.logLevel })
  for (const { field, meant } of warnings) {
    log.warn({ field, meant }, 'environment variable is not a setting')
  }
  log.info({ version: VERSION, node: process.versions.node, ...config }, 'configuration')
  return runProcess({
    log,
    timers: systemTimers,
    start: () => startOperator(config, { log }),
    stopTimeoutMs: STOP_TIMEOUT_MS,
  })
}

/** A malformed command line is answered in words; refused values are log lines, unless a person is watching. */
function refuse(problems: readonly ConfigProblem[]): number {
  const isUsage = problems.some((problem) => problem.kind === 'usage')
  if (isUsage || process.stderr.isTTY) {
    for (const problem of problems) {
      process.stderr.write(`raftbase-operator: ${describeProblem(problem)}\n`)
    }
  } else {
    const log = createLogger({ level: 'info' })
    for (const { field, given, reason, accepted } of problems) {
      log.fatal({ field, given, reason, accepted }, 'configuration refused')
    }
  }
  return isUsage ? EXIT_USAGE : EXIT_FAILED
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
