// The leader's node stops under writes, as a machine that loses its power, and comes back: the others go on, and its member
// returns with its data and its identity. Then another node is gone for good with the disk it had: its member is made anew
// elsewhere, and nothing acknowledged is lost. The last scenario, because a node is missing afterwards.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { cannotTakeNodes, removeWorker, startWorker, stopWorker } from '../support/nodes.ts'
import { operatorRolledOut } from '../support/operator-release.ts'
import { condition, identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'

const NAMESPACE = namespaceOf('node-lost')
/** Until Kubernetes takes a node for gone, new connections are still led to it. */
const GAP_MS_MAX = 20_000

let cluster: RaftCluster | undefined
let stopped: string | undefined

afterAll(async () => {
  if (stopped !== undefined) await startWorker(stopped)
  await operatorRolledOut()
  await cluster?.delete()
})

test('a node that stops comes back, and one that is gone for good with its disk is made up for', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('node-lost', 3)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    selfHeal: { unreachableSeconds: 60 },
  })
  const before = await cluster.becomesReady()
  const nodeOf = new Map(before.status!.members!.map(({ name, node }) => [name, node!]))
  expect(new Set(nodeOf.values()).size).toBe(3)
  const leader = before.status!.leader!.name
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()

  stopped = nodeOf.get(leader)!
  await stopWorker(stopped)
  // Its operator may have been there too: another one takes over.
  const without = await cluster.shows('two of three without it', 90_000, ({ status }) => {
    return status?.ready === '2/3' && status.leader !== undefined && status.leader.name !== leader
  })
  expect(condition(without, 'QuorumAvailable')?.status).toBe('True')
  await writer.acknowledges(100)
  await startWorker(stopped)
  stopped = undefined
  const back = await cluster.becomesReady(120_000)
  expect(identities(back)).toEqual(identities(before))
  const { longestGapMs } = await writer.report()
  console.info(`${longestGapMs} ms without an acknowledgement while a node stopped and came back`)
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
  await writer.verify()

  const lost = back.status!.members!.find(({ role }) => role === 'Follower')!.name
  const startedMs = performance.now()
  await removeWorker(nodeOf.get(lost)!)
  const after = await cluster.shows(`${lost} to be made anew`, 240_000, (seen) => {
    const isNew = ![identities(before)[lost], ''].includes(identities(seen)[lost] ?? '')
    return isNew && seen.status?.ready === '3/3' && seen.status.phase === 'Healthy'
  })
  const seconds = Math.round((performance.now() - startedMs) / 1000)
  expect(after.status!.clusterId).toBe(before.status!.clusterId)
  expect(after.status!.votingMembers).toBe(3)
  expect(after.status!.members!.find(({ name }) => name === lost)!.node).not.toBe(nodeOf.get(lost))
  await writer.acknowledges(50)
  const verified = await writer.verify()
  await writer.stop()
  console.info(`${lost} made anew ${seconds} s after its node was gone; ${verified} writes there`)
}, 480_000)
