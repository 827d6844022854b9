// Every node is drained in turn under writes, as for maintenance, that of the leader first: its member goes and the others
// serve; a second drain is refused while it is away; back on its node it has its data and its identity. In the middle of one
// drain every operator is killed (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { drain, cannotTakeNodes, uncordon, workerNodes } from '../support/nodes.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { condition, identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('node-drained')
const GAP_MS_MAX = 5_000

let cluster: RaftCluster | undefined
const drained: string[] = []

afterAll(async () => {
  for (const node of drained) await uncordon(node)
  await operatorRolledOut()
  await cluster?.delete()
})

/** In the middle of a drain, which goes on by itself. */
async function killedOnceGone(name: string): Promise<void> {
  const { uid } = (await cluster!.pods()).find(({ metadata }) => metadata.name === name)!.metadata
  await waitFor({ what: `${name} to be evicted`, timeoutMs: 60_000, periodMs: 50 }, async () => {
    const stays = (await cluster!.pods()).some(({ metadata }) => {
      return metadata.uid === uid && metadata.deletionTimestamp === undefined
    })
    return !stays || { notYet: 'it is there' }
  })
  await killOperators()
}

test('each drained node takes one member, a second one is refused, and nothing acknowledged is lost', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('node-drained', 3)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
  })
  const before = await cluster.becomesReady()
  const nodes = await workerNodes()
  const leader = before.status!.leader!.name
  const nodeOf = new Map(before.status!.members!.map(({ name, node }) => [name, node!]))
  // Preferred anti-affinity, and three nodes for three members.
  expect(new Set(nodeOf.values()).size).toBe(3)
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()

  drained.push(nodeOf.get(leader)!)
  const first = await drain(nodeOf.get(leader)!, 60)
  expect(first).toMatchObject({ done: true })
  await writer.acknowledges(100)
  const without = await cluster.shows(
    'two of three',
    30_000,
    ({ status }) => status?.ready === '2/3',
  )
  expect(without.status!.leader!.name).not.toBe(leader)
  expect(condition(without, 'QuorumAvailable')?.status).toBe('True')

  const second = nodes.find((node) => node !== nodeOf.get(leader))!
  drained.push(second)
  const refused = await drain(second, 8)
  expect(refused).toMatchObject({ done: false })
  expect(refused.said).toContain("violate the pod's disruption budget")
  await writer.acknowledges(50)

  for (const node of drained.splice(0)) await uncordon(node)
  let after = await cluster.becomesReady()
  const others = [...nodeOf.keys()].filter((one) => one !== leader)
  for (const name of others) {
    const node = nodeOf.get(name)!
    drained.push(node)
    // Refused until everybody has been ready for a moment, as a drain is that somebody repeats.
    const drains = drain(node, 60)
    const kills = name === others[0] ? killedOnceGone(name) : undefined
    const [said] = await Promise.all([drains, kills])
    expect(said).toMatchObject({ done: true })
    await writer.acknowledges(50)
    await uncordon(drained.pop()!)
    after = await cluster.becomesReady()
  }
  const { longestGapMs } = await writer.settle('drained')
  await writer.stop()

  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
  expect(identities(after)).toEqual(identities(before))
  expect(after.status!.clusterId).toBe(before.status!.clusterId)
})
