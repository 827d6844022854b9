// The numbered faults that a simulation can tell better than anything else: elections under cuts, reads through members
// that are cut off, crashes around flushes and files. Each for several seeds; limits are the contract's.

import { expect, test, vi } from 'vitest'
import type { SimMember } from './member.ts'
import { cutOffAndBack, joinAs, splitWhileJoint } from './stories.ts'
import { ELECTION_MS, Scenario, type ScenarioOptions } from './scenario.ts'

/** Far more than they take, on a machine that does much else. */
vi.setConfig({ testTimeout: 180_000 })

const SEEDS = [1, 2, 3, 4, 5]

async function expectEach(
  options: Omit<ScenarioOptions, 'seed'>,
  story: (scenario: Scenario) => Promise<void>,
): Promise<void> {
  for (const seed of SEEDS) {
    const scenario = await Scenario.started({ ...options, seed })
    await story(scenario)
    await scenario.end()
  }
}

function isLeading({ member }: SimMember): boolean {
  return member?.driver.raft.role === 'leader'
}

test('everything comes back after all members were killed at once (F3)', async () => {
  await expectEach({ clients: 4 }, async (scenario) => {
    await scenario.pass(2000)
    for (const member of scenario.members) member.crash(scenario.prng)
    for (const member of scenario.members) member.start()
    expect(await scenario.agreed()).toBeLessThanOrEqual(5000)
  })
})

test('a leader cut off from everyone steps down within an election timeout, and the rest goes on (F12)', async () => {
  await expectEach({ clients: 3 }, async (scenario) => {
    const { leader: old, followers } = scenario
    scenario.cutOff(old, 'both')
    const write = scenario.put(old, 900)
    const read = scenario.get(old, 900)
    // Check-quorum looks once an election timeout: what was heard just before the cut counts until the next look.
    await scenario.until('it steps down', () => !isLeading(old), 2 * ELECTION_MS)
    await scenario.until('another leads', () => followers.some(isLeading), 3 * ELECTION_MS)
    expect(await scenario.serves(followers[0]!, 1500)).toBe(true)
    expect(write.outcome?.type).not.toBe('done')
    expect(read.outcome?.type).toBe('failed')
  })
})

test('a follower cut off for a minute disturbs nobody when it returns (F13)', async () => {
  await expectEach({ clients: 2 }, cutOffAndBack)
})

test('a member that can send and not receive keeps nobody from working (F14)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const [deaf, other] = scenario.followers
    const before = scenario.elections
    scenario.cutOff(deaf!, 'in')
    await scenario.pass(20_000)
    expect(await scenario.serves(other!, 500)).toBe(true)
    expect(scenario.elections - before).toBe(0)
  })
})

test('a leader that can send and not receive steps down within two election timeouts (F15)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const { leader: old, followers } = scenario
    scenario.cutOff(old, 'in')
    await scenario.until('it steps down', () => !isLeading(old), 2 * ELECTION_MS)
    await scenario.until('another leads', () => followers.some(isLeading), 4 * ELECTION_MS)
    expect(await scenario.serves(followers[0]!, 2000)).toBe(true)
  })
})

test.each([0, 1, 2])(
  'two of three that cannot talk find a stable leader, placement %i (F16)',
  async (at) => {
    await expectEach({ clients: 2 }, async (scenario) => {
      const before = scenario.elections
      const [a, b] = scenario.members.filter((_, i) => i !== at)
      scenario.cut(a!, b!)
      scenario.cut(b!, a!)
      await scenario.pass(30_000)
      expect(scenario.elections - before).toBeLessThanOrEqual(2)
      expect(await scenario.serves(scenario.members[at]!, 1000)).toBe(true)
    })
  },
)

test('members that start together find a leader, a thousand times (F17)', async () => {
  const took: number[] = []
  for (let seed = 1; seed <= 1000; seed++) {
    const scenario = new Scenario({ seed, isQuiet: true })
    for (const member of scenario.members) member.start()
    took.push(await scenario.agreed())
  }
  took.sort((a, b) => a - b)
  const [median, p99, worst] = [took[499]!, took[989]!, took[999]!].map(Math.round)
  process.stdout.write(
    `F17: leader after ${median} ms (median), ${p99} ms (p99), ${worst} ms (worst)\n`,
  )
  expect(p99).toBeLessThanOrEqual(3 * ELECTION_MS)
})

