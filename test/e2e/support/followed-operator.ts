// The operator in one pod, as its log tells it until its process ends: what it changed, and why it ended.

import { WatchedCommand } from './kubectl.ts'
import { RUN } from './run.ts'
import { waitFor } from './wait.ts'

interface Line {
  /** ISO 8601 in UTC: one clock, as all nodes are on one machine. */
  readonly ts: string
  readonly level: string
  readonly msg: string
  readonly action?: string
  readonly err?: { readonly code?: string }
}

export class FollowedOperator {
  readonly pod: string
  readonly #log: WatchedCommand

  private constructor(pod: string) {
    this.pod = pod
    this.#log = new WatchedCommand(['logs', '--follow', pod, '-n', RUN.operatorNamespace])
  }

  /** From its start; resolves once there is something to read. */
  static async of(pod: string): Promise<FollowedOperator> {
    const operator = new FollowedOperator(pod)
    const what = { what: `the log of ${pod}`, timeoutMs: 10_000 }
    await waitFor(what, async () => operator.#lines.length > 0 || { notYet: 'nothing' })
    return operator
  }

  /** What it asked the API server or a member for, and got. */
  get changes(): readonly Line[] {
    return this.#lines.filter(({ msg }) => ['carried out', 'asked a member'].includes(msg))
  }

  /** Resolves once it has changed something. */
  async acts(timeoutMs: number): Promise<void> {
    await waitFor({ what: `${this.pod} to act`, timeoutMs }, async () => {
      return this.changes.length > 0 || { notYet: this.#lines.at(-1) }
    })
  }

  /** Resolves once it has ended because it does not lead any more. */
  async losesTheLease(timeoutMs: number): Promise<void> {
    await waitFor({ what: `${this.pod} to lose the Lease`, timeoutMs }, async () => {
      const last = this.#lines.findLast(({ level }) => level === 'fatal')
      return last?.err?.code === 'notLeading' || { notYet: this.#lines.at(-1) }
    })
    await this.#log.ends()
  }

  async stop(): Promise<void> {
    await this.#log.stop()
  }

  get #lines(): readonly Line[] {
    return this.#log.lines.flatMap(({ text }) => {
      return text.startsWith('{') ? [JSON.parse(text) as Line] : []
    })
  }
}
