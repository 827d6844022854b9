// The operator dies, freezes and is cut off, each time in the middle of something. Every operator is killed again and again
// while a cluster forms; then the one that acts is frozen while the cluster grows, and the next one cut off from the API server
// while it replaces a member whose log is damaged: the other one takes up what was begun, and when the first is back it has
// changed nothing more and ends (faults.md F25, F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { FollowedOperator } from '../support/followed-operator.ts'
import { KeptPromises } from '../support/kept-promises.ts'
import { getObject, kubectl } from '../support/kubectl.ts'
import { cannotTakeNodes } from '../support/nodes.ts'
import { actingOperator, killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { PodProcess } from '../support/pod-process.ts'
import { identities, RaftCluster, type RaftClusterObject } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('operator-killed')
/** The Lease has to run out, and what was begun is ended. */
const TAKEN_OVER_MS_MAX = 60_000
const OVER_MS_MAX = 120_000

interface Named {
  readonly metadata: { readonly uid: string }
}

let cluster: RaftCluster
let writer: ClusterWriter
let promises: KeptPromises

afterAll(async () => {
  await promises?.stop()
  await operatorRolledOut()
  await cluster?.delete()
})

test('a cluster forms once, however often the operator is killed meanwhile', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
  })
  await exists('configmap', 'demo-membership')
  await killOperators()
  const statefulSet = await exists('statefulset', 'demo')
  promises = new KeptPromises(cluster)
  await killOperators()
  await waitFor({ what: 'a first running pod', timeoutMs: 60_000, periodMs: 50 }, async () => {
    const phases = (await cluster.pods()).map(({ status }) => status.phase)
    return phases.includes('Running') ? true : { notYet: phases }
  })
  await killOperators()
  const before = await uids()

  writer = await ClusterWriter.start(NAMESPACE, 'demo')
  const { status } = await cluster.becomesReady(120_000)
  await killOperators()
  await writer.acknowledges(50)
  await operatorRolledOut()
  const after = await cluster.becomesReady()

  console.info(`formed in spite of four kills; ${await writer.verify()} writes there`)
  expect(status?.clusterId).toMatch(/^[0-9a-f]{16}$/)
  expect(after.status?.clusterId).toBe(status?.clusterId)
  expect((await exists('statefulset', 'demo')).metadata.uid).toBe(statefulSet.metadata.uid)
  expect(await uids()).toEqual(before)
  const restarts = (await cluster.pods()).flatMap((pod) =>
    pod.status.containerStatuses!.map((container) => container.restartCount),
  )
  expect(restarts).toEqual([0, 0, 0])
})

test('one that is frozen while the cluster grows changes nothing when it wakes', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('operators that freeze', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = { cluster: await cluster.becomesReady(), uids: await uids() }
  const first = await FollowedOperator.of(await actingOperator())
  const its = await PodProcess.of(RUN.operatorNamespace, first.pod)
  await asDocumented(NAMESPACE, 'kubectl scale raftcluster demo --replicas=5')
  await cluster.shows('a learner', 60_000, ({ status }) => (status?.members?.length ?? 0) > 3)
  await its.freeze()
  const frozenAt = new Date().toISOString()
  expect((await cluster.get())!.status!.operation?.type, 'in the middle').toBe('ScaleUp')
  try {
    const second = await takesOver(first)
    await second.acts(TAKEN_OVER_MS_MAX)
    await second.stop()
  } finally {
    // Before its kubelet gives it up: it wakes while the other one is at it.
    await its.thaw()
  }
  await first.losesTheLease(TAKEN_OVER_MS_MAX)
  const after = await becomesWhole(5)
  // The answer to what it had asked for may have been waiting for it.
  expect(first.changes.filter(({ ts }) => ts > frozenAt).length).toBeLessThan(2)
  expect((await uids()).slice(0, 3)).toEqual(before.uids)
  expect(identities(after)).toMatchObject(identities(before.cluster))
  await keepsItsPromises()
})

