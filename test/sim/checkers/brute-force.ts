// Linearizability by trying every order on a concrete store of all keys with one revision: slow, obvious, for the checker's
// own test. Others may write between two revisions (the checker allows it too), so revisions may leave gaps.

import { mayWrite, type Operation, type ReadValue, type Response } from './history.ts'

interface Store {
  readonly revision: number
  readonly keys: ReadonlyMap<string, ReadValue>
}

/** Whether some order explains the history. At most eight operations or so. */
export function bruteForce(operations: readonly Operation[]): boolean {
  const possible = operations.filter(
    ({ request, outcome }) =>
      outcome.type === 'done' || (outcome.type === 'unknown' && request.type !== 'get'),
  )
  const revisionMax =
    Math.max(
      1,
      ...possible.map(({ outcome }) => (outcome.type === 'done' ? outcome.response.revision : 0)),
    ) + 1
  return search({ revision: 1, keys: new Map() }, possible, revisionMax)
}

function search(store: Store, left: readonly Operation[], revisionMax: number): boolean {
  if (left.every(({ outcome }) => outcome.type === 'unknown')) return true
  for (const operation of left) {
    const isTooLate = left.some(
      ({ outcome, completed }) => outcome.type === 'done' && completed! < operation.invoked,
    )
    if (isTooLate) continue
    const others = left.filter((other) => other !== operation)
    for (const after of effects(store, operation, revisionMax)) {
      if (search(after, others, revisionMax)) return true
    }
  }
  return false
}

/** Every store the operation can lead to if it takes effect now with its answer. */
function effects(store: Store, operation: Operation, revisionMax: number): Store[] {
  const { request, outcome } = operation
  if (outcome.type === 'done') {
    const { revision } = outcome.response
    const least = store.revision + (mayWrite(operation) ? 1 : 0)
    if (revision < least) return []
    const [after, response] = apply(store, operation, revision)
    return JSON.stringify(response) === JSON.stringify(outcome.response) ? [after] : []
  }
  if (request.type === 'delete' && !store.keys.has(request.key)) return [store]
  const stores: Store[] = []
  for (let revision = store.revision + 1; revision <= revisionMax; revision++)
    stores.push(apply(store, operation, revision)[0])
  return stores
}

function apply(store: Store, { request }: Operation, revision: number): [Store, Response] {
  const { key } = request
  const old = store.keys.get(key)
  if (request.type === 'get')
    return [
      { ...store, revision },
      { type: 'get', revision, kv: old },
    ]
  const keys = new Map(store.keys)
  if (request.type === 'delete') {
    keys.delete(key)
    return [
      { revision, keys },
      { type: 'delete', revision, deleted: old === undefined ? 0 : 1 },
    ]
  }
  const createRevision = old?.createRevision ?? revision
  const version = (old?.version ?? 0) + 1
  keys.set(key, { value: request.value, createRevision, modRevision: revision, version })
  return [
    { revision, keys },
    { type: 'put', revision, version, createRevision },
  ]
}
