// kubectl scale takes a cluster from one member to three, to five and back, under writes; half-way it is set back, the
// operator is killed in the middle of it, new members find no node, and somebody scales the StatefulSet behind its back.
// Nothing acknowledged is lost (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented, tryDocumented } from '../support/drills.ts'
import { WatchedCommand } from '../support/kubectl.ts'
import { cannotTakeNodes, cordon, uncordon, workerNodes } from '../support/nodes.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { condition, RaftCluster, type RaftClusterObject } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('scaling')
const CHANGE_MS_MAX = 180_000
/** Without an acknowledgement: leadership is handed over when its member goes. */
const GAP_MS_MAX = 5_000

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

/** As many members, pods and volumes, and nothing under way. */
async function has(replicas: number): Promise<RaftClusterObject> {
  const seen = await cluster!.shows(`${replicas} members`, CHANGE_MS_MAX, ({ status }) => {
    const isReady = status?.ready === `${replicas}/${replicas}`
    return isReady && status.phase === 'Healthy' && status.votingMembers === replicas
  })
  expect(await cluster!.pods()).toHaveLength(replicas)
  return seen
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
  const columns = '{.object.status.operation.type} {.object.status.operation.step}{"\\n"}'
  const table = ['get', 'raftcluster', 'demo', '-n', NAMESPACE, '--watch', '--output-watch-events']
  const watch = new WatchedCommand([...table, '--output', `jsonpath=${columns}`])
  for (const replicas of [3, 5, 3, 1]) {
    const startedMs = performance.now()
    await scale(replicas)
    const { status } = await has(replicas)
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

  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  const verified = await writer.verify()
  console.info(`1-3-5-3-1: ${verified} writes there, ${longestGapMs} ms without an acknowledgement`)
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
  await has(1)
  expect(await cluster!.volumes()).toEqual(['data-demo-0'])
  await scale(3)
  await cluster!.shows(
    'a learner',
    CHANGE_MS_MAX,
    ({ status }) => (status?.members?.length ?? 0) > 1,
  )
  await killOperators()
  await has(3)
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
  await has(3)
  expect(await cluster!.volumes()).toEqual(['data-demo-0', 'data-demo-1', 'data-demo-2'])
  for (const node of cordoned.splice(0)) await uncordon(node)
  await writer.verify()
})

test('scaling the StatefulSet instead is refused, and touches nobody', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const command = 'kubectl scale statefulset demo --replicas=5'
  const { code, stderr } = await tryDocumented(NAMESPACE, command)
  expect([code, stderr]).toEqual([1, expect.stringContaining('denied')])
  expect(condition(await has(3), 'Ready')?.status).toBe('True')
  await writer.verify()
  await writer.stop()
})
