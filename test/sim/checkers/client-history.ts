// LIN: what clients saw is what one store, one request after the other, would have answered (linearizability.ts).

import { CheckFailure, type Checker } from './checker.ts'
import type { Operation } from './history.ts'
import { checkLinearizable } from './linearizability.ts'

export class ClientHistory implements Checker {
  readonly name = 'linearizability'

  finish(operations: readonly Operation[]): void {
    const verdict = checkLinearizable(operations)
    if (!verdict.accepted) throw new CheckFailure(this.name, verdict.explanation)
  }
}
