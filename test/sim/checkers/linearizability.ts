// LIN: is there an order of the operations, each at one moment between its start and its end, in which a single store would
// have given exactly these answers? The search is Wing and Gong's with Lowe's memory of what was tried (what took effect,
// and the state it led to), one key at a time. What lies between keys is their common revision: revision-order.ts checks
// it, and both together are linearizability of the whole store, because a key's answers already fix the revision of its state.
//
// Operations with an unknown outcome may take effect at any time after their start, or never. Two facts keep them cheap. One
// whose value a read saw took effect before that read ended. The others differ by nothing but their start, so only the
// oldest of the same kind that has not taken effect needs to be tried.

import { invariant } from '../../../lib/assert.ts'
import { describeOperation, mayWrite, type Operation, type Verdict } from './history.ts'
import {
  ABSENT,
  describeState,
  type KeyState,
  stepKnown,
  stepUnknown,
  UNSEEN,
} from './key-model.ts'
import { checkRevisionOrder } from './revision-order.ts'

/** Bound on the search in one key. No correct history of ours comes near; one that does is not called correct. */
const STEPS_MAX = 2_000_000

/** Whether the history is that of one store that was empty at its start. Serializable reads are checked by revision only. */
export function checkLinearizable(operations: readonly Operation[]): Verdict {
  const order = checkRevisionOrder(operations)
  if (!order.accepted) return order
  for (const [key, ofKey] of byKey(operations)) {
    const verdict = checkKey(key, ofKey)
    if (!verdict.accepted) return verdict
  }
  return { accepted: true }
}

function byKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const keys = new Map<string, Operation[]>()
  for (const operation of operations) {
    const { request, outcome } = operation
    if (request.type === 'get' && (request.serializable === true || outcome.type !== 'done'))
      continue
    if (outcome.type === 'failed') continue
    const ofKey = keys.get(request.key)
    if (ofKey === undefined) keys.set(request.key, [operation])
    else ofKey.push(operation)
  }
  return keys
}

/** What the search places: all of `required`, any of the others. */
interface Problem {
  /** In order of start, each with the position before which it must have taken effect. */
  readonly required: readonly Step[]
  readonly unseenPuts: readonly Operation[]
  readonly unseenDeletes: readonly Operation[]
}

interface Step {
  readonly operation: Operation
  readonly deadline: number
  /** The revision its answer carries, Infinity if nobody saw one: the order worth trying first. */
  readonly revision: number
  readonly isRead: boolean
}

function problemOf(operations: readonly Operation[]): Problem {
  const seen = new Map<string, number>()
  for (const { outcome, completed } of operations) {
    if (outcome.type !== 'done' || outcome.response.type !== 'get') continue
    const value = outcome.response.kv?.value
    if (value === undefined) continue
    seen.set(value, Math.min(seen.get(value) ?? Number.POSITIVE_INFINITY, completed!))
  }
  const required: Step[] = []
  const unseenPuts: Operation[] = []
  const unseenDeletes: Operation[] = []
  for (const operation of operations) {
    const { request, outcome, completed } = operation
    if (outcome.type === 'done') {
      const { revision } = outcome.response
      const isRead = !mayWrite(operation)
      required.push({ operation, deadline: completed!, revision, isRead })
    } else if (request.type === 'delete') {
      unseenDeletes.push(operation)
    } else if (request.type === 'put') {
      const deadline = seen.get(request.value)
      if (deadline === undefined) unseenPuts.push(operation)
      else required.push({ operation, deadline, revision: Number.POSITIVE_INFINITY, isRead: false })
    }
  }
  required.sort((a, b) => byStart(a.operation, b.operation))
  return {
    required,
    unseenPuts: unseenPuts.toSorted(byStart),
    unseenDeletes: unseenDeletes.toSorted(byStart),
  }
}

function byStart(a: Operation, b: Operation): number {
  return a.invoked - b.invoked
}

/** A point of the search: what has taken effect, and the state it led to. */
interface Node {
  /** Everything in `required` before it has taken effect. */
  readonly low: number
  /** What has taken effect from `low` on, ascending. */
  readonly beyond: readonly number[]
  readonly puts: number
  readonly deletes: number
  readonly state: KeyState
}

