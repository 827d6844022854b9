// The membership changes over the REST API while clients write and members die (faults.md F50 to F53, promise 6): what is
// unsafe is refused with the reason, what is safe disturbs nobody, who was removed stays out. Every run ends with the
// verdicts of any scenario and with the checker of one cluster over all that members ever said of theirs.

import { rm } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { memberIdOf } from '../../lib/identity.ts'
import type { Membership, Problem } from '../../member/src/rest/contract.ts'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { sleep } from './support/duration.ts'
import { ELECTION_MS, FaultRun, PATIENCE_MS } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 240_000 })

interface Answered {
  readonly status: number
  readonly body: Membership & Problem & Readonly<Record<string, unknown>>
}

async function call(
  via: MemberProcess,
  method: 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<Answered> {
  const response = await fetch(`${via.api}/cluster/members${path}`, {
    method,
    signal: AbortSignal.timeout(30_000),
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  return { status: response.status, body: (await response.json()) as Answered['body'] }
}

function idOf(run: FaultRun, member: MemberProcess, incarnation = 1): string {
  return memberIdOf(run.cluster.token, member.name, incarnation)
}

function addition(member: MemberProcess, incarnation = 1): object {
  const peerUrls = [`http://127.0.0.1:${member.advertisedPeerPort}`]
  return { name: member.name, incarnation, peerUrls }
}

function spareOf(run: FaultRun): MemberProcess {
  return run.cluster.members.at(-1)!
}

/** Asks again until the answer has this status; returns it. */
function until(run: FaultRun, status: number, ask: () => Promise<Answered>): Promise<Answered> {
  return eventually(
    `an answer ${status}`,
    async () => {
      const answer = await ask()
      return answer.status === status ? answer : undefined
    },
    { timeoutMs: PATIENCE_MS, everyMs: 50, explain: () => run.explain() },
  )
}

function ended(run: FaultRun, member: MemberProcess): Promise<true> {
  return eventually(
    `the end of ${member.name}`,
    () => (member.child === undefined ? true : undefined),
    { timeoutMs: PATIENCE_MS, explain: () => run.explain() },
  )
}

test('a learner is added under load, killed while it catches up, and promoted only when it has (F50)', async () => {
  const load = { workers: 3, valueBytes: 20_000, keys: 20 }
  const flags = ['-snapshot-log-bytes=1048576']
  await FaultRun.scenario('F50', { members: 3, spares: 1, flags, load }, async (run) => {
    const leader = await run.leader(run.members)
    const { term } = await run.status(leader)
    const learner = spareOf(run)
    const id = idOf(run, learner)
    const fromMs = performance.now()
    const added = await call(leader, 'POST', '', addition(learner))
    expect([added.status, added.body.id]).toEqual([200, id])
    // Too early, with the figures: it has not even started.
    const early = await call(leader, 'POST', `/${id}/promote`, {})
    expect([early.status, early.body.code]).toEqual([503, 'NOT_READY'])
    expect(early.body).toMatchObject({ match: 0, lagMax: 1000 })
    // What it receives crawls, so that it dies in the middle.
    run.links.set(leader.name, learner.name, { bytesPerSecond: 400_000 })
    run.join(learner, [...run.members])
    await eventually('bytes on their way to it', () =>
      run.links.counts(leader.name, learner.name).forwardedBytes > 50_000 ? true : undefined,
    )
    await run.cluster.kill(learner)
    run.links.heal()
    const again = await call(leader, 'POST', `/${id}/promote`, {})
    expect([again.status, again.body.code]).toEqual([503, 'NOT_READY'])
    run.cluster.start(learner)
    await until(run, 200, () => call(leader, 'POST', `/${id}/promote`, {}))
    await run.ready(learner)
    await run.acknowledges(50)
    expect(run.watch.changesAfter(term)).toBe(0)
    expect(run.meets('GAP', 300, run.load.gap(fromMs))).toBe(true)
  })
})

test('a leader that is removed steps down when it is committed, and disturbs nobody (F51)', async () => {
  await FaultRun.scenario('F51 leader', { members: 3 }, async (run) => {
    const leader = await run.leader(run.members)
    run.avoided.add(leader)
    await sleep(100)
    const fromMs = performance.now()
    const removed = await call(leader, 'DELETE', `/${idOf(run, leader)}`)
    expect(removed.status).toBe(200)
    await ended(run, leader)
    expect(leader.output).toContain('MEMBER_REMOVED')
    const next = await run.leader(run.others(leader))
    const { term } = await run.status(next)
    expect(run.meets('GAP', 2 * ELECTION_MS + 200, run.load.gap(fromMs))).toBe(true)
    // Its supervisor starts it again and again.
    for (let i = 0; i < 3; i++) {
      run.cluster.start(leader)
      await ended(run, leader)
    }
    await run.acknowledges(100)
    expect(run.watch.changesAfter(term)).toBe(0)
    return { except: [leader] }
  })
})

test('a member that is removed while it is cut off asks for votes in vain, and learns it when it is back (F51)', async () => {
  await FaultRun.scenario('F51 follower', { members: 3 }, async (run) => {
    const leader = await run.leader(run.members)
    const [gone, kept] = run.others(leader) as [MemberProcess, MemberProcess]
    run.avoided.add(gone)
    for (const other of [leader, kept]) {
      run.links.set(gone.name, other.name, { cut: true })
      run.links.set(other.name, gone.name, { cut: true })
    }
    await sleep(2 * ELECTION_MS)
    const { term } = await run.status(leader)
    expect((await call(leader, 'DELETE', `/${idOf(run, gone)}`)).status).toBe(200)
    await run.acknowledges(50)
    const fromMs = performance.now()
    run.links.heal()
    await ended(run, gone)
    expect(gone.output).toContain('MEMBER_REMOVED')
    await run.acknowledges(50)
    expect(run.watch.changesAfter(term)).toBe(0)
    expect(run.meets('GAP', 300, run.load.gap(fromMs))).toBe(true)
    return { except: [gone] }
  })
})

test('a removed member does not come back with its old data; its name does, under a new id (F52)', async () => {
  await FaultRun.scenario('F52', { members: 3 }, async (run) => {
    const leader = await run.leader(run.members)
    const [gone] = run.others(leader) as [MemberProcess]
    run.avoided.add(gone)
    await run.cluster.kill(gone)
    expect((await call(leader, 'DELETE', `/${idOf(run, gone)}`)).status).toBe(200)
    // The tombstone is not there yet: its peers tell it, and the next time its own disk does.
    for (let i = 0; i < 2; i++) {
      run.cluster.start(gone)
      await ended(run, gone)
      expect(gone.output).toContain('MEMBER_REMOVED')
      gone.output = ''
    }
    const reused = await call(leader, 'POST', '', addition(gone))
    expect([reused.status, reused.body.code]).toEqual([409, 'MEMBERSHIP_CONFLICT'])
    const added = await call(leader, 'POST', '', addition(gone, 2))
    expect([added.status, added.body.id]).toEqual([200, idOf(run, gone, 2)])
    expect(added.body.id).not.toBe(idOf(run, gone))
    // Not with the old data.
    run.join(gone, run.others(gone))
    await ended(run, gone)
    await rm(gone.dataDir, { recursive: true })
    run.cluster.start(gone)
    await until(run, 200, () => call(leader, 'POST', `/${added.body.id}/promote`, {}))
    await run.ready(gone)
    await run.acknowledges(50)
  })
})

test('a second change at once and one that would lose the majority are refused, with the safe order (F53)', async () => {
  await FaultRun.scenario('F53', { members: 3, spares: 1 }, async (run) => {
    const leader = await run.leader(run.members)
    const [a, b] = run.others(leader) as [MemberProcess, MemberProcess]
    const spare = spareOf(run)
    // The first is under way for as long as its commit takes.
    for (const { name } of [a, b]) {
      run.links.set(leader.name, name, { delayMs: 300 })
    }
    const first = call(leader, 'POST', '', addition(spare))
    await sleep(50)
    const second = await call(leader, 'DELETE', `/${idOf(run, b)}`)
    expect([second.status, second.body.code]).toEqual([409, 'MEMBERSHIP_CONFLICT'])
    expect((await first).status).toBe(200)
    run.links.heal()

    // One of three is dead: without another there would be no majority that answers.
    await run.cluster.kill(b)
    await sleep(ELECTION_MS)
    const unsafe = await until(run, 409, () => call(leader, 'DELETE', `/${idOf(run, a)}`))
    expect(unsafe.body.code).toBe('MEMBERSHIP_UNSAFE')
    expect(String(unsafe.body['instead'])).toContain(b.name)

    // The safe order: the learner that was added takes the place of the dead one in one change.
    run.join(spare, run.members)
    const replaced = await until(run, 200, () =>
      call(leader, 'POST', `/${idOf(run, b)}/replace`, { by: idOf(run, spare) }),
    )
    // Whose answer may have been lost.
    const again = await call(leader, 'POST', `/${idOf(run, b)}/replace`, { by: idOf(run, spare) })
    expect(again.status).toBe(200)
    expect(replaced.body.members.map(({ name }) => name).toSorted()).toContain(spare.name)
    await run.ready(spare)
    await run.acknowledges(50)
    return { except: [b] }
  })
})

test('a member that was away while the leader joined follows it when it is back (promise 6)', async () => {
  await FaultRun.scenario('joined leader', { members: 3, spares: 1 }, async (run) => {
    const leader = await run.leader(run.members)
    const [away, other] = run.others(leader) as [MemberProcess, MemberProcess]
    const joining = spareOf(run)
    run.avoided.add(away)
    await run.cluster.kill(away)
    expect((await call(leader, 'POST', '', addition(joining))).status).toBe(200)
    run.join(joining, run.members)
    const id = idOf(run, joining)
    await until(run, 200, () => call(leader, 'POST', `/${id}/promote`, {}))
    await run.ready(joining)
    await until(run, 200, async () => {
      const url = `${leader.api}/cluster/leader`
      const body = JSON.stringify({ target: id })
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(url, { method: 'POST', body, headers })
      return { status: response.status, body: (await response.json()) as Answered['body'] }
    })
    await run.leader([leader, other, joining])
    const { term } = await run.status(joining)
    // It has never heard of the one that leads now.
    run.cluster.start(away)
    expect(run.meets('ready', 5000, await run.ready(away))).toBe(true)
    expect(away.output).toContain('let in a member that this one has not heard of')
    await run.acknowledges(50)
    expect(run.watch.changesAfter(term)).toBe(0)
  })
})
