// kubectl scale takes a cluster from one member to three, to five and back, under writes; half-way it is set back, the
// operator is killed in the middle of it, new members find no node or run and never catch up, and somebody scales the
// StatefulSet behind its back. Nothing acknowledged is lost (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented, tryDocumented } from '../support/drills.ts'
import { watchObject } from '../support/kubectl.ts'
import { cannotTakeNodes, cordon, uncordon, workerNodes } from '../support/nodes.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { PodProcess } from '../support/pod-process.ts'
import { condition, RaftCluster, type RaftClusterObject } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('scaling')
const CHANGE_MS_MAX = 180_000
/** Without an acknowledgement: leadership is handed over when its member goes. */
const GAP_MS_MAX = 5_000
const PEER_PORT = 2380

let cluster: RaftCluster | undefined
let writer: ClusterWriter
const cordoned: string[] = []

afterAll(async () => {
  for (const node of cordoned) await uncordon(node)
  await operatorRolledOut()
  await cluster?.delete()
})

async function scale(replicas: number): Promise<void> {
  await asDocumented(NAMESPACE, `kubectl scale raftcluster demo --replicas=${replicas}`)
}

test('it grows from one to three to five, and shrinks back to one, step by step', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 1,
    storage: { whenDeleted: 'Delete' },
    update: { minHealthySeconds: 2 },
  })
  const before = await cluster.becomesReady()
  writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()
  const columns = '{.object.status.operation.type} {.object.status.operation.step}'
  const watch = watchObject({ namespace: NAMESPACE, kind: 'raftcluster', name: 'demo', columns })
  for (const replicas of [3, 5, 3, 1]) {
    const startedMs = performance.now()
    await scale(replicas)
    const { status } = await cluster.hasSize(replicas)
    console.info(
      `${replicas} members after ${Math.round((performance.now() - startedMs) / 100) / 10} s`,
    )
    expect(status!.clusterId).toBe(before.status!.clusterId)
  }
  await watch.stop()
  expect(await cluster.volumes()).toEqual(['data-demo-0'])
  const steps = new Set(watch.lines.map(({ text }) => text.trim()))
  for (const step of ['AddLearner', 'StartPod', 'Promote'])
    expect(steps).toContain(`ScaleUp ${step}`)
  for (const step of ['RemoveMember', 'StopPod']) expect(steps).toContain(`ScaleDown ${step}`)

  const { longestGapMs } = await writer.settle('1-3-5-3-1')
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
})

test('growing is set back half-way, and the operator is killed in the middle of it', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await scale(3)
  await cluster!.shows(
    'a learner',
    CHANGE_MS_MAX,
    ({ status }) => (status?.members?.length ?? 0) > 1,
  )
  await killOperators()
  await scale(1)
  await cluster!.hasSize(1)
  expect(await cluster!.volumes()).toEqual(['data-demo-0'])
  await scale(3)
  await cluster!.shows(
    'a learner',
    CHANGE_MS_MAX,
    ({ status }) => (status?.members?.length ?? 0) > 1,
  )
  await killOperators()
  await cluster!.hasSize(3)
  await writer.acknowledges(50)
  await writer.verify()
})

test('members that find no node are waited for without a harm, and taken back', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('scaling without nodes', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await operatorRolledOut()
  cordoned.push(...(await workerNodes()))
  for (const node of cordoned) await cordon(node)
  await scale(5)
  const waiting = await cluster!.shows('two without a node', CHANGE_MS_MAX, ({ status }) => {
    const pending = status?.members?.filter(({ reason: why }) => why === 'Unschedulable')
    return pending?.length === 2
  })
  expect(waiting.status).toMatchObject({ votingMembers: 3, operation: { type: 'ScaleUp' } })
  expect(condition(waiting, 'QuorumAvailable')?.status).toBe('True')
  await writer.acknowledges(50)
  await scale(3)
  await cluster!.hasSize(3)
  expect(await cluster!.volumes()).toEqual(['data-demo-0', 'data-demo-1', 'data-demo-2'])
  for (const node of cordoned.splice(0)) await uncordon(node)
  await writer.verify()
})

function isStuck({ status }: RaftClusterObject): boolean {
  return status?.operation?.step === 'CatchUp' && status.members?.length === 5
}

test('members that run and never catch up get no vote, harm nobody, and are taken back', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('members that never catch up', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await writer.mark()
  const pods = (await cluster!.pods()).map(({ metadata }) => metadata.name)
  const voters = await Promise.all(pods.map((name) => PodProcess.of(NAMESPACE, name)))
  // What they send each other goes on; new members reach them, and hear nothing.
  await Promise.all(voters.map((one) => one.stopDialling(PEER_PORT)))
  try {
    await scale(5)
    await cluster!.shows('two that do not catch up', CHANGE_MS_MAX, isStuck)
    const { longestGapMs } = await writer.acknowledges(300)
    const still = (await cluster!.get())!
    expect(isStuck(still)).toBe(true)
    expect(still.status).toMatchObject({ votingMembers: 3, ready: '3/5' })
    expect(condition(still, 'QuorumAvailable')?.status).toBe('True')
    const phases = (await cluster!.pods()).map(({ status }) => status.phase)
    expect(phases).toEqual([1, 2, 3, 4, 5].map(() => 'Running'))
    expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
    await scale(3)
    await cluster!.hasSize(3)
    expect(await cluster!.volumes()).toEqual(['data-demo-0', 'data-demo-1', 'data-demo-2'])
  } finally {
    await Promise.all(voters.map((one) => one.dialAgain(PEER_PORT)))
  }
  await writer.verify()
})

test('scaling the StatefulSet instead is refused, and touches nobody', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const command = 'kubectl scale statefulset demo --replicas=5'
  const { code, stderr } = await tryDocumented(NAMESPACE, command)
  expect([code, stderr]).toEqual([1, expect.stringContaining('denied')])
  expect(condition(await cluster!.hasSize(3), 'Ready')?.status).toBe('True')
  await writer.verify()
  await writer.stop()
})