test('a candidate with an old log cannot win; earlier entries are not counted (F18)', async () => {
  await expectEach({}, async (scenario) => {
    const { leader: old, followers } = scenario
    const [behind, current] = followers
    scenario.cutOff(behind!, 'both')
    expect(await scenario.serves(old, 500)).toBe(true)
    old.crash('all')
    scenario.healAll()
    await scenario.until('one leads', () => followers.some(isLeading), 4 * ELECTION_MS)
    expect(isLeading(current!)).toBe(true)
  })
})

test('power lost around the flush of a vote never makes a second one (F19)', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const scenario = await Scenario.started({ seed })
    for (let round = 0; round < 4; round++) {
      scenario.leader.crash('none')
      for (const member of scenario.members) {
        member.disk.arm({ type: 'powerLoss', countdown: 1 + scenario.prng.next(3), keptOf256: 0 })
      }
      await scenario.pass(500 + scenario.prng.next(1500))
      for (const member of scenario.members) member.disk.disarm()
      for (const member of scenario.members) member.start()
      await scenario.agreed()
    }
    await scenario.end()
    expect(scenario.elections).toBeGreaterThan(4)
  }
})

test('a hand-over to a dead target is given up within an election timeout (F20)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const { leader, followers } = scenario
    const [target, other] = followers
    target!.process!.pause()
    const handOver = leader.member!.transferLeader(target!.id, { timeoutMs: 5000 }).then(
      () => 'done',
      () => 'refused',
    )
    await scenario.pass(ELECTION_MS + 100)
    expect(isLeading(leader)).toBe(true)
    expect(await scenario.serves(other!, 500)).toBe(true)
    target!.process!.resume()
    await scenario.pass(6000)
    expect(await handOver).toBe('refused')
  })
})

test('links that come and go all the time leave room for progress (F21)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const before = scenario.elections
    const [a, b] = scenario.members
    for (let i = 0; i < 100; i++) {
      scenario.cut(a!, b!)
      scenario.cut(b!, a!)
      await scenario.pass(300)
      scenario.healAll()
      await scenario.pass(300)
    }
    expect(scenario.elections - before).toBeLessThanOrEqual(5)
    expect(await scenario.serves(a!, 1000)).toBe(true)
  })
})

test('messages that are doubled, out of order and minutes late are ignored (F22)', async () => {
  for (const seed of [1, 2]) {
    const scenario = await Scenario.started({ seed, clients: 3 })
    const { network } = scenario.cluster
    const calm = network.profile
    network.profile = {
      ...calm,
      doubled: 512,
      reorders: true,
      doubleLateMs: 90_000,
      delayMaxMs: 50,
    }
    for (let i = 0; i < 3; i++) {
      await scenario.pass(3000)
      const victim = scenario.cluster.leader ?? scenario.members[0]!
      victim.crash(scenario.prng)
      await scenario.pass(4000)
      for (const member of scenario.members) member.start()
    }
    network.profile = calm
    await scenario.pass(90_000)
    await scenario.end()
    expect(network.doubledCount).toBeGreaterThan(500)
  }
})

test('a fresh leader answers no read before its first entry is committed (F46)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const { leader: old, followers } = scenario
    expect(await scenario.serves(old, 500)).toBe(true)
    old.crash('all')
    await scenario.until('one leads', () => followers.some(isLeading), 4 * ELECTION_MS)
    const fresh = followers.find(isLeading)!
    const read = scenario.get(fresh, 2000)
    await scenario.pass(2000)
    expect(read.outcome?.type).toBe('done')
  })
})

test('a read through a member that is cut off ends at its deadline, never with an old value (F47)', async () => {
  await expectEach({}, async (scenario) => {
    const cutOff = scenario.followers[0]!
    scenario.cutOff(cutOff, 'both')
    const read = scenario.get(cutOff, 800)
    expect(await scenario.serves(scenario.leader, 500)).toBe(true)
    await scenario.pass(1000)
    expect(read.outcome).toMatchObject({ type: 'failed', detail: 'TIMEOUT' })
  })
})

