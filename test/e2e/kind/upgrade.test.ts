// A version is rolled out one pod at a time, the leader last, under writes and with the operator killed in between; one whose
// image does not exist stops at its first pod and is taken back. Nothing acknowledged is lost, and writes never stop for long
// (faults.md F56).

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { VERSION } from '../../../member/src/version.ts'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { kubectl } from '../support/kubectl.ts'
import { killOperators, operatorRolledOut } from '../support/operator-release.ts'
import { condition, identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('upgrade')
const ROLLED_MS_MAX = 180_000
/** Without an acknowledgement: leadership is handed over before its pod goes. */
const GAP_MS_MAX = 5_000
const MISSING_VERSION = VERSION.replace(/\d+$/, '999')

let cluster: RaftCluster | undefined
let writer: ClusterWriter

afterAll(async () => {
  await operatorRolledOut()
  await cluster?.delete()
})

async function upgrade(version: string): Promise<void> {
  const command = `kubectl patch raftcluster demo --type=merge -p '{"spec":{"version":"0.1.1"}}'`
  await asDocumented(NAMESPACE, command, { '0.1.1': version })
}

async function runs(version: string): Promise<void> {
  // The status may speak of the spec before for a moment: the pods themselves say which version they are of.
  const wanted = `raftbase/member:${version}`
  await waitFor(
    { what: `every pod to run ${version}`, timeoutMs: ROLLED_MS_MAX, periodMs: 200 },
    async () => {
      const seen = await cluster!.get()
      const columns = 'jsonpath={.items[*].spec.containers[0].image}'
      const selector = ['-l', cluster!.selector, '-o', columns]
      const images = (await kubectl(['get', 'pods', '-n', NAMESPACE, ...selector])).split(' ')
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
  await upgrade(RUN.nextVersion)
  await cluster.shows(
    'a first updated pod',
    ROLLED_MS_MAX,
    ({ status }) => status?.updatedReplicas === 1,
  )
  await killOperators()
  await runs(RUN.nextVersion)
  const { status } = (await cluster.get())!
  expect(status!.rollbackVersion).toBe(VERSION)
  expect(identities((await cluster.get())!)).toEqual(identities(before))
  await upgrade(VERSION)
  await runs(VERSION)
  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  const verified = await writer.verify()
  console.info(
    `rolled out and back: ${verified} writes there, ${longestGapMs} ms without an acknowledgement`,
  )
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
})

test('a version that does not start stops at its first pod, and is taken back', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await writer.mark()
  await upgrade(MISSING_VERSION)
  const stopped = await cluster!.shows('the rollout to be paused', 150_000, (seen) => {
    return condition(seen, 'UpToDate')?.reason === 'RolloutPaused'
  })
  expect([stopped.status!.ready, stopped.status!.updatedReplicas]).toEqual(['2/3', 1])
  await upgrade(VERSION)
  await runs(VERSION)
  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  await writer.verify()
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)
  await writer.stop()
})
