// What lies between the keys: the one sequence of revisions. Every write has a revision of its own; whoever starts after an
// answer was seen sees its revision or a later one; a revision of a key always has the same value, and one that somebody put.
// Serializable reads are checked here: they may be old, never invented, and nothing acknowledged up to their own revision
// may be missing from them.

import { describeOperation, type Operation, type ReadValue, type Verdict } from './history.ts'

interface Write {
  readonly operation: Operation
  readonly key: string
  readonly revision: number
  /** Undefined: a delete. */
  readonly value: string | undefined
}

export function checkRevisionOrder(operations: readonly Operation[]): Verdict {
  const explanation = checkRealTime(operations) ?? checkWrites(operations) ?? checkReads(operations)
  return explanation === undefined ? { accepted: true } : { accepted: false, explanation }
}

function isSerializable({ request }: Operation): boolean {
  return request.type === 'get' && request.serializable === true
}

/** Revisions never fall from one answer to a request that starts after it. */
function checkRealTime(operations: readonly Operation[]): string | undefined {
  const events: { at: number; operation: Operation; isStart: boolean }[] = []
  for (const operation of operations) {
    if (operation.outcome.type !== 'done' || isSerializable(operation)) continue
    events.push({ at: operation.invoked, operation, isStart: true })
    events.push({ at: operation.completed!, operation, isStart: false })
  }
  events.sort((a, b) => a.at - b.at)
  const newestAtStart = new Map<number, Operation | undefined>()
  let newest: Operation | undefined
  for (const { operation, isStart } of events) {
    if (isStart) {
      newestAtStart.set(operation.id, newest)
      continue
    }
    const before = newestAtStart.get(operation.id)
    const revision = revisionOf(operation)
    if (before !== undefined) {
      const least = revisionOf(before) + (writtenBy(operation) === undefined ? 0 : 1)
      if (revision < least) return pair('an answer older than one seen before', before, operation)
    }
    if (newest === undefined || revision > revisionOf(newest)) newest = operation
  }
  return undefined
}

/** No two writes share a revision. */
function checkWrites(operations: readonly Operation[]): string | undefined {
  const byRevision = new Map<number, Operation>()
  for (const operation of operations) {
    const write = writtenBy(operation)
    if (write === undefined) continue
    const other = byRevision.get(write.revision)
    if (other !== undefined) return pair('two writes of one revision', other, operation)
    byRevision.set(write.revision, operation)
  }
  return undefined
}

function checkReads(operations: readonly Operation[]): string | undefined {
  const puts = new Map<string, Operation>()
  for (const operation of operations) {
    const { request } = operation
    if (request.type !== 'put') continue
    const name = `${request.key}\n${request.value}`
    const other = puts.get(name)
    if (other !== undefined)
      return pair('a history with equal values proves less', other, operation)
    puts.set(name, operation)
  }
  const writes = sortedWrites(operations)
  const deletedUnseen = new Set(
    operations
      .filter(({ request, outcome }) => request.type === 'delete' && outcome.type === 'unknown')
      .map(({ request }) => request.key),
  )
  const values = new Map<string, { value: string; operation: Operation }>()
  for (const operation of operations) {
    const { request, outcome } = operation
    if (outcome.type !== 'done' || outcome.response.type !== 'get') continue
    const { kv, revision } = outcome.response
    if (kv !== undefined) {
      const problem =
        checkOrigin(operation, kv, puts.get(`${request.key}\n${kv.value}`)) ??
        checkSame(operation, kv, values)
      if (problem !== undefined) return problem
    }
    const last = lastWrite(writes.get(request.key), revision)
    if (last === undefined || last.revision <= (kv?.modRevision ?? 0)) continue
    if (kv === undefined && (last.value === undefined || deletedUnseen.has(request.key))) continue
    return pair('a read that misses a write up to its own revision', last.operation, operation)
  }
  return undefined
}

/** The value was put, by an operation that had begun and did not certainly fail. */
function checkOrigin(
  operation: Operation,
  kv: ReadValue,
  put: Operation | undefined,
): string | undefined {
  if (put === undefined) return `a value nobody put\n  ${describeOperation(operation)}`
  if (put.invoked > operation.completed!)
    return pair('a value read before it was put', put, operation)
  if (put.outcome.type === 'failed') return pair('a put that failed took effect', put, operation)
  const written = writtenBy(put)
  if (written !== undefined && written.revision !== kv.modRevision)
    return pair('a put that took effect at two revisions', put, operation)
  return undefined
}

function checkSame(
  operation: Operation,
  kv: ReadValue,
  values: Map<string, { value: string; operation: Operation }>,
): string | undefined {
  const { key } = operation.request
  const name = `${key}\n${kv.modRevision}`
  const other = values.get(name)
  if (other !== undefined && other.value !== kv.value)
    return pair('two values of one revision', other.operation, operation)
  values.set(name, { value: kv.value, operation })
  if (operation.outcome.type === 'done' && kv.modRevision > operation.outcome.response.revision)
    return `a value from the future\n  ${describeOperation(operation)}`
  return undefined
}

function sortedWrites(operations: readonly Operation[]): Map<string, Write[]> {
  const byKey = new Map<string, Write[]>()
  for (const operation of operations) {
    const write = writtenBy(operation)
    if (write === undefined) continue
    const ofKey = byKey.get(write.key)
    if (ofKey === undefined) byKey.set(write.key, [write])
    else ofKey.push(write)
  }
  for (const writes of byKey.values()) writes.sort((a, b) => a.revision - b.revision)
  return byKey
}

/** The newest acknowledged write at or before the revision. */
function lastWrite(writes: readonly Write[] | undefined, revision: number): Write | undefined {
  let low = 0
  let high = writes?.length ?? 0
  while (low < high) {
    const middle = (low + high) >>> 1
    if (writes![middle]!.revision <= revision) low = middle + 1
    else high = middle
  }
  return writes?.[low - 1]
}

/** What an acknowledged operation changed, if it changed anything. */
export function writtenBy(operation: Operation): Write | undefined {
  const { request, outcome } = operation
  if (outcome.type !== 'done') return undefined
  const { response } = outcome
  if (response.type === 'get' || (response.type === 'delete' && response.deleted === 0))
    return undefined
  const value = request.type === 'put' ? request.value : undefined
  return { operation, key: request.key, revision: response.revision, value }
}

function revisionOf({ outcome }: Operation): number {
  return outcome.type === 'done' ? outcome.response.revision : 0
}

function pair(what: string, first: Operation, second: Operation): string {
  return `${what}\n  ${describeOperation(first)}\n  ${describeOperation(second)}`
}
