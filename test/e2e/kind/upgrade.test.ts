// A version is rolled out one pod at a time, the leader last, under writes and with the operator killed in between. One whose
// image does not exist stops at its first pod, and is taken back by hand; beside it, one whose program ends at once is taken
// back by the operator, which is killed meanwhile. Nothing acknowledged is lost, and writes never stop for long (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { VERSION } from '../../../member/src/version.ts'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { kubectl } from '../support/kubectl.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { containerOf } from '../support/pod-process.ts'
import { condition, identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('upgrade')
const ROLLED_MS_MAX = 180_000
/** Without an acknowledgement: leadership is handed over before its pod goes. */
const GAP_MS_MAX = 5_000
const MISSING_VERSION = VERSION.replace(/\d+$/, '999')

let cluster: RaftCluster | undefined
let careful: RaftCluster | undefined
let writer: ClusterWriter

afterAll(async () => {
  await operatorRolledOut()
  await Promise.all([cluster?.delete(), careful?.delete()])
})

async function upgrade({ name }: RaftCluster, version: string): Promise<void> {
  const command = `kubectl patch raftcluster demo --type=merge -p '{"spec":{"version":"0.1.1"}}'`
  const others = { 'raftcluster demo': `raftcluster ${name}`, '0.1.1': version }
  await asDocumented(NAMESPACE, command, others)
}

async function imagesOf({ selector }: RaftCluster): Promise<readonly string[]> {
  const columns = 'jsonpath={.items[*].spec.containers[0].image}'
  return (await kubectl(['get', 'pods', '-n', NAMESPACE, '-l', selector, '-o', columns])).split(' ')
}

async function runs(one: RaftCluster, version: string): Promise<void> {
  // The status may speak of the spec before for a moment: the pods themselves say which version they are of.
  const wanted = `raftbase/member:${version}`
  await waitFor(
    { what: `every pod to run ${version}`, timeoutMs: ROLLED_MS_MAX, periodMs: 200 },
    async () => {
      const seen = await one.get()
      const images = await imagesOf(one)
      const isCurrent = seen !== undefined && condition(seen, 'UpToDate')?.status === 'True'
      const isWhole = seen?.status?.ready === '3/3' && seen.status.phase === 'Healthy'
      if (isCurrent && isWhole && images.every((image) => image === wanted)) return true
      return { notYet: { images, status: seen?.status } }
    },
  )
}

test('a version is rolled out and back, one pod after the other', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    update: { minHealthySeconds: 2, progressDeadlineSeconds: 60 },
  })
  const before = await cluster.becomesReady()
  writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()
  await upgrade(cluster, RUN.nextVersion)
  await cluster.shows(
    'a first updated pod',
    ROLLED_MS_MAX,
    ({ status }) => status?.updatedReplicas === 1,
  )
  await killOperators()
  await runs(cluster, RUN.nextVersion)
  const { status } = (await cluster.get())!
  expect(status!.rollbackVersion).toBe(VERSION)
  expect(identities((await cluster.get())!)).toEqual(identities(before))
  await upgrade(cluster, VERSION)
  await runs(cluster, VERSION)
  const { longestGapMs } = await writer.settle('rolled out and back')
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
})

test('a version that does not start stops at its first pod, and is taken back by hand or by itself', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  // Beside each other: both wait for the same deadline.
  const gapsMs = await Promise.all([takenBackByHand(cluster!), takenBackByItself()])
  expect(Math.max(...gapsMs)).toBeLessThan(GAP_MS_MAX)
})

/** Longest time without an acknowledgement, as {@link takenBackByItself}. */
async function takenBackByHand(one: RaftCluster): Promise<number> {
  await writer.mark()
  await upgrade(one, MISSING_VERSION)
  const stopped = await one.shows('the rollout to be paused', 150_000, (seen) => {
    return condition(seen, 'UpToDate')?.reason === 'RolloutPaused'
  })
  expect([stopped.status!.ready, stopped.status!.updatedReplicas]).toEqual(['2/3', 1])
  await upgrade(one, VERSION)
  await runs(one, VERSION)
  const { longestGapMs } = await writer.settle('taken back by hand')
  await writer.stop()
  return longestGapMs
}

async function takenBackByItself(): Promise<number> {
  careful = await RaftCluster.create(NAMESPACE, 'careful', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    update: { minHealthySeconds: 2, progressDeadlineSeconds: 60, onFailure: 'Rollback' },
  })
  const before = { cluster: await careful.becomesReady(), uids: await careful.podUids() }
  const its = await ClusterWriter.start(NAMESPACE, 'careful')
  await its.mark()
  await upgrade(careful, RUN.brokenVersion)
  await waitFor({ what: 'a pod to end again and again', timeoutMs: 90_000 }, async () => {
    const restarts = (await careful!.pods()).map((pod) => containerOf(pod)?.restartCount ?? 0)
    return Math.max(...restarts) > 1 || { notYet: restarts }
  })
  await careful.shows('the version to be given up', 150_000, ({ status }) => {
    return status?.failedVersion === RUN.brokenVersion
  })
  await killOperators()
  const after = await careful.shows('what ran before', ROLLED_MS_MAX, (seen) => {
    const isBack = condition(seen, 'UpToDate')?.reason === 'RolledBack'
    return isBack && seen.status?.ready === '3/3' && seen.status.updatedReplicas === 3
  })
  expect(await imagesOf(careful)).toEqual([1, 2, 3].map(() => RUN.memberImage))
  expect(after.status).toMatchObject({ failedVersion: RUN.brokenVersion, rollbackVersion: VERSION })
  expect(identities(after)).toEqual(identities(before.cluster))
  const same = (await careful.podUids()).filter((one) => before.uids.includes(one))
  expect(same, 'pods that nobody touched').toHaveLength(2)
  await upgrade(careful, VERSION)
  await runs(careful, VERSION)
  expect((await careful.get())!.status).not.toHaveProperty('failedVersion')
  const { longestGapMs } = await its.settle('taken back by itself')
  await its.stop()
  return longestGapMs
}
