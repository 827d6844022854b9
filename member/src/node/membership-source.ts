// The membership file, read again every second: a mounted ConfigMap changes by an exchange of symbolic links, which no
// watch of one file sees. Keeps the newest document that is sound, and says when anything has changed.

import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import { type MembershipDocument, parseMembership } from '../../../lib/membership-file.ts'
import type { MembershipFileStatus } from './member-node.ts'
import type { FoundMembership } from './start-plan.ts'

const PERIOD_MS = 1000

export interface MembershipSourceOptions {
  /** Of this member. */
  readonly name: string
  /** The file's text; rejects with the system's error. */
  readonly read: () => Promise<string>
  readonly timers: Timers
  readonly log: Logger
  readonly onChange: () => void
}

export class MembershipSource {
  readonly #options: MembershipSourceOptions
  #document: MembershipDocument | undefined
  #problem: string | undefined
  #text: string | undefined
  #timer: TimerHandle | undefined
  #isReading = false
  #next = Promise.withResolvers<void>()

  constructor(options: MembershipSourceOptions) {
    this.#options = options
  }

  get found(): FoundMembership {
    return { document: this.#document, problem: this.#problem }
  }

  get status(): MembershipFileStatus {
    const document = this.#document
    const problem = this.#problem === undefined ? {} : { problem: this.#problem }
    if (document === undefined) return problem
    const { epoch, phase, members } = document
    const own = members.find((entry) => entry.name === this.#options.name)
    return { epoch, phase, listed: own?.state ?? 'absent', ...problem }
  }

  /** Resolves when the file has been read for the first time, whatever it said. */
  async start(): Promise<void> {
    await this.#read()
    this.#timer = this.#options.timers.every(PERIOD_MS, () => {
      // A volume that hangs holds one read, not one for each second.
      if (!this.#isReading) void this.#read()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#wake()
  }

  /** Resolves at the next change, and at the stop. */
  changed(): Promise<void> {
    return this.#next.promise
  }

  async #read(): Promise<void> {
    this.#isReading = true
    let text: string | undefined
    let problem: string | undefined
    try {
      text = await this.#options.read()
    } catch (error) {
      problem = `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`
    }
    this.#isReading = false
    if (text !== undefined) {
      if (text === this.#text) return
      this.#text = text
      problem = this.#take(text)
    } else if (problem === this.#problem) {
      return
    } else {
      this.#text = undefined
    }
    this.#problem = problem
    if (problem !== undefined) this.#options.log.warn({ problem }, 'membership file is not usable')
    this.#wake()
    this.#options.onChange()
  }

  /** Returns what is wrong. */
  #take(text: string): string | undefined {
    const parsed = parseMembership(text)
    if (!parsed.ok) return parsed.problems.join('; ')
    const { epoch, phase } = parsed.document
    const known = this.#document?.epoch
    if (known !== undefined && epoch < known) return `epoch fell from ${known} to ${epoch}`
    this.#document = parsed.document
    this.#options.log.info({ epoch, phase }, 'membership file read')
    return undefined
  }

  #wake(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }
}
