// Promise 7, the part a simulation can judge: no request waits without an answer much longer than the deadline it carries,
// whatever is going on around its member.

import type { Answer } from '../workload.ts'
import { CheckFailure, type Checker } from './checker.ts'

/** Beyond the deadline, in milliseconds. */
const GRACE_MS = 250

export class Answers implements Checker {
  readonly name = 'answers'
  /** The longest a request went on after its deadline. */
  worstMs = 0

  onAnswer(answer: Answer): void {
    if (answer.isDisturbed) return
    const lateMs = answer.elapsedMs - answer.timeoutMs
    this.worstMs = Math.max(this.worstMs, lateMs)
    if (lateMs <= GRACE_MS) return
    const { via, request, timeoutMs } = answer
    const late = `${Math.round(lateMs)} ms after its deadline of ${timeoutMs} ms`
    throw new CheckFailure(this.name, `${request.type} via ${via.name} is answered ${late}`)
  }
}
