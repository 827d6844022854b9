// The leader's pod is killed under writes: another member leads, `kubectl get raftclusters --watch` shows it within two
// seconds, the pod comes back with its data and its identity, and nothing acknowledged is lost (F1). Then the leader freezes,
// and wakes as a follower (F6).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { kubectl, watchObject } from '../support/kubectl.ts'
import { identities, RaftCluster } from '../support/raft-cluster.ts'
import { cannotTakeNodes } from '../support/nodes.ts'
import { PodProcess } from '../support/pod-process.ts'
import { namespaceOf } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('leader-pod-deleted')
/** From a death to the table that shows who leads now; a leader that is told to stop takes up to five to hand over first. */
const SHOWN_MS_MAX = 2_000
const HAND_OVER_MS_MAX = 5_000
/** Without an acknowledgement, for a client that keeps a connection to the member that dies. */
const GAP_MS_MAX = 5_000

let cluster: RaftCluster | undefined

afterAll(async () => {
  await cluster?.delete()
})

test.each([
  { how: 'killed', args: ['--grace-period=0', '--force'], shownMsMax: SHOWN_MS_MAX },
  { how: 'deleted', args: [], shownMsMax: HAND_OVER_MS_MAX + SHOWN_MS_MAX },
])(
  'a leader that is $how is followed by another in time, and comes back with its data',
  async ({ how, args, shownMsMax }) => {
    onTestFailed(() => printDiagnostics(NAMESPACE))
    cluster ??= await RaftCluster.create(NAMESPACE, 'demo', {
      replicas: 3,
      storage: { whenDeleted: 'Delete' },
    })
    const before = await cluster.becomesReady()
    const leader = before.status!.leader!.name
    const pod = (await cluster.pods()).find(({ metadata }) => metadata.name === leader)!
    const writer = await ClusterWriter.start(NAMESPACE, 'demo')
    await writer.mark()

    const columns = '{.object.status.leader.name}'
    const watch = watchObject({ namespace: NAMESPACE, kind: 'raftcluster', name: 'demo', columns })
    await waitFor({ what: 'the watch to begin', timeoutMs: 10_000 }, async () =>
      watch.lines.length > 0 ? true : { notYet: watch.lines },
    )
    const askedMs = performance.now()
    await kubectl(['delete', 'pod', leader, '-n', NAMESPACE, '--wait=false', ...args])
    // kubectl takes its time to start; the pod lives until the API server has been told.
    const toldMs = performance.now()
    const shown = await waitFor(
      { what: 'another leader', timeoutMs: 30_000, periodMs: 20 },
      async () => {
        const line = watch.lines.find(
          ({ atMs, text }) => atMs > askedMs && ![leader, ''].includes(text),
        )
        return line ?? { notYet: watch.lines }
      },
    )
    await watch.stop()
    const shownMs = Math.max(0, shown.atMs - toldMs)

    const after = await cluster.shows(`${leader} to be back`, 90_000, ({ status }) => {
      const member = status?.members?.find(({ name }) => name === leader)
      return status?.ready === '3/3' && status.phase === 'Healthy' && member?.role !== 'Unknown'
    })
    const told = `${leader} ${how}: ${shown.text} shown as leader after ${Math.round(shownMs)} ms`
    const { longestGapMs } = await writer.settle(told)
    await writer.stop()
    expect(shownMs).toBeLessThan(shownMsMax)
    expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
    const returned = (await cluster.pods()).find(({ metadata }) => metadata.name === leader)!
    expect(returned.metadata.uid).not.toBe(pod.metadata.uid)
    expect(identities(after)).toEqual(identities(before))
    expect(after.status!.clusterId).toBe(before.status!.clusterId)
  },
)

/** A connection to a member that does not answer is given up after three seconds, and may lead to it again. */
const FROZEN_GAP_MS_MAX = 15_000

test('a leader that freezes is followed by another, and follows it when it wakes', async ({
  skip,
}) => {
  const reason = await cannotTakeNodes('a leader that freezes', 1)
  skip(reason !== undefined, reason)
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = await cluster!.becomesReady()
  const lives = await cluster!.lives()
  const { name, term } = before.status!.leader!
  const writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()
  const leader = await PodProcess.of(NAMESPACE, name)
  const frozenMs = performance.now()
  await leader.freeze()
  try {
    const without = await cluster!.shows('another leader', 30_000, ({ status }) => {
      return status?.leader !== undefined && status.leader.term > term
    })
    console.info(
      `${name} frozen: another shown after ${Math.round(performance.now() - frozenMs)} ms`,
    )
    expect(without.status!.leader!.name).not.toBe(name)
    await writer.acknowledges(100)
  } finally {
    // Before its kubelet gives it up.
    await leader.thaw()
  }
  const after = await cluster!.shows(`${name} to follow`, 60_000, ({ status }) => {
    const member = status?.members?.find((one) => one.name === name)
    return status?.phase === 'Healthy' && status.ready === '3/3' && member?.role === 'Follower'
  })
  const { longestGapMs } = await writer.settle('frozen, and awake again')
  await writer.stop()
  expect(longestGapMs).toBeLessThan(FROZEN_GAP_MS_MAX)
  expect(identities(after)).toEqual(identities(before))
  expect(await cluster!.lives()).toEqual(lives)
})
