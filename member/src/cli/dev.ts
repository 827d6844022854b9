// `raftbase dev`: a whole cluster on loopback in one terminal. Members are real processes; what they log is shown from
// `warn` up, readable and under their names, and a table of them appears whenever the leader is another one.

import { readFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { EXIT_CLEAN, EXIT_FAILED } from '../../../lib/exit-codes.ts'
import { stopSignal } from '../../../lib/lifecycle.ts'
import { STOP_TIMEOUT_MS } from '../limits.ts'
import { integerIn, parseDataDir } from '../setting-values.ts'
import { DEV_MEMBER_COUNTS, DEV_PORT_OFFSET_MAX } from '../settings.ts'
import { readCommandFlags } from './command-flags.ts'
import type { Command } from './command.ts'
import type { ClientTls } from './client-tls.ts'
import { certificatePaths, type DevCertificates, makeCertificates } from './dev-certificates.ts'
import { DevMembers, NODE_FLAGS, type MemberEnd } from './dev-members.ts'
import { findObstacle, type PlannedMember, planMembers } from './dev-plan.ts'
import { findLeadership, type MemberView, renderViews } from './dev-view.ts'
import { lifelineCut } from './lifeline.ts'
import { type LogLine, renderLogLine } from './log-line.ts'
import { MemberClient } from './member-client.ts'

const SHOWN_LEVELS = new Set(['warn', 'error', 'fatal'])
const ANSWER_TIMEOUT_MS = 500
/** Members are asked again so long after the last answer: while there is no agreed leader, and when all is quiet. */
const POLL_MS = 50
const POLL_QUIET_MS = 1000
/** A line of a member's log announces a change of state: it is asked for so long after the line. */
const POLL_SOON_MS = 20
/** A leader that not everybody follows yet is shown after this time. */
const AGREEMENT_MS = 300
const NO_LEADER_MS = 10_000
/** Longer than a member's own limit, so that it can say itself what it waited for. */
const STOP_GRACE_MS = STOP_TIMEOUT_MS + 2000

/** Returns the exit code, once every member has ended. */
export async function runDev(command: Command, argv: readonly string[]): Promise<number> {
  const read = readCommandFlags(command, argv)
  if ('exitCode' in read) return read.exitCode
  const { flags } = read
  const workingDirectory = process.cwd()
  const count = flags.read('members', 3, parseCount)
  const portOffset = flags.read('port-offset', 0, integerIn(0, DEV_PORT_OFFSET_MAX))
  // The addresses are part of a cluster's identity: with others it is another cluster.
  const isSecure = flags.isGiven('tls')
  const suffixes = [...(portOffset === 0 ? [] : [portOffset]), ...(isSecure ? ['tls'] : [])]
  const ownDirectory = ['dev', count, ...suffixes].join('-')
  const dataDir = flags.read('data-dir', resolve('data', ownDirectory), (text) =>
    parseDataDir(text, workingDirectory),
  )
  const refusal = flags.refusal()
  if (refusal !== undefined) return refusal
  const plan = planMembers({ count, dataDir, workingDirectory, portOffset, isSecure })
  const obstacle = await findObstacle(plan, dataDir)
  if (obstacle !== undefined) {
    process.stderr.write(`raftbase dev: ${obstacle}\n`)
    return EXIT_FAILED
  }
  if (!isSecure) return new DevCluster(plan).run()
  makeCertificates(dataDir)
  return new DevCluster(plan, certificatePaths(dataDir)).run()
}

function parseCount(text: string) {
  const value = DEV_MEMBER_COUNTS.find((count) => String(count) === text)
  if (value === undefined) return { ok: false, reason: 'is not a number of members' } as const
  return { ok: true, value } as const
}

/** The members that run, what is known of them, and what of it has been shown. */
class DevCluster {
  readonly #plan: readonly PlannedMember[]
  readonly #members: DevMembers
  readonly #client: MemberClient
  readonly #certificates: DevCertificates | undefined
  readonly #allEnded = Promise.withResolvers<undefined>()
  #stopping = false
  #shownLeader: string | undefined
  /** Who leads by the last look, undefined for nobody, and since when. */
  #leader: string | undefined
  #leaderSinceMs = systemClock.monotonicMs()
  #wake = Promise.withResolvers<void>()

  constructor(plan: readonly PlannedMember[], certificates?: DevCertificates) {
    this.#plan = plan
    this.#certificates = certificates
    const tls = certificates === undefined ? {} : { tls: clientTls(certificates) }
    this.#client = new MemberClient({ timeoutMs: ANSWER_TIMEOUT_MS, ...tls })
    this.#members = new DevMembers({
      plan,
      program: [process.execPath, ...NODE_FLAGS, process.argv[1]!],
      timers: systemTimers,
      onLogLine: (member, line) => this.#onLogLine(member, line),
      onEnd: (member, end) => this.#onEnd(member, end),
    })
  }

  /** Returns the exit code once every member has ended. */
  async run(): Promise<number> {
    const stopWanted = stopSignal((exitCode) => {
      this.#members.kill()
      process.exit(exitCode)
    })
    this.#members.start()
    const watching = this.#watch()
    const lifeline = lifelineCut(process.env) ?? stopWanted
    await Promise.race([stopWanted, lifeline, this.#allEnded.promise])
    this.#stopping = true
    this.#wake.resolve()
    const count = this.#members.running.length
    const killed = await this.#members.stop({ graceMs: STOP_GRACE_MS, leader: this.#leader })
    await watching
    this.#client.close()
    if (count === 0) return complain('no member is left')
    if (killed.length > 0)
      return complain(`killed ${killed.join(', ')}, which did not stop in time`)
    // Ctrl-C has left a mark on the line.
    const start = process.stdout.isTTY ? '\n' : ''
    process.stdout.write(`${start}stopped ${count === 1 ? '1 member' : `${count} members`}\n`)
    return EXIT_CLEAN
  }

  #onLogLine(member: PlannedMember, line: LogLine): void {
    // Members that stop lose sight of each other, which is worth a warning only when nobody asked for it.
    if (SHOWN_LEVELS.has(line.level) && !(this.#stopping && line.level === 'warn')) {
      process.stderr.write(`${member.name}  ${line.level}  ${renderLogLine(line)}\n`)
    }
    this.#wake.resolve()
  }

  #onEnd(member: PlannedMember, { code, signal, lastError }: MemberEnd): void {
    if (!this.#stopping) {
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`
      const why = lastError === undefined ? '' : `: ${renderLogLine(lastError)}`
      process.stderr.write(`${member.name}  ended by itself (${how})${why}\n`)
    }
    if (this.#members.running.length === 0) this.#allEnded.resolve(undefined)
    this.#wake.resolve()
  }

  /** Shows the table when the leader is another one, until the stop. */
  async #watch(): Promise<void> {
    while (!this.#stopping) {
      // What is said while we look is looked at again.
      this.#wake = Promise.withResolvers<void>()
      const views = await this.#look()
      const isQuiet = this.#maybeShow(views)
      await this.#pause(isQuiet ? POLL_QUIET_MS : POLL_MS)
    }
  }

  /** Waits for the time given, or until shortly after a member said something. */
  async #pause(delayMs: number): Promise<void> {
    if (this.#stopping) return
    const timer = systemTimers.after(delayMs, () => this.#wake.resolve())
    await this.#wake.promise
    timer.cancel()
    if (this.#stopping) return
    await new Promise<void>((resolve) => systemTimers.after(POLL_SOON_MS, resolve))
  }

  #look(): Promise<readonly MemberView[]> {
    return Promise.all(
      this.#plan.map(async (plan): Promise<MemberView> => {
        if (!this.#members.isRunning(plan.name)) return { plan, seen: 'down' }
        try {
          return { plan, seen: await this.#client.status(plan.apiUrl) }
        } catch {
          // It starts, stops or hangs: all of them show in the table as what they are, an answer that is missing.
          return { plan, seen: 'silent' }
        }
      }),
    )
  }

  /** Returns whether there is nothing left to show. */
  #maybeShow(views: readonly MemberView[]): boolean {
    const nowMs = systemClock.monotonicMs()
    const leadership = findLeadership(views)
    if (leadership?.leader !== this.#leader) {
      this.#leader = leadership?.leader
      this.#leaderSinceMs = nowMs
    }
    const sinceMs = nowMs - this.#leaderSinceMs
    if (leadership === undefined) {
      if (sinceMs >= NO_LEADER_MS && !this.#stopping) {
        process.stderr.write(`raftbase dev: no leader for ${Math.round(sinceMs / 1000)} s\n`)
        this.#leaderSinceMs = nowMs
      }
      return false
    }
    if (leadership.leader === this.#shownLeader) return true
    if (!leadership.isAgreed && sinceMs < AGREEMENT_MS) return false
    const separator = this.#shownLeader === undefined ? '' : '\n'
    process.stdout.write(separator + renderViews(views, leadership))
    if (this.#certificates !== undefined && this.#shownLeader === undefined) {
      process.stdout.write(`\n${howToConnect(this.#certificates, this.#plan[0]!.apiUrl)}\n`)
    }
    this.#shownLeader = leadership.leader
    return true
  }
}

function clientTls({ authority, client }: DevCertificates): ClientTls {
  const [ca, cert, key] = [authority, client.certificate, client.key].map((path) =>
    readFileSync(path),
  )
  return { ca, cert, key }
}

function howToConnect({ authority, client }: DevCertificates, apiUrl: string): string {
  const [ca, cert, key] = [authority, client.certificate, client.key].map((path) => {
    const shown = relative(process.cwd(), path)
    return shown.startsWith('..') ? path : shown
  })
  return `curl --cacert ${ca} --cert ${cert} --key ${key} ${apiUrl}/cluster/nodes`
}

function complain(what: string): number {
  process.stderr.write(`raftbase dev: ${what}\n`)
  return EXIT_FAILED
}
