// A deleted RaftCluster takes everything of it along but its volumes, and those too where it says so; one that is
// protected stays.

import { expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { kubectl, listObjects, tryKubectl } from '../support/kubectl.ts'
import { RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('deletion')
const KINDS = 'statefulsets,pods,services,configmaps,poddisruptionbudgets,serviceaccounts'

test.each([
  { policy: 'Retain', left: ['data-retain-0', 'data-retain-1', 'data-retain-2'] },
  { policy: 'Delete', left: [] },
])(
  'a cluster whose volumes are told to $policy is deleted with everything else of it',
  async ({ policy, left }) => {
    onTestFailed(() => printDiagnostics(NAMESPACE))
    const name = policy.toLowerCase()
    const cluster = await RaftCluster.create(NAMESPACE, name, {
      replicas: 3,
      storage: { whenDeleted: policy },
    })
    await cluster.becomesReady()
    const writer = await ClusterWriter.start(NAMESPACE, name)
    await writer.acknowledges(50)
    console.info(`${await writer.verify()} writes there`)
    expect((await cluster.volumes()).length).toBe(3)

    await cluster.delete()
    await writer.stop()
    await waitFor({ what: 'everything of it to be gone', timeoutMs: 60_000 }, async () => {
      type Named = { readonly kind: string; readonly metadata: { readonly name: string } }
      const objects = await listObjects<Named>(NAMESPACE, KINDS, cluster.selector)
      return objects.length === 0 || { notYet: objects.map((o) => `${o.kind} ${o.metadata.name}`) }
    })
    expect(await cluster.volumes()).toEqual(left)
  },
)

test('a cluster that is protected cannot be deleted until it no longer is', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const cluster = await RaftCluster.create(NAMESPACE, 'protected', {
    replicas: 1,
    storage: { whenDeleted: 'Delete' },
    deletionProtection: true,
  })
  await cluster.becomesReady()
  const writer = await ClusterWriter.start(NAMESPACE, 'protected')
  const args = ['raftcluster', 'protected', '--namespace', NAMESPACE]
  const refused = await tryKubectl(['delete', ...args])
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toContain('spec.deletionProtection is true')
  await writer.acknowledges(50)
  console.info(`${await writer.verify()} writes there`)
  await writer.stop()

  const patch = JSON.stringify({ spec: { deletionProtection: false } })
  await kubectl(['patch', ...args, '--type=merge', '--patch', patch])
  await cluster.delete()
  expect(await cluster.volumes()).toEqual([])
})
