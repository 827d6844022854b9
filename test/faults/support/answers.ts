// Answers of one member, one question after the other, asked and measured by a process of its own (support/asker.ts).

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Answer, Order } from '../../support/asker.ts'

const PROGRAM = fileURLToPath(new URL('../../support/asker.ts', import.meta.url))

export class Asker {
  readonly answers: Answer[] = []
  readonly #child: ChildProcess

  constructor(order: Order) {
    const execArgv = ['--single-threaded']
    this.#child = fork(PROGRAM, [JSON.stringify(order)], { execArgv })
    this.#child.on('message', (answer) => this.answers.push(answer as Answer))
  }

  /** Resolves once the process is gone; the answers stay. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** Those that took longer, beside what asker and asked waited for a processor. */
export function later(limitMs: number, answers: readonly Answer[]): readonly string[] {
  return answers
    .filter(({ ms, waitedMs }) => ms - waitedMs > limitMs)
    .map(({ ms, waitedMs }) => `${ms.toFixed(1)} ms, of which held up ${waitedMs.toFixed(1)} ms`)
}

/** As it is printed. */
export function summaryOf(answers: readonly Answer[]): string {
  const part = (of: (answer: Answer) => number, share: number): string => {
    const sorted = answers.map(of).toSorted((a, b) => a - b)
    return sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1)
  }
  const whole = (share: number): string => part(({ ms }) => ms, share)
  const own = part(({ ms, waitedMs }) => ms - waitedMs, 1)
  return `${answers.length} answers, median ${whole(0.5)}, p99 ${whole(0.99)}, slowest ${whole(1)} ms; slowest beside what was held up ${own} ms`
}
