// The model of one key that the linearizability checker replays histories on: value, version and revisions. What an
// operation with an unknown outcome did to revisions is not known either: such a field is open (-1) with the least value it
// can have, until an answer fixes it. `floor` is the least revision the store can have now.
//
//   put a -> revision 5      value a, mod 5, create 5, version 1, floor 5
//   put b -> unknown         value b, mod open (6 or more), create 5, version 2, floor 6
//   get   -> b of revision 9, at 12      mod 9, floor 12

import { unreachable } from '../../../lib/assert.ts'
import type { Request, Response } from './history.ts'

/** A value that no read saw: which of several such puts wrote it makes no difference. */
export const UNSEEN = '\u0000unseen'

const OPEN = -1

export interface KeyState {
  /** Undefined: the key does not exist. */
  readonly value: string | undefined
  readonly mod: number
  readonly modMin: number
  readonly create: number
  readonly createMin: number
  readonly version: number
  readonly floor: number
}

/** The revision of an empty store is 1. */
export const ABSENT: KeyState = {
  value: undefined,
  mod: 0,
  modMin: 0,
  create: 0,
  createMin: 0,
  version: 0,
  floor: 1,
}

export function describeState(state: KeyState): string {
  const { value, mod, modMin, create, createMin, version, floor } = state
  return `${value ?? '-'}|${mod}|${modMin}|${create}|${createMin}|${version}|${floor}`
}

function absentAt(floor: number): KeyState {
  return { ...ABSENT, floor }
}

/** The state after the operation took effect with this answer; undefined when it cannot have given it here. */
export function stepKnown(
  state: KeyState,
  request: Request,
  response: Response,
): KeyState | undefined {
  switch (response.type) {
    case 'put':
      return request.type === 'put' ? stepPut(state, request.value, response) : undefined
    case 'delete':
      return request.type === 'delete' ? stepDelete(state, response) : undefined
    case 'get':
      return request.type === 'get' ? stepGet(state, response) : undefined
    default:
      return unreachable(response)
  }
}

/** The state after a write took effect whose answer nobody saw. */
export function stepUnknown(state: KeyState, request: Request, isSeen: boolean): KeyState {
  const floor = state.floor + 1
  if (request.type !== 'put') return state.value === undefined ? state : absentAt(floor)
  const exists = state.value !== undefined
  return {
    value: isSeen ? request.value : UNSEEN,
    mod: OPEN,
    modMin: floor,
    create: exists ? state.create : OPEN,
    createMin: exists ? state.createMin : floor,
    version: state.version + 1,
    floor,
  }
}

function stepPut(
  state: KeyState,
  value: string,
  response: Extract<Response, { type: 'put' }>,
): KeyState | undefined {
  const { revision, version, createRevision } = response
  if (revision <= state.floor || version !== state.version + 1) return undefined
  const isCreated = state.value === undefined
  if (isCreated && createRevision !== revision) return undefined
  if (
    !isCreated &&
    !canBeCreated(state, createRevision, state.mod === OPEN ? revision - 1 : state.mod)
  )
    return undefined
  return {
    value,
    mod: revision,
    modMin: revision,
    create: createRevision,
    createMin: createRevision,
    version,
    floor: revision,
  }
}

function stepDelete(
  state: KeyState,
  { revision, deleted }: Extract<Response, { type: 'delete' }>,
): KeyState | undefined {
  const exists = state.value !== undefined
  if (exists !== deleted > 0) return undefined
  if (exists ? revision <= state.floor : revision < state.floor) return undefined
  return absentAt(revision)
}

function stepGet(
  state: KeyState,
  { revision, kv }: Extract<Response, { type: 'get' }>,
): KeyState | undefined {
  if (revision < state.floor || (kv === undefined) !== (state.value === undefined)) return undefined
  if (kv === undefined) return absentAt(revision)
  const { value, modRevision, createRevision, version } = kv
  if (value !== state.value || version !== state.version || modRevision > revision) return undefined
  if (state.mod === OPEN ? modRevision < state.modMin : modRevision !== state.mod) return undefined
  if (version === 1 && createRevision !== modRevision) return undefined
  if (!canBeCreated(state, createRevision, modRevision)) return undefined
  return {
    value,
    mod: modRevision,
    modMin: modRevision,
    create: createRevision,
    createMin: createRevision,
    version,
    floor: revision,
  }
}

/** Whether the key, last written at `mod`, can have been created at `create`. */
function canBeCreated(state: KeyState, create: number, mod: number): boolean {
  if (state.create !== OPEN) return state.create === create
  // Open means that all its puts are open; each has a revision of its own.
  return create >= state.createMin && mod - create >= state.version - 1
}
