// Failpoints: named places in the sources where a test makes a process exit, wait or fail. A place is a comment,
//
//   // failpoint: await walBeforeWrite
//   // failpoint: beforeSendAsLeader if this.#raft.role === 'leader'
//
// and nothing more: it becomes a call while a working copy is loaded with RAFTBASE_FAILPOINTS in its environment, so it
// costs nothing and cannot happen otherwise. This file is no part of a release, to which the variable means nothing.
//
//   RAFTBASE_FAILPOINTS="walAfterFlush=exit@40;beforeApply=sleep(0..200)"    from the 40th time on; at random up to 200 ms
//   RAFTBASE_FAILPOINTS="walBeforeWrite=error(DISK_FAILED)*1"                once
//
// An empty value sets none; the process that started this one sets others later, by a message { failpoints: '…' }. What
// happens is written to standard error when it happens first. Places without `await` wait by blocking the event loop.

import { writeSync } from 'node:fs'
import module from 'node:module'
import { systemTimers } from './clock.ts'
import { ERROR_CODES, type ErrorCode, RaftbaseError } from './errors.ts'
import { type Prng, systemPrng } from './prng.ts'

export const FAILPOINTS_VARIABLE = 'RAFTBASE_FAILPOINTS'

/** Every place there is. A test compares it with the comments in the sources. */
export const FAILPOINTS = [
  'afterAppliedIndex',
  'afterApply',
  'afterMembership',
  'beforeAppliedIndex',
  'beforeApply',
  'beforeMembership',
  'beforeSendAsFollower',
  'beforeSendAsLeader',
  'compactionStep',
  'directoryLocked',
  'directoryMade',
  'identityBeforeWrite',
  'identityRenamed',
  'identityStored',
  'identityWritten',
  'logRecovered',
  'segmentCreated',
  'segmentNamed',
  'segmentReleased',
  'segmentRenamed',
  'segmentSealed',
  'snapshotCleanup',
  'snapshotCommitted',
  'snapshotInstalled',
  'snapshotNamed',
  'snapshotPurged',
  'snapshotReceived',
  'snapshotReceiving',
  'snapshotRenamed',
  'snapshotRestored',
  'snapshotSaved',
  'snapshotSaving',
  'snapshotSending',
  'snapshotSent',
  'snapshotWritten',
  'walAfterFlush',
  'walAfterWrite',
  'walBeforeWrite',
  'walMarked',
  'walReserve',
] as const

export type FailpointName = (typeof FAILPOINTS)[number]

export type FailpointAction =
  | { readonly type: 'exit' }
  /** Takes memory until the limit of the process ends it. */
  | { readonly type: 'exhaust' }
  | { readonly type: 'sleep'; readonly fromMs: number; readonly toMs: number }
  | { readonly type: 'error'; readonly code: ErrorCode }

export interface Failpoint {
  readonly name: FailpointName
  readonly action: FailpointAction
  /** The first time it acts, counted from 1. */
  readonly first: number
  /** How often it acts. */
  readonly count: number
}

const PLACE = /^([ \t]*)\/\/ failpoint: (await )?([A-Za-z]+)(?: if (.+))?$/gm
const ENTRY =
  /^([A-Za-z]+)=(?:(exit|exhaust)|sleep\((\d+)(?:\.\.(\d+))?\)|error\(([A-Z_]+)\))(?:@(\d+))?(?:\*(\d+))?$/

/** Throws CONFIG_INVALID for anything but what is described above. */
export function parseFailpoints(text: string): Failpoint[] {
  return text
    .split(';')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(parseFailpoint)
}

function parseFailpoint(entry: string): Failpoint {
  const [, word, exit, from, to, errorCode, first, count] = ENTRY.exec(entry) ?? []
  const name = FAILPOINTS.find((candidate) => candidate === word)
  const code = ERROR_CODES.find((candidate) => candidate === errorCode)
  if (name === undefined || (errorCode !== undefined && code === undefined)) {
    throw new RaftbaseError('CONFIG_INVALID', 'not a failpoint', { details: { given: entry } })
  }
  let action: FailpointAction = { type: 'sleep', fromMs: Number(from), toMs: Number(to ?? from) }
  if (code !== undefined) action = { type: 'error', code }
  if (exit === 'exit' || exit === 'exhaust') action = { type: exit }
  return {
    name,
    action,
    first: Number(first ?? 1),
    count: count === undefined ? Number.POSITIVE_INFINITY : Number(count),
  }
}

/** The source with its places made calls, line for line; the same text when it has none. */
export function activateFailpoints(source: string): string {
  return source.replace(PLACE, (_, indent: string, wait = '', name: string, condition = '') => {
    const call = `${wait}globalThis.raftbaseFailpoint(${wait === '' ? 'false' : 'true'}, '${name}')`
    return `${indent};${condition === '' ? call : `if (${condition}) ${call}`};`
  })
}

/** Names of the places in a source. */
export function failpointsIn(source: string): string[] {
  return [...source.matchAll(PLACE)].map((match) => match[3]!)
}

/** The failpoints of this process. */
export class Failpoints {
  readonly #prng: Prng = systemPrng()
  #points = new Map<string, { readonly point: Failpoint; hits: number; isSaid: boolean }>()

  set(points: readonly Failpoint[]): void {
    this.#points = new Map(points.map((point) => [point.name, { point, hits: 0, isSaid: false }]))
  }

  /** A place was reached; returns what to wait for if it can wait. */
  reached(canWait: boolean, name: string): Promise<void> | undefined {
    const entry = this.#points.get(name)
    if (entry === undefined) return undefined
    const { action, first, count } = entry.point
    entry.hits++
    if (entry.hits < first || entry.hits >= first + count) return undefined
    if (!entry.isSaid) {
      entry.isSaid = true
      writeSync(2, `failpoint ${name}: ${action.type}\n`)
    }
    if (action.type === 'exit') process.kill(process.pid, 'SIGKILL')
    if (action.type === 'exhaust') exhaustMemory()
    if (action.type === 'error') {
      throw new RaftbaseError(action.code, 'failpoint', { details: { name } })
    }
    if (action.type !== 'sleep') return undefined
    const ms = action.fromMs + this.#prng.next(action.toMs - action.fromMs + 1)
    if (canWait) return new Promise((resolve) => void systemTimers.after(ms, resolve))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    return undefined
  }
}

/** To be called before anything of the member is loaded. Takes the variable out of the environment. */
export function installFailpoints(environment: NodeJS.ProcessEnv): void {
  const failpoints = new Failpoints()
  failpoints.set(parseFailpoints(environment[FAILPOINTS_VARIABLE] ?? ''))
  delete environment[FAILPOINTS_VARIABLE]
  const place = (canWait: boolean, name: string): Promise<void> | undefined =>
    failpoints.reached(canWait, name)
  Object.assign(globalThis, { raftbaseFailpoint: place })
  module.registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      if (!url.startsWith('file:') || !url.endsWith('.ts') || loaded.source === undefined) {
        return loaded
      }
      const source =
        typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array)
      return { ...loaded, source: activateFailpoints(source.toString()) }
    },
  })
  process.on('message', (message: { failpoints?: string }) => {
    if (message.failpoints !== undefined) failpoints.set(parseFailpoints(message.failpoints))
  })
  process.channel?.unref()
}

function exhaustMemory(): never {
  const held: unknown[] = []
  for (;;) held.push(Array.from({ length: 1000 }, () => ({})))
}
