// The member processes of `raftbase dev`: starts them, reads their logs, notices their ends, stops them. Each has a
// process group of its own, so that Ctrl-C reaches only us, and a lifeline, so that none outlives us.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Timers } from '../../../lib/clock.ts'
import type { PlannedMember } from './dev-plan.ts'
import { LIFELINE_VARIABLE } from './lifeline.ts'
import { type LogLine, parseLogLine } from './log-line.ts'

const LIFELINE_FD = 3

/**
 * Of every member's process, here and in member/Dockerfile; docs/performance.md has the measurements. Left alone, the young
 * generation of an idle member grows by megabytes that nobody looks at, and the old one of a busy member to four times what it
 * needs; with --expose-gc a member gives back what is left when it has become quiet.
 */
export const NODE_FLAGS = [
  '--max-semi-space-size=2',
  '--heap-growing-percent=100',
  '--expose-gc',
] as const

/** The same: several arenas of the C library keep free memory apart from one another. */
export const NODE_ENVIRONMENT = { MALLOC_ARENA_MAX: '1' } as const

export interface MemberEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The last fatal or error line, which usually says why. */
  readonly lastError: LogLine | undefined
}

export interface DevMembersOptions {
  readonly plan: readonly PlannedMember[]
  /** Program and arguments that come before a member's flags. */
  readonly program: readonly [string, ...string[]]
  readonly timers: Timers
  readonly onLogLine: (member: PlannedMember, line: LogLine) => void
  /** A member ended, asked to or not. */
  readonly onEnd: (member: PlannedMember, end: MemberEnd) => void
}

interface RunningMember {
  readonly plan: PlannedMember
  readonly child: ChildProcess
  readonly ended: Promise<void>
}

export class DevMembers {
  readonly #options: DevMembersOptions
  readonly #running = new Map<string, RunningMember>()

  constructor(options: DevMembersOptions) {
    this.#options = options
  }

  get running(): readonly PlannedMember[] {
    return [...this.#running.values()].map((member) => member.plan)
  }

  isRunning(name: string): boolean {
    return this.#running.has(name)
  }

  start(): void {
    for (const plan of this.#options.plan) this.#start(plan)
  }

  /**
   * Asks all of them to stop and waits; returns the names of those that had to be killed after `graceMs`. The leader comes
   * last: it has nobody to hand leadership to by then, where a successor would be stopping as well.
   */
  async stop(options: {
    readonly graceMs: number
    readonly leader: string | undefined
  }): Promise<readonly string[]> {
    const killed: string[] = []
    const timer = this.#options.timers.after(options.graceMs, () => {
      killed.push(...this.#running.keys())
      this.kill()
    })
    const isLast = ({ plan }: RunningMember) => plan.name === options.leader
    const members = [...this.#running.values()]
    await stopAll(members.filter((member) => !isLast(member)))
    await stopAll(members.filter(isLast))
    timer.cancel()
    return killed
  }

  kill(): void {
    for (const { child } of this.#running.values()) child.kill('SIGKILL')
  }

  #start(plan: PlannedMember): void {
    const [command, ...before] = this.#options.program
    const child = spawn(command, [...before, ...plan.argv], {
      detached: true,
      env: memberEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
    const ended = Promise.withResolvers<void>()
    this.#running.set(plan.name, { plan, child, ended: ended.promise })
    let lastError: LogLine | undefined
    const onEnd = (end: Omit<MemberEnd, 'lastError'>) => {
      if (!this.#running.delete(plan.name)) return
      this.#options.onEnd(plan, { ...end, lastError })
      ended.resolve()
    }
    child.once('error', (error) => {
      lastError ??= { level: 'error', message: error.message, fields: {} }
      if (child.pid === undefined) onEnd({ code: null, signal: null })
    })
    // `close` comes after the last line of the log, unlike `exit`.
    child.once('close', (code, signal) => onEnd({ code, signal }))
    createInterface({ input: child.stderr!, crlfDelay: Infinity }).on('line', (text) => {
      const line = parseLogLine(text)
      if (line.level === 'fatal' || line.level === 'error') lastError = line
      this.#options.onLogLine(plan, line)
    })
  }
}

async function stopAll(members: readonly RunningMember[]): Promise<void> {
  for (const { child } of members) child.kill('SIGTERM')
  await Promise.all(members.map((member) => member.ended))
}

/** Ours, without settings meant for a single member. */
function memberEnvironment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('RAFTBASE_'))
  return {
    ...NODE_ENVIRONMENT,
    ...Object.fromEntries(inherited),
    [LIFELINE_VARIABLE]: String(LIFELINE_FD),
  }
}
