// A RaftCluster of one, three and five members forms by itself: within a minute it is ready, kubectl shows its leader, and what
// an application wrote while it formed is there. `helm test` says the same of the release.

import { join } from 'node:path'
import { expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { kubectl } from '../support/kubectl.ts'
import { testRelease } from '../support/operator-release.ts'
import { type MemberStatus, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'

const NAMESPACE = namespaceOf('bootstrap')
const EXAMPLES = join(import.meta.dirname, '..', '..', '..', 'examples')
/**
 * From `kubectl apply` to ready. The README promises half a minute; this leaves room for two cores that run four nodes, and
 * the figure is printed.
 */
const READY_MS_MAX = 60_000

/** On a cluster that is shared with others only the README's, and the one of `helm test`. */
const SIZES = RUN.cluster === 'current' ? [3] : [1, 3, 5]

test.each(SIZES)('%d members form one cluster and show their leader', async (replicas) => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const startedMs = performance.now()
  const cluster = await create(replicas)
  const { name } = cluster
  const [writer, { status }] = await Promise.all([
    // The README's example has TLS.
    ClusterWriter.start(NAMESPACE, name, { isSecure: replicas === 3 }),
    cluster.becomesReady(),
  ])
  const readyMs = performance.now() - startedMs
  await writer.acknowledges(50)
  const verified = await writer.verify()
  await writer.stop()

  console.info(
    `${replicas} members ready after ${Math.round(readyMs)} ms; ${verified} writes there`,
  )
  expect(readyMs).toBeLessThan(READY_MS_MAX)
  expect(status?.phase).toBe('Healthy')
  const roles = status?.members?.map(({ role }) => role).toSorted()
  expect(roles).toEqual([...Array<string>(replicas - 1).fill('Follower'), 'Leader'])
  const leader = status?.members?.find(({ role }) => role === 'Leader')
  expect(status?.leader?.name).toBe(leader?.name)
  expect(
    status?.members?.every(({ healthy, node }) => healthy === true && node !== undefined),
  ).toBe(true)
  await expectTable(cluster, leader!)
  if (replicas === 3) await expectApplication()
  await expectWithoutRestart(cluster)
  // Not in a hook: what is left of a failure is looked at first.
  await cluster.delete()
})

test('helm test makes a cluster, writes, reads and deletes it', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const output = await testRelease()
  expect(output).toContain('the same value was read')
  expect(output).toContain('the cluster and its volume are gone')
})

/** Three members are the README's example as it stands. */
async function create(replicas: number): Promise<RaftCluster> {
  if (replicas === 3) {
    return RaftCluster.apply(NAMESPACE, join(EXAMPLES, 'raftcluster.yaml'), {
      name: 'demo',
      replicas,
    })
  }
  const storage = { whenDeleted: 'Delete' }
  return RaftCluster.create(NAMESPACE, `of-${replicas}`, { replicas, storage })
}

/** What `kubectl get raftclusters` prints: READY, LEADER, STATUS, VERSION, AGE. */
async function expectTable(cluster: RaftCluster, leader: MemberStatus): Promise<void> {
  const table = await kubectl(['get', 'raftclusters', cluster.name, '-n', cluster.namespace])
  const [heading, row] = table
    .trim()
    .split('\n')
    .map((line) => line.split(/\s+/))
  expect(heading).toEqual(['NAME', 'READY', 'LEADER', 'STATUS', 'VERSION', 'AGE'])
  const all = `${cluster.replicas}/${cluster.replicas}`
  expect(row?.slice(0, 4)).toEqual([cluster.name, all, leader.name, 'Healthy'])
}

/** The README's application writes and reads. */
async function expectApplication(): Promise<void> {
  await kubectl(['apply', '-n', NAMESPACE, '-f', join(EXAMPLES, 'application.yaml')])
  const done = '--for=jsonpath={.status.phase}=Succeeded'
  await kubectl(['wait', done, 'pod/application', '-n', NAMESPACE, '--timeout=25s'])
  const said = await kubectl(['logs', 'application', '-n', NAMESPACE])
  expect(said).toContain('read:    hello from a pod\n')
  await kubectl(['delete', 'pod', 'application', '-n', NAMESPACE])
}

/** Nothing crashed on the way. */
async function expectWithoutRestart(cluster: RaftCluster): Promise<void> {
  const pods = await cluster.pods()
  expect(pods.length).toBe(cluster.replicas)
  for (const { metadata, status } of pods) {
    const restarts = status.containerStatuses?.map(({ restartCount }) => restartCount)
    expect({ pod: metadata.name, restarts }).toEqual({ pod: metadata.name, restarts: [0] })
  }
}
