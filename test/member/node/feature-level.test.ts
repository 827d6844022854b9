// The feature level of a cluster over an upgrade: raised when asked for, not before every member understands it, and for good.

import { expect, test } from 'vitest'
import type { FinalizeRequest, FinalizeResult } from '../../../member/src/node/member-node.ts'
import { type Host, MemberCluster } from '../../support/member-cluster.ts'

/** What came of it: the answer, or the error. */
async function finalize(
  cluster: MemberCluster,
  host: Host,
  request: FinalizeRequest,
): Promise<FinalizeResult | Error> {
  let outcome: FinalizeResult | Error | undefined
  host
    .member!.finalize(request, { timeoutMs: 5000 })
    .then((result) => (outcome = result))
    .catch((error: unknown) => (outcome = error as Error))
  return cluster.until('an answer', () => outcome)
}

/** Three members, of which each understands so much. */
async function clusterOf(levels: readonly number[]): Promise<MemberCluster> {
  const cluster = new MemberCluster({ count: 3 })
  await Promise.all(cluster.hosts.map((host, i) => cluster.start(host, { knownLevel: levels[i]! })))
  await cluster.agreedLeader()
  await published(cluster, levels)
  return cluster
}

/** Waits until every member knows what every other understands: the members of that name in this order. */
function published(cluster: MemberCluster, levels: readonly number[]): Promise<unknown> {
  const expected = JSON.stringify(levels)
  return cluster.until('the levels of all', () =>
    cluster.running.every(({ member }) => {
      const { members } = member!.status()
      return JSON.stringify(members.map(({ featureLevel }) => featureLevel)) === expected
    }),
  )
}

const levelsOf = (cluster: MemberCluster): number[] =>
  cluster.running.map(({ member }) => member!.status().featureLevel)

test('it stays as it is until it is raised, through any member, and survives a restart of all', async () => {
  const cluster = await clusterOf([2, 2, 2])
  expect(levelsOf(cluster)).toEqual([0, 0, 0])
  const [follower] = cluster.followers
  expect(await finalize(cluster, follower!, { level: 1 })).toEqual({ level: 1, epoch: 0 })
  await cluster.until('the level on all', () => levelsOf(cluster).every((level) => level === 1))
  for (const host of cluster.hosts) cluster.kill(host)
  await Promise.all(cluster.hosts.map((host) => cluster.start(host, { knownLevel: 2 })))
  await cluster.agreedLeader()
  expect(levelsOf(cluster)).toEqual([1, 1, 1])
  // Without a number: as high as all of them go. Twice: done already.
  expect(await finalize(cluster, cluster.leader, {})).toEqual({ level: 2, epoch: 0 })
  expect(await finalize(cluster, cluster.leader, { level: 1 })).toEqual({ level: 2, epoch: 0 })
})

test('a member that is too old stands in the way, by name, until it has been upgraded', async () => {
  const cluster = await clusterOf([1, 1, 0])
  const [, , old] = cluster.hosts
  expect(await finalize(cluster, cluster.hosts[0]!, { level: 1 })).toMatchObject({
    code: 'LEVEL_UNSUPPORTED',
    details: { level: 1, members: ['n3'] },
  })
  // What all of them understand is nothing new.
  expect(await finalize(cluster, cluster.hosts[0]!, {})).toEqual({ level: 0, epoch: 0 })
  cluster.kill(old!)
  await cluster.start(old!, { knownLevel: 1 })
  await cluster.agreedLeader()
  await published(cluster, [1, 1, 1])
  expect(await finalize(cluster, old!, {})).toEqual({ level: 1, epoch: 0 })
})

test('a caller that means another membership is refused and nothing is raised', async () => {
  const cluster = await clusterOf([1, 1, 1])
  const refused = await finalize(cluster, cluster.leader, { level: 1, expectedEpoch: 7 })
  expect(refused).toMatchObject({ code: 'MEMBERSHIP_CONFLICT', details: { epoch: 0 } })
  expect(levelsOf(cluster)).toEqual([0, 0, 0])
})

test('until then an upgrade can be taken back; afterwards the older version refuses the data', async () => {
  const cluster = await clusterOf([1, 1, 1])
  const [host] = cluster.followers
  cluster.kill(host!)
  await cluster.start(host!, { knownLevel: 0 })
  await cluster.agreedLeader()
  await published(
    cluster,
    cluster.hosts.map((one) => (one === host ? 0 : 1)),
  )
  cluster.kill(host!)
  await cluster.start(host!, { knownLevel: 1 })
  await cluster.agreedLeader()
  await published(cluster, [1, 1, 1])
  expect(await finalize(cluster, cluster.leader, {})).toEqual({ level: 1, epoch: 0 })
  await cluster.until('the level on all', () => levelsOf(cluster).every((level) => level === 1))
  cluster.kill(host!)
  // From its own log, or from what the others send.
  const stopped = await cluster.start(host!, { knownLevel: 0 }).then(
    () => cluster.until('its end', () => host!.failure),
    (error: unknown) => error,
  )
  expect(stopped).toMatchObject({
    code: 'PROTOCOL_MISMATCH',
    message: 'invalid downgrade; server version is lower than determined cluster version',
    details: { level: 1, known: 0 },
  })
})

test('a member that waits to be added does not know how high all of them go, and says so', async () => {
  const cluster = new MemberCluster({ count: 1 })
  const [host] = cluster.hosts
  await cluster.start(host!, { knownLevel: 1 }, [])
  expect(await finalize(cluster, host!, {})).toMatchObject({ code: 'NOT_READY' })
})
