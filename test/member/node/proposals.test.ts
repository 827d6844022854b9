// What becomes of a request between its arrival and its answer (docs/adr/0009).

import { expect, test } from 'vitest'
import type { Clock } from '../../../lib/clock.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { Proposals } from '../../../member/src/node/proposals.ts'

class ManualClock implements Clock {
  nowMs = 0
  monotonicMs(): number {
    return this.nowMs
  }
  wallMs(): number {
    return this.nowMs
  }
}

function table(limits = { proposalsMax: 100, proposalBytesMax: 10_000 }) {
  const clock = new ManualClock()
  return { clock, proposals: new Proposals<string>({ clock, limits }) }
}

function add(
  proposals: Proposals<string>,
  options: { bytes?: number; timeoutMs?: number; signal?: AbortSignal } = {},
) {
  const data = new Uint8Array(options.bytes ?? 1)
  const outcome = { value: 'pending' }
  const timeoutMs = options.timeoutMs ?? 1000
  const watch = async (): Promise<void> => {
    try {
      outcome.value = await proposals.add({
        data,
        timeoutMs,
        signal: options.signal,
        read: (result) => result,
      })
    } catch (error) {
      outcome.value = (error as RaftbaseError).code
    }
  }
  return { outcome, done: watch() }
}

function send(proposals: Proposals<string>, term: number): number[] {
  const taken = proposals.takeUnsent(term, 1_000_000)
  proposals.sent(term, taken)
  return taken.map((proposal) => proposal.sequence)
}

test('a request is answered when its entry is applied, once', async () => {
  const { proposals } = table()
  const { outcome, done } = add(proposals)
  expect(send(proposals, 1)).toEqual([1])
  proposals.applied(1, 'done')
  proposals.applied(1, 'again')
  await done
  expect(outcome.value).toBe('done')
  expect(proposals.count).toBe(0)
})

test('a request nobody took ends as certainly not done, a sent one as unknown (promise 4)', async () => {
  const { proposals, clock } = table()
  const sent = add(proposals, { timeoutMs: 100 })
  send(proposals, 1)
  const waiting = add(proposals, { timeoutMs: 100 })
  clock.nowMs = 99
  proposals.sweep(clock.nowMs)
  expect(proposals.count).toBe(2)
  clock.nowMs = 100
  proposals.sweep(clock.nowMs)
  await Promise.all([sent.done, waiting.done])
  expect(sent.outcome.value).toBe('OUTCOME_UNKNOWN')
  expect(waiting.outcome.value).toBe('TIMEOUT')
})

test('what was sent in a term is not sent in another before a later term has been applied (promise 4)', () => {
  const { proposals } = table()
  void add(proposals)
  expect(send(proposals, 1)).toEqual([1])
  proposals.refused(1, [1], undefined)
  proposals.retryRefused()
  expect(send(proposals, 2)).toEqual([])
  expect(send(proposals, 1)).toEqual([1])
  proposals.termApplied(2)
  expect(send(proposals, 2)).toEqual([1])
})

test('what was refused in a term is still unknown at its deadline while that term may commit it', async () => {
  const { proposals, clock } = table()
  const { outcome, done } = add(proposals, { timeoutMs: 10 })
  send(proposals, 1)
  proposals.refused(1, [1], undefined)
  clock.nowMs = 10
  proposals.sweep(10)
  await done
  expect(outcome.value).toBe('OUTCOME_UNKNOWN')
})

test('a request that a leader does not take now waits for the next tick', () => {
  const { proposals } = table()
  void add(proposals)
  send(proposals, 1)
  proposals.refused(1, [1], undefined)
  expect(proposals.hasUnsent).toBe(false)
  proposals.retryRefused()
  expect(send(proposals, 1)).toEqual([1])
})

test('a request that a leader will never take fails at once', async () => {
  const { proposals } = table()
  const { outcome, done } = add(proposals)
  send(proposals, 1)
  proposals.refused(1, [1], new RaftbaseError('OVERLOADED', 'too many'))
  await done
  expect(outcome.value).toBe('OVERLOADED')
})

test('a refusal of an earlier term changes nothing', () => {
  const { proposals } = table()
  void add(proposals)
  send(proposals, 1)
  proposals.termApplied(2)
  send(proposals, 2)
  proposals.refused(1, [1], undefined)
  expect(proposals.hasUnsent).toBe(false)
})

test('a new connection to the same leader carries the requests of its term again', () => {
  const { proposals } = table()
  void add(proposals)
  void add(proposals)
  send(proposals, 3)
  proposals.sendAgain(3)
  expect(send(proposals, 3)).toEqual([1, 2])
  proposals.sendAgain(2)
  expect(proposals.hasUnsent).toBe(false)
})

test('the table refuses what exceeds its bounds with a definite error (promise 8)', async () => {
  const { proposals } = table({ proposalsMax: 2, proposalBytesMax: 10 })
  void add(proposals, { bytes: 6 })
  const large = add(proposals, { bytes: 5 })
  await large.done
  expect(large.outcome.value).toBe('OVERLOADED')
  void add(proposals, { bytes: 4 })
  const third = add(proposals, { bytes: 0 })
  await third.done
  expect(third.outcome.value).toBe('OVERLOADED')
})

test('an installed snapshot makes the outcome of what was sent before it unknown', async () => {
  const { proposals } = table()
  const old = add(proposals)
  send(proposals, 1)
  const later = add(proposals)
  send(proposals, 3)
  proposals.snapshotInstalled(2)
  await old.done
  expect(old.outcome.value).toBe('OUTCOME_UNKNOWN')
  expect(later.outcome.value).toBe('pending')
})

test('a client that leaves takes its unsent request along, not its sent one', async () => {
  const { proposals } = table()
  const gone = new AbortController()
  const sent = add(proposals, { signal: gone.signal })
  send(proposals, 1)
  const unsent = add(proposals, { signal: gone.signal })
  gone.abort()
  await unsent.done
  expect(unsent.outcome.value).toBe('TIMEOUT')
  expect(send(proposals, 1)).toEqual([])
  proposals.applied(1, 'done')
  await sent.done
  expect(sent.outcome.value).toBe('done')
})

test('batches respect their byte bound and keep the order of arrival', () => {
  const { proposals } = table()
  for (const bytes of [4, 4, 4]) void add(proposals, { bytes })
  const first = proposals.takeUnsent(1, 8)
  expect(first.map((p) => p.sequence)).toEqual([1, 2])
  proposals.putBack(first)
  expect(proposals.takeUnsent(1, 8).map((p) => p.sequence)).toEqual([1, 2])
  expect(proposals.takeUnsent(1, 8).map((p) => p.sequence)).toEqual([3])
})

test('closing answers everything: unsent as not done, sent as unknown', async () => {
  const { proposals } = table()
  const sent = add(proposals)
  send(proposals, 1)
  const unsent = add(proposals)
  proposals.close(new RaftbaseError('SHUTTING_DOWN', 'stopping'))
  const late = add(proposals)
  await Promise.all([sent.done, unsent.done, late.done])
  expect([sent, unsent, late].map((p) => p.outcome.value)).toEqual([
    'OUTCOME_UNKNOWN',
    'SHUTTING_DOWN',
    'SHUTTING_DOWN',
  ])
})
