// A deleted RaftCluster takes everything of it along but its volumes, and those too where it says so; one that is
// protected stays.

import { expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { kubectl, listObjects, tryKubectl } from '../support/kubectl.ts'
import { RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('deletion')
const KINDS = 'statefulsets,pods,services,configmaps,poddisruptionbudgets,serviceaccounts'

test('deleted clusters take everything of them along but their volumes, and those too where they say so', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  // Beside each other: neither takes anything of the other along.
  const left = await Promise.all([leftBy('Retain'), leftBy('Delete')])
  expect(left).toEqual([['data-retain-0', 'data-retain-1', 'data-retain-2'], []])
})

/** Its volumes, after a cluster with this policy was made and deleted. */
async function leftBy(policy: string): Promise<readonly string[]> {
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
  return cluster.volumes()
}

test('a protected cluster cannot be deleted until it no longer is, and goes with its namespace', async () => {
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
  // Of a shared cluster namespaces are not deleted in between: their operator has its rights in them.
  if (RUN.cluster === 'current') return cluster.delete()
  // Its pods live. Nothing that holds the namespace is left, and nothing is made in it any more.
  const startedMs = performance.now()
  const wait = ['--timeout=90s']
  await kubectl(['delete', 'namespace', NAMESPACE, ...wait], { timeoutMs: 100_000 })
  console.info(`the namespace is gone after ${Math.round(performance.now() - startedMs)} ms`)
})
