// Pod and volume of a member are deleted together, as a lost node with a local disk takes them: the member comes back under
// a new identity with everything the others have, while the operator is killed in between. Nothing acknowledged is lost
// (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('member-lost')

let cluster: RaftCluster | undefined

afterAll(async () => {
  await operatorRolledOut()
  await cluster?.delete()
})

test('a member whose pod and volume are deleted is replaced in place', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    selfHeal: { maxReplacementsPerHour: 2 },
  })
  const before = await cluster.becomesReady()
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  const follower = before.status!.members!.find(({ role }) => role === 'Follower')!.name
  const leader = before.status!.leader!.name
  for (const [lost, isKilled] of [
    [follower, false],
    [leader, true],
  ] as const) {
    const startedMs = performance.now()
    const was = identities((await cluster.get())!)[lost]
    for (const command of [
      // As the admission policy asks for it.
      'kubectl annotate pvc data-demo-1 raftbase.io/allow=true --overwrite',
      'kubectl delete pvc data-demo-1 --wait=false',
      'kubectl delete pod demo-1 --grace-period=0 --force',
    ]) {
      await asDocumented(NAMESPACE, command, { 'demo-1': lost })
    }
    if (isKilled) {
      await cluster.shows(
        'the replacement begin',
        120_000,
        ({ status }) => status?.phase === 'Healing',
      )
      await killOperators()
    }
    const after = await cluster.shows(`${lost} to be replaced`, 180_000, (seen) => {
      const { status } = seen
      const isNew = ![was, ''].includes(identities(seen)[lost] ?? '')
      return isNew && status?.ready === '3/3' && status.phase === 'Healthy'
    })
    console.info(
      `${lost} replaced after ${Math.round((performance.now() - startedMs) / 100) / 10} s`,
    )
    expect(after.status!.clusterId).toBe(before.status!.clusterId)
    expect(after.status!.votingMembers).toBe(3)
    await writer.acknowledges(50)
    await writer.verify()
  }
  await writer.stop()
})
