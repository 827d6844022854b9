// A disk that dropped what it had flushed, or was put back to an earlier state (faults.md F29): the member says so as soon as
// it hears the leader that it had acknowledged more to, takes no further part, and is rebuilt from the others.

import { expect, test, vi } from 'vitest'
import type { SimMember } from './member.ts'
import { joinAs } from './stories.ts'
import { ELECTION_MS, Scenario } from './scenario.ts'

vi.setConfig({ testTimeout: 60_000 })

const SEEDS = [1, 2, 3, 4, 5]

/** A follower whose disk is that of three seconds ago, with writes in between. */
async function rolledBack(scenario: Scenario): Promise<SimMember> {
  await scenario.pass(1500)
  const [old] = scenario.followers
  old!.crash(undefined)
  const copy = old!.disk.fs.clone()
  old!.start()
  await scenario.pass(3000)
  old!.crash(undefined)
  old!.rollBack(copy)
  return old!
}

test('a member on an earlier copy of its disk is found out, and replaced under load (F29)', async () => {
  for (const seed of SEEDS) {
    const scenario = await Scenario.started({ seed, clients: 4 })
    const { leader } = scenario
    const old = await rolledBack(scenario)
    const { elections } = scenario
    old.start()
    await scenario.until('it says so', () => old.isLost, ELECTION_MS)
    expect(scenario.cluster.trace.lines.some((line) => line.includes('is lost'))).toBe(true)
    const learner = await joinAs(scenario)
    const change = { type: 'replace', removed: old.id, promoted: learner.id } as const
    const replaced = leader.member!.membership.change(change, { timeoutMs: 3000 })
    await scenario.pass(1000)
    expect((await replaced).confState.voters).toContain(learner.id)
    expect(scenario.elections).toBe(elections)
    await scenario.end()
  }
})

test('a member on an earlier copy of its disk is brought up to date by a leader of a later term (F29)', async () => {
  for (const seed of SEEDS) {
    const scenario = await Scenario.started({ seed, clients: 4 })
    const old = await rolledBack(scenario)
    const { leader } = scenario
    const next = scenario.followers.find((other) => other !== old)!
    void leader.member!.transferLeader(next.id, { timeoutMs: 2000 }).catch(() => undefined)
    await scenario.until(
      'another leads',
      () => next.member?.isReady() === true && scenario.leader === next,
      3000,
    )
    old.start()
    await scenario.until(
      'it has caught up',
      () => (old.member?.status().applied ?? 0) >= next.member!.status().committed - 5,
      3000,
    )
    expect(old.isLost).toBe(false)
    await scenario.end()
  }
})
