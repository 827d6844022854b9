// One member of three finds no node: the other two form the cluster and serve, the status says who is missing, and once
// there is a node the third one joins what the others wrote.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { cordon, cannotTakeNodes, uncordon, workerNodes } from '../support/nodes.ts'
import { condition, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('pod-unschedulable')

let cluster: RaftCluster | undefined
const cordoned: string[] = []

afterAll(async () => {
  for (const node of cordoned) await uncordon(node)
  await cluster?.delete()
})

test('two of three members form the cluster while the third has no node, and it joins once it has one', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('pod-unschedulable', 3)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  for (const node of (await workerNodes()).slice(2)) {
    cordoned.push(node)
    await cordon(node)
  }
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    scheduling: { antiAffinity: 'Required' },
  })
  const two = await cluster.shows('two of three', 60_000, ({ status }) => status?.ready === '2/3')
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  const pending = (await cluster.pods()).filter(({ status }) => status.phase === 'Pending')
  expect(pending.length).toBe(1)
  expect(condition(two, 'QuorumAvailable')?.status).toBe('True')
  const told = await cluster.shows('the missing member', 30_000, (object) => {
    const healthy = condition(object, 'MembersHealthy')
    return healthy?.status === 'False' && healthy.message.includes(pending[0]!.metadata.name)
  })
  console.info(`while it waits: ${condition(told, 'MembersHealthy')!.message}`)

  for (const node of cordoned.splice(0)) await uncordon(node)
  const { status } = await cluster.becomesReady()
  await writer.acknowledges(50)
  console.info(`${await writer.verify()} writes there`)
  await writer.stop()
  expect(status?.clusterId).toBe(two.status?.clusterId)
  expect(status?.members?.every(({ healthy }) => healthy)).toBe(true)
})