test('a wall clock moved by an hour changes nothing (F48)', async () => {
  await expectEach({ clients: 2 }, async (scenario) => {
    const before = scenario.elections
    for (const byMs of [3_600_000, -7_200_000]) {
      for (const member of scenario.members) member.process!.jumpWallClock(byMs)
      await scenario.pass(5000)
    }
    expect(scenario.elections).toBe(before)
    expect(await scenario.serves(scenario.leader, 500)).toBe(true)
  })
})

test('power lost in any operation of the disk leaves no gap and no double (F28, F31, F34)', async () => {
  const settings = { segmentBytes: 16 * 1024, snapshotLogBytes: 4096, tailBytesMax: () => 0 }
  for (let seed = 1; seed <= 10; seed++) {
    const scenario = await Scenario.started({ seed, clients: 6, settings })
    for (let i = 1; i <= 12; i++) {
      const victim = scenario.members[i % 3]!
      victim.disk.arm({ type: 'powerLoss', countdown: i, keptOf256: scenario.prng.next(257) })
      await scenario.pass(1500)
      victim.disk.disarm()
      victim.start()
      await scenario.pass(500)
    }
    await scenario.end()
    // It did lose its power, nearly each time.
    const lives = scenario.members.reduce((sum, { lifeCount }) => sum + lifeCount, 0)
    expect(lives).toBeGreaterThan(3 + 6)
  }
})

test('a removed leader steps down, and one that keeps running disturbs nobody (F51)', async () => {
  await expectEach({ members: 5, clients: 2 }, async (scenario) => {
    const { leader: old, followers } = scenario
    const removed = old.member!.membership.change(
      { type: 'remove', id: old.id },
      { timeoutMs: 3000 },
    )
    void removed.catch(() => undefined)
    await scenario.until('another leads', () => followers.some(isLeading), 4 * ELECTION_MS)
    await scenario.agreed(followers)
    const before = scenario.elections
    const gone = scenario.followers.find((member) => member !== old)!
    scenario.cutOff(gone, 'both')
    const { membership } = scenario.leader.member!
    const second = membership.change({ type: 'remove', id: gone.id }, { timeoutMs: 3000 })
    await scenario.pass(3000)
    expect((await second).confState.voters).toHaveLength(3)
    scenario.healAll()
    await scenario.pass(10_000)
    expect(gone.isBuried).toBe(true)
    expect(scenario.elections).toBe(before)
  })
})

test('a cut through a joint configuration leaves one side that goes on (§6, F53)', async () => {
  await expectEach({}, splitWhileJoint)
})

test('a replacement asked for again while its joint change is under way is done already (F53)', async () => {
  await expectEach({}, async (scenario) => {
    const { leader, followers } = scenario
    const learner = await joinAs(scenario)
    const change = { type: 'replace', removed: followers[0]!.id, promoted: learner.id } as const
    const { membership, stateMachine } = leader.member!
    const ask = (): Promise<number | string> =>
      membership.change(change, { timeoutMs: 2000, expectedEpoch }).then(
        ({ epoch }) => epoch,
        (error: { code?: string }) => String(error.code),
      )
    const expectedEpoch = stateMachine.membershipEpoch
    const first = ask()
    await scenario.until(
      'a joint change in force',
      () => leader.member!.stateMachine.confState.votersOutgoing.length > 0,
      1000,
    )
    // Nobody can leave it meanwhile.
    scenario.cutOff(leader, 'both')
    const again = ask()
    await scenario.pass(10)
    const epoch = await first
    expect(epoch).toBeGreaterThan(expectedEpoch)
    expect(await again).toBe(epoch)
  })
})

test('a leader that was just elected counts nobody who has not answered it (F53)', async () => {
  await expectEach({}, async (scenario) => {
    const { leader: old, followers } = scenario
    // Of three one is gone for good, and the next leader has not noticed yet.
    old.crash(undefined)
    await scenario.until('another leader', () => followers.some(isLeading), 3000)
    const leader = followers.find(isLeading)!
    const kept = followers.find((other) => other !== leader)!
    await scenario.until('an entry of its own', () => leader.member!.isReady(), 1000)
    const answer = leader
      .member!.membership.change({ type: 'remove', id: kept.id }, { timeoutMs: 2000 })
      .then(
        () => 'done',
        (error: { code?: string }) => error.code,
      )
    await scenario.pass(100)
    expect(await answer).toBe('MEMBERSHIP_UNSAFE')
  })
})
