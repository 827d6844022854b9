// A cluster with TLS under writes: certificates that are lost are made anew and in force within the time that a kubelet takes,
// and no pod, no write and no leader notices.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { kubectl } from '../support/kubectl.ts'
import { RaftCluster, type RaftClusterObject } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('certificates')
const LEAVES = ['peer', 'server', 'client', 'operator'] as const
/** A kubelet looks at its Secrets about once a minute, those of a kind cluster of this run more often. */
const IN_FORCE_MS_MAX = 180_000

let cluster: RaftCluster | undefined

afterAll(async () => {
  await cluster?.delete()
})

function tlsReady({ status }: RaftClusterObject): string | undefined {
  const found = status?.conditions?.find(({ type }) => type === 'TLSReady')
  return found === undefined ? undefined : `${found.status} ${found.reason}`
}

async function certificates(): Promise<readonly string[]> {
  return Promise.all(
    LEAVES.map((use) => {
      const field = 'jsonpath={.data.tls\\.crt}'
      return kubectl(['get', 'secret', `demo-${use}-tls`, '-n', NAMESPACE, '-o', field])
    }),
  )
}

test('certificates that are lost are made anew, and nothing restarts', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    tls: { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } },
  })
  await cluster.becomesReady()
  await cluster.shows('certificates in force', 30_000, (one) => tlsReady(one) === 'True Issued')
  const before = { pods: await cluster.pods(), certificates: await certificates() }
  const term = (await cluster.get())!.status!.leader!.term
  const writer = await ClusterWriter.start(NAMESPACE, 'demo', { isSecure: true })
  const { failures } = await writer.report()

  const names = LEAVES.map((use) => `demo-${use}-tls`)
  await asDocumented(NAMESPACE, `kubectl delete secret ${names.join(' ')}`)
  await waitFor({ what: 'new certificates', timeoutMs: 90_000 }, async () => {
    try {
      const now = await certificates()
      return now.every((one, i) => one !== '' && one !== before.certificates[i])
        ? true
        : { notYet: 'the old ones' }
    } catch (error) {
      return { notYet: String(error) }
    }
  })
  await cluster.shows('the new ones in force', IN_FORCE_MS_MAX, (one) => {
    return tlsReady(one) === 'True Issued' && one.status?.phase === 'Healthy'
  })
  await writer.acknowledges(50)

  const after = await cluster.pods()
  const uids = (pods: typeof after) => pods.map(({ metadata }) => metadata.uid).toSorted()
  expect(uids(after)).toEqual(uids(before.pods))
  const restarts = after.flatMap(({ status }) =>
    (status.containerStatuses ?? []).map(({ restartCount }) => restartCount),
  )
  expect(restarts).toEqual([0, 0, 0])
  const report = await writer.report()
  expect({ ...report, failures: report.failures - failures }).toMatchObject({ failures: 0 })
  expect((await cluster.get())!.status!.leader!.term).toBe(term)
  console.info(`${await writer.verify()} writes there, longest gap ${report.longestGapMs} ms`)
  await writer.stop()
}, 400_000)