test('one that is cut off while a member with a damaged log is replaced ends before another acts', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('operators that are cut off', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await operatorRolledOut()
  const before = { cluster: await becomesWhole(5), uids: await uids() }
  const lost = before.cluster.status!.members!.findIndex(({ role }) => role === 'Follower')
  const name = before.cluster.status!.members![lost]!.name
  const first = await FollowedOperator.of(await actingOperator())
  const its = await PodProcess.of(RUN.operatorNamespace, first.pod)
  const service = ['get', 'service', 'kubernetes', '--namespace', 'default']
  const apiServer = await kubectl([...service, '--output', 'jsonpath={.spec.clusterIP}'])
  const damage = `fs.writeSync(fs.openSync("/data/member/wal/0000000000000001.wal","r+"),"?".repeat(99),16384)`
  for (const command of [
    `kubectl exec demo-1 -- /nodejs/bin/node -e '${damage}'`,
    'kubectl delete pod demo-1 --wait=false',
  ]) {
    await asDocumented(NAMESPACE, command, { 'demo-1': name })
  }
  await cluster.shows('a replacement', OVER_MS_MAX, (seen) => {
    return seen.status?.operation?.type === 'Replace'
  })
  await its.cutOff(apiServer)
  try {
    const second = await takesOver(first)
    await second.acts(TAKEN_OVER_MS_MAX)
    await first.losesTheLease(TAKEN_OVER_MS_MAX)
    const last = first.changes.at(-1)?.ts ?? ''
    expect(last < second.changes[0]!.ts, 'never two that act').toBe(true)
    await second.stop()
    const after = await becomesWhole(5)
    const was = identities(before.cluster)[name]
    expect([was, '']).not.toContain(identities(after)[name] ?? '')
  } finally {
    await its.reconnect(apiServer)
  }
  const others = (all: readonly string[]) => all.filter((_, ordinal) => ordinal !== lost)
  expect(others(await uids())).toEqual(others(before.uids))
  await operatorRolledOut()
  await keepsItsPromises()
  await writer.stop()
})

async function exists(kind: string, name: string): Promise<Named> {
  return waitFor({ what: `${kind} ${name}`, timeoutMs: 60_000, periodMs: 50 }, async () => {
    const object = await getObject<Named>(NAMESPACE, kind, name)
    return object ?? { notYet: 'nothing' }
  })
}

/** Of its pods, in the order of their names. */
async function uids(): Promise<readonly string[]> {
  const byName = (await cluster.pods()).map(({ metadata }) => `${metadata.name} ${metadata.uid}`)
  return byName.toSorted()
}

/** The other operator, once it holds the Lease. */
async function takesOver({ pod }: FollowedOperator): Promise<FollowedOperator> {
  const what = { what: `another operator than ${pod}`, timeoutMs: TAKEN_OVER_MS_MAX, periodMs: 100 }
  return FollowedOperator.of(
    await waitFor(what, async () => {
      const holder = await actingOperator()
      return holder === pod ? { notYet: holder } : holder
    }),
  )
}

async function becomesWhole(replicas: number): Promise<RaftClusterObject> {
  return cluster.shows(`${replicas} members`, OVER_MS_MAX, ({ status }) => {
    const isWhole = status?.ready === `${replicas}/${replicas}` && status.phase === 'Healthy'
    return isWhole && status.votingMembers === replicas && status.operation === undefined
  })
}

/** Nothing acknowledged is missing, nothing happened on the way that must not, and the members agree about who they are. */
async function keepsItsPromises(): Promise<void> {
  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  console.info(`${await writer.verify()} writes there, longest gap ${longestGapMs} ms`)
  expect(promises.breaches).toEqual([])
  const configurations = (await cluster.memberStatuses()).map((one) =>
    JSON.stringify([
      one.clusterId,
      one.membershipEpoch,
      one.members.map(({ id, role }) => [id, role]),
    ]),
  )
  expect(configurations).toHaveLength(5)
  expect(configurations).toEqual(configurations.map(() => configurations[0]))
}
