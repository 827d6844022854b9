// ACK, and honest errors (promises 1 and 4): what was acknowledged is there at its revision, on every member; what failed
// for certain is nowhere, ever; nothing was applied twice. Reads the whole history of each member's keys.

import type { StateMachine } from '../../../member/src/apply/state-machine.ts'
import type { SimMember } from '../member.ts'
import { readValue } from '../workload.ts'
import { CheckFailure, type Checker, type View } from './checker.ts'
import { describeOperation, type Operation } from './history.ts'

interface Version {
  readonly key: string
  readonly revision: number
}

const encoder = new TextEncoder()

export class Acknowledged implements Checker {
  readonly name = 'acknowledged'

  finish(operations: readonly Operation[], { current, isStuck }: View): void {
    if (isStuck) return
    const checked = new Set<string>()
    for (const member of current) {
      if (member.member === undefined) continue
      const { stateMachine } = member.member
      // Whoever holds the same state at the same index has been checked with it.
      const state = `${stateMachine.appliedIndex} ${stateMachine.hash()}`
      if (!checked.has(state)) this.#check(member, operations)
      checked.add(state)
    }
  }

  #check(member: SimMember, operations: readonly Operation[]): void {
    const { stateMachine } = member.member!
    const keys = new Set(operations.map(({ request }) => request.key))
    const versions = versionsOf(stateMachine, keys, (value, first, second) => {
      const where = `${first.key} at revisions ${first.revision} and ${second.revision}`
      throw new CheckFailure(this.name, `${value} was put twice on ${member.name}: ${where}`)
    })
    for (const operation of operations) {
      const problem = problemOf(operation, versions, stateMachine)
      if (problem === undefined) continue
      const what = `on ${member.name}: ${describeOperation(operation)}`
      throw new CheckFailure(this.name, `${problem} ${what}`)
    }
  }
}

/** Each value ever put, with the one revision it was put at. */
function versionsOf(
  { store }: StateMachine,
  keys: Iterable<string>,
  onDouble: (value: string, first: Version, second: Version) => never,
): Map<string, Version> {
  const versions = new Map<string, Version>()
  for (const key of keys) {
    let revision = store.revision
    while (revision > store.compactRevision) {
      const version = readAt(store, key, revision)
      if (version === undefined) {
        // A delete, or nothing yet: step over the revisions without the key one by one.
        revision--
        continue
      }
      const found = { key, revision: version.modRevision }
      const known = versions.get(version.value)
      if (known !== undefined) onDouble(version.value, found, known)
      versions.set(version.value, found)
      revision = version.modRevision - 1
    }
  }
  return versions
}

function readAt(store: StateMachine['store'], key: string, revision: number) {
  if (revision < 1) return undefined
  const result = store.range({ key: encoder.encode(key), revision })
  if (!result.ok || result.kvs.length === 0) return undefined
  return readValue(result.kvs.at(0))
}

function problemOf(
  { request, outcome }: Operation,
  versions: ReadonlyMap<string, Version>,
  { store }: StateMachine,
): string | undefined {
  if (request.type === 'put') {
    const found = versions.get(request.value)
    if (outcome.type === 'failed')
      return found === undefined ? undefined : 'what failed for certain is there'
    if (outcome.type !== 'done' || outcome.response.revision <= store.compactRevision)
      return undefined
    const { revision } = outcome.response
    if (found === undefined) return 'an acknowledged put is lost'
    return found.revision === revision ? undefined : 'an acknowledged put has another revision'
  }
  if (request.type !== 'delete' || outcome.type !== 'done') return undefined
  const { response } = outcome
  if (response.type !== 'delete' || response.deleted === 0) return undefined
  if (response.revision <= store.compactRevision) return undefined
  const before = readAt(store, request.key, response.revision - 1)
  const after = readAt(store, request.key, response.revision)
  return before !== undefined && after === undefined ? undefined : 'an acknowledged delete is lost'
}