function checkKey(key: string, operations: readonly Operation[]): Verdict {
  const problem = problemOf(operations)
  const { required } = problem
  const tried = new Set<string>()
  const stack: Node[] = [{ low: 0, beyond: [], puts: 0, deletes: 0, state: ABSENT }]
  let furthest = stack[0]!
  let steps = 0
  while (stack.length > 0) {
    const node = stack.pop()!
    if (node.low === required.length) return { accepted: true }
    if (progress(node) > progress(furthest)) furthest = node
    if (++steps > STEPS_MAX) break
    for (const next of successors(problem, node)) {
      const name = nameOf(next)
      if (tried.has(name)) continue
      tried.add(name)
      stack.push(next)
    }
  }
  const reason = steps > STEPS_MAX ? `undecided after ${steps} steps` : 'not linearizable'
  return { accepted: false, explanation: explain({ key, problem, furthest, reason }) }
}

function progress(node: Node): number {
  return node.low + node.beyond.length
}

function nameOf({ low, beyond, puts, deletes, state }: Node): string {
  return `${low}:${beyond.join(',')}|${puts}|${deletes}|${describeState(state)}`
}

/** The points one step further, most promising last. */
function successors(problem: Problem, node: Node): Node[] {
  const { required } = problem
  const { low, beyond } = node
  const candidates: number[] = []
  // No operation may take effect after another has ended that has not taken effect yet.
  let deadline = Number.POSITIVE_INFINITY
  let skip = 0
  for (let i = low; i < required.length && required[i]!.operation.invoked < deadline; i++) {
    if (beyond[skip] === i) {
      skip++
      continue
    }
    deadline = Math.min(deadline, required[i]!.deadline)
    candidates.push(i)
  }
  const nodes: Node[] = []
  addUnseen(problem, node, deadline, nodes)
  candidates.sort((a, b) => compareSteps(required[b]!, required[a]!))
  const least = required[candidates.at(-1)!]!.revision
  for (const index of candidates) {
    const { operation, revision } = required[index]!
    // Revisions never fall: whatever is left behind with a smaller one would fit nowhere later.
    if (revision > least && revision !== Number.POSITIVE_INFINITY) continue
    const { request, outcome } = operation
    const state =
      outcome.type === 'done'
        ? stepKnown(node.state, request, outcome.response)
        : stepUnknown(node.state, request, true)
    if (state !== undefined) nodes.push(advance(node, index, state))
  }
  return nodes
}

/** Writes with unknown outcome that no read saw, the oldest of each kind. */
function addUnseen(problem: Problem, node: Node, deadline: number, nodes: Node[]): void {
  const { puts, deletes, state } = node
  const deletion = problem.unseenDeletes[deletes]
  if (deletion !== undefined && deletion.invoked < deadline && state.value !== undefined) {
    const after = stepUnknown(state, deletion.request, false)
    nodes.push({ ...node, deletes: deletes + 1, state: after })
  }
  const put = problem.unseenPuts[puts]
  if (put !== undefined && put.invoked < deadline) {
    nodes.push({ ...node, puts: puts + 1, state: stepUnknown(state, put.request, false) })
  }
}

function compareSteps(a: Step, b: Step): number {
  if (a.revision !== b.revision) return a.revision < b.revision ? -1 : 1
  return Number(a.isRead) - Number(b.isRead) || a.deadline - b.deadline
}

function advance(node: Node, index: number, state: KeyState): Node {
  let { low } = node
  const { beyond } = node
  if (index !== low) {
    const at = beyond.findIndex((other) => other > index)
    return { ...node, state, beyond: beyond.toSpliced(at === -1 ? beyond.length : at, 0, index) }
  }
  low++
  let taken = 0
  while (beyond[taken] === low) {
    taken++
    low++
  }
  return { ...node, state, low, beyond: beyond.slice(taken) }
}

function explain(options: {
  key: string
  problem: Problem
  furthest: Node
  reason: string
}): string {
  const { key, problem, furthest, reason } = options
  const { required } = problem
  const { state } = furthest
  invariant(furthest.low < required.length, 'an explanation needs an operation left over')
  const around: string[] = []
  const from = Math.max(0, furthest.low - 8)
  for (let i = from; i < Math.min(required.length, furthest.low + 12); i++) {
    const isPlaced = i < furthest.low || furthest.beyond.includes(i)
    around.push(`  ${isPlaced ? 'placed' : 'LEFT  '} ${describeOperation(required[i]!.operation)}`)
  }
  const unseen = problem.unseenPuts.length + problem.unseenDeletes.length
  const value = state.value === UNSEEN ? 'a value nobody read' : (state.value ?? 'absent')
  return [
    `key ${key}: ${reason}; ${progress(furthest)} of ${required.length} operations can be placed, ${unseen} more are unknown`,
    `  then the key is ${value}, version ${state.version}, at revision ${state.floor} or later`,
    ...around,
  ].join('\n')
}
