// Every operator is killed again and again while a cluster forms, each time just after something of it has come into
// being: the next one takes up where the last one was, and one cluster comes of it (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { getObject } from '../support/kubectl.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('operator-killed')

interface Named {
  readonly metadata: { readonly uid: string }
}

let cluster: RaftCluster | undefined

afterAll(async () => {
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
  await killOperators()
  const forming = cluster
  await waitFor({ what: 'a first running pod', timeoutMs: 60_000, periodMs: 50 }, async () => {
    const phases = (await forming.pods()).map(({ status }) => status.phase)
    return phases.includes('Running') ? true : { notYet: phases }
  })
  await killOperators()
  const uids = (await forming.pods()).map(({ metadata }) => metadata.uid)

  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  const { status } = await cluster.becomesReady(120_000)
  await killOperators()
  await writer.acknowledges(50)
  await operatorRolledOut()
  const after = await cluster.becomesReady()
  const verified = await writer.verify()
  await writer.stop()

  console.info(`formed in spite of four kills; ${verified} writes there`)
  expect(status?.clusterId).toMatch(/^[0-9a-f]{16}$/)
  expect(after.status?.clusterId).toBe(status?.clusterId)
  expect((await exists('statefulset', 'demo')).metadata.uid).toBe(statefulSet.metadata.uid)
  const pods = await cluster.pods()
  expect(pods.map(({ metadata }) => metadata.uid).toSorted()).toEqual(uids.toSorted())
  const restarts = pods.flatMap((pod) => pod.status.containerStatuses!.map((c) => c.restartCount))
  expect(restarts).toEqual([0, 0, 0])
})

async function exists(kind: string, name: string): Promise<Named> {
  return waitFor({ what: `${kind} ${name}`, timeoutMs: 60_000, periodMs: 50 }, async () => {
    const object = await getObject<Named>(NAMESPACE, kind, name)
    return object ?? { notYet: 'nothing' }
  })
}
