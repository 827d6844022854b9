// The operator dies, freezes and is cut off, each time in the middle of something. Every operator is killed again and again
// while a cluster forms; then the one that acts is frozen while the cluster grows, and the next one cut off from the API server
// while it replaces a member whose log is damaged: the other one takes up what was begun, and when the first is back it has
// changed nothing more and ends. At last the cluster is deleted, and every operator killed while it goes (faults.md F25, F56).

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
import { identities, RaftCluster } from '../support/raft-cluster.ts'
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
  if ((await cluster?.get()) !== undefined) await cluster.delete()
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
  const before = await cluster.podUids()

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
  expect(await cluster.podUids()).toEqual(before)
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
  const before = { cluster: await cluster.becomesReady(), uids: await cluster.podUids() }
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
  const after = await cluster.hasSize(5)
  // The answer to what it had asked for may have been waiting for it.
  expect(first.changes.filter(({ ts }) => ts > frozenAt).length).toBeLessThan(2)
  expect((await cluster.podUids()).slice(0, 3)).toEqual(before.uids)
  expect(identities(after)).toMatchObject(identities(before.cluster))
  await keepsItsPromises(5)
})

test('one that is cut off while a member with a damaged log is replaced ends before another acts', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('operators that are cut off', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await operatorRolledOut()
  const before = { cluster: await cluster.hasSize(5), uids: await cluster.podUids() }
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
    const after = await cluster.hasSize(5)
    const was = identities(before.cluster)[name]
    expect([was, '']).not.toContain(identities(after)[name] ?? '')
  } finally {
    await its.reconnect(apiServer)
  }
  const others = (all: readonly string[]) => all.filter((_, ordinal) => ordinal !== lost)
  expect(others(await cluster.podUids())).toEqual(others(before.uids))
  await operatorRolledOut()
  await keepsItsPromises(5)
})

test('a deletion ends though every operator is killed meanwhile, and takes every volume along', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await operatorRolledOut()
  const { length: size } = await cluster.pods()
  await cluster.hasSize(size)
  await keepsItsPromises(size)
  await promises.stop()
  const before = await cluster.podUids()
  const startedMs = performance.now()
  await Promise.all([cluster.delete(OVER_MS_MAX), killedOnceMembersEnd(before)])
  console.info(`gone ${Math.round(performance.now() - startedMs)} ms after it was deleted`)
  await writer.stop()
  expect(await cluster.volumes()).toEqual([])
  expect(await cluster.pods()).toEqual([])
})

/** In the middle: the volumes go once all members have ended. */
async function killedOnceMembersEnd(before: readonly string[]): Promise<void> {
  await waitFor({ what: 'members to end', timeoutMs: 60_000, periodMs: 50 }, async () => {
    const ending = (await cluster.pods()).filter(({ metadata }) => metadata.deletionTimestamp)
    return (
      ending.length > 0 || (await cluster.podUids()).length < before.length || { notYet: before }
    )
  })
  await killOperators()
  console.info(`every operator killed while ${(await cluster.volumes()).length} volumes were left`)
}

async function exists(kind: string, name: string): Promise<Named> {
  return waitFor({ what: `${kind} ${name}`, timeoutMs: 60_000, periodMs: 50 }, async () => {
    const object = await getObject<Named>(NAMESPACE, kind, name)
    return object ?? { notYet: 'nothing' }
  })
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

/** Nothing acknowledged is missing, nothing happened on the way that must not, and the members agree about who they are. */
async function keepsItsPromises(size: number): Promise<void> {
  await writer.settle('it keeps its promises')
  expect(promises.breaches).toEqual([])
  const configurations = (await cluster.memberStatuses()).map((one) =>
    JSON.stringify([
      one.clusterId,
      one.membershipEpoch,
      one.members.map(({ id, role }) => [id, role]),
    ]),
  )
  expect(configurations).toHaveLength(size)
  expect(configurations).toEqual(configurations.map(() => configurations[0]))
}
