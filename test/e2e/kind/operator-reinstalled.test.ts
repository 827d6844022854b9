// The release is uninstalled while a cluster lives, and installed again: the members go on without a restart, the CRD and
// the RaftCluster stay, and the new operator takes over. Until then the operator was never refused anything by its rights.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { kubectl } from '../support/kubectl.ts'
import { installOperator, operatorLogs, uninstallOperator } from '../support/operator-release.ts'
import { RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('operator-reinstalled')

let cluster: RaftCluster | undefined

afterAll(async () => {
  await cluster?.delete()
})

test('members go on while no operator is installed, and a new one takes over without a restart', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
  })
  const before = await cluster.becomesReady()
  const pods = (await cluster.pods()).map(({ metadata }) => metadata.uid)
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()
  const refusals = (await operatorLogs(10_000))
    .split('\n')
    .filter((l) => /forbidden|\b403\b/i.test(l))
  expect(refusals).toEqual([])

  await uninstallOperator()
  await writer.acknowledges(100)
  const left = await cluster.get()
  expect(left?.metadata.uid).toBe(before.metadata.uid)
  expect((await cluster.pods()).map(({ metadata }) => metadata.uid)).toEqual(pods)

  await installOperator()
  const leader = before.status!.leader!.name
  await kubectl(['delete', 'pod', leader, '--namespace', NAMESPACE, '--wait=false'])
  const after = await cluster.shows('a new leader', 30_000, ({ status }) => {
    return status?.leader !== undefined && status.leader.term > before.status!.leader!.term
  })
  await cluster.becomesReady()
  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  console.info(
    `${await writer.verify()} writes there, ${longestGapMs} ms without an acknowledgement`,
  )
  await writer.stop()
  expect(after.status!.clusterId).toBe(before.status!.clusterId)
  const survivors = (await cluster.pods()).map(({ metadata }) => metadata.uid)
  expect(survivors.filter((uid) => pods.includes(uid)).length).toBe(2)
})
