// `raftbase` without a command: reads the configuration, refuses it or runs a member with it until it is told to stop.

import { readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { type ConfigProblem, describeProblem } from '../../../lib/config.ts'
import { endAtOnce } from '../../../lib/end-at-once.ts'
import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import { EXIT_CLEAN, EXIT_FAILED, EXIT_USAGE } from '../../../lib/exit-codes.ts'
import { runProcess } from '../../../lib/lifecycle.ts'
import { createLogger, type Logger, LogLevels } from '../../../lib/logger.ts'
import { collectWhenQuiet, systemHeap } from '../../../lib/quiet-collection.ts'
import { terminationMessage, writeTerminationMessage } from '../../../lib/termination-message.ts'
import { loadMemberConfig, type MemberConfig } from '../config.ts'
import { STOP_TIMEOUT_MS } from '../limits.ts'
import { LiveConfig } from '../live-config.ts'
import { VERSION } from '../version.ts'
import { lifelineCut } from './lifeline.ts'

/** Returns the exit code. Does not return before the member has stopped. */
export async function runMember(argv: readonly string[]): Promise<number> {
  const stopRequested = lifelineCut(process.env)
  const sources = { argv, environment: process.env, workingDirectory: process.cwd() }
  const loaded = loadMemberConfig({ ...sources, readFile: (path) => readFileSync(path, 'utf8') })
  if (loaded.kind === 'help') {
    const { memberHelp } = await import('./overview.ts')
    const { COMMAND_TABLE } = await import('./commands.ts')
    process.stdout.write(memberHelp(COMMAND_TABLE))
    return EXIT_CLEAN
  }
  if (loaded.kind === 'version') {
    const { versionText } = await import('./version.ts')
    process.stdout.write(versionText(process.env))
    return EXIT_CLEAN
  }
  if (loaded.kind === 'refused') return refuse(loaded.problems, loaded.terminationLog)
  const { config, warnings } = loaded
  const levels = new LogLevels()
  const log = createLogger({ level: config.logLevel, levels })
  for (const { field, meant } of warnings) {
    log.warn({ field, meant }, 'environment variable is not a setting')
  }
  logConfig(log, config)
  return runProcess({
    log,
    timers: systemTimers,
    start: async (signal) => {
      const { startMember } = await import('../server.ts')
      const live = new LiveConfig({
        ...sources,
        loaded,
        clock: systemClock,
        timers: systemTimers,
        log,
      })
      live.onChange(({ logLevel }) => levels.set(logLevel))
      const member = await startMember(config, { log, signal, live })
      // What was compiled is kept now: a member that is killed would not write it at its end.
      flushCompileCache()
      const heap = systemHeap()
      if (heap !== undefined) collectWhenQuiet(systemTimers, heap)
      return member
    },
    stopTimeoutMs: STOP_TIMEOUT_MS,
    stopRequested,
    isIntendedEnd: (error) => hasCode(error, 'MEMBER_REMOVED'),
    onFailure: (error) => {
      const failed = writeTerminationMessage(terminationMessage(error), config.terminationLog)
      if (failed !== undefined) log.error({ err: failed }, 'termination message not written')
      if (isHung(error)) endAtOnce()
    },
  })
}

/** Whether a flush is still under way that did not return in all the time it had. */
function isHung(error: unknown): boolean {
  return (
    error instanceof RaftbaseError &&
    error.code === 'DISK_FAILED' &&
    error.details['stalledMs'] !== undefined
  )
}

/** A malformed command line is answered in words; refused values are log lines, unless a person is watching. */
function refuse(problems: readonly ConfigProblem[], terminationLog: string | undefined): number {
  const detail = problems.map((problem) => describeProblem(problem)).join('; ')
  const message = terminationMessage(new RaftbaseError('CONFIG_INVALID', detail))
  const failed = writeTerminationMessage(message, terminationLog)
  if (failed !== undefined) {
    createLogger({ level: 'error' }).error({ err: failed }, 'termination message not written')
  }
  const isUsage = problems.some((problem) => problem.kind === 'usage')
  if (isUsage || process.stderr.isTTY) {
    for (const problem of problems) process.stderr.write(`raftbase: ${describeProblem(problem)}\n`)
  } else {
    const log = createLogger({ level: 'info' })
    for (const { field, given, reason, accepted } of problems) {
      log.fatal({ field, given, reason, accepted }, 'configuration refused')
    }
  }
  return isUsage ? EXIT_USAGE : EXIT_FAILED
}

/** The effective configuration, on one line. */
function logConfig(log: Logger, config: MemberConfig): void {
  const summary = {
    ...config,
    listenClient: config.listenClient.map(({ url }) => url),
    listenPeer: config.listenPeer.map(({ url }) => url),
    initialCluster: config.initialCluster
      .map((member) => `${member.name}=${member.peerUrls.join(',')}`)
      .join(','),
  }
  log.info({ version: VERSION, node: process.versions.node, ...summary }, 'configuration')
}
