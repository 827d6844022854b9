// The release changes under a cluster that lives. A newer chart with a newer operator and other values restarts no member;
// and when it is uninstalled and installed again, the members go on, the CRD and the RaftCluster stay, and the new operator
// takes over. Until then the operator was never refused anything by its rights.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { getObject, kubectl } from '../support/kubectl.ts'
import {
  installOperator,
  operatorLogs,
  uninstallOperator,
  upgradeOperator,
} from '../support/operator-release.ts'
import { RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('operator-reinstalled')

let cluster: RaftCluster | undefined
let writer: ClusterWriter

afterAll(async () => {
  await cluster?.delete()
})

/** Whatever a restart of a member would change. */
async function lives(): Promise<unknown> {
  type StatefulSet = { readonly status?: { readonly updateRevision?: string } }
  const set = await getObject<StatefulSet>(NAMESPACE, 'statefulset', 'demo')
  const pods = (await cluster!.pods()).map(({ metadata, status }) => [
    metadata.name,
    metadata.uid,
    ...(status.containerStatuses ?? []).flatMap((one) => [one.containerID, one.restartCount]),
  ])
  return { template: set?.status?.updateRevision, pods }
}

test('a newer chart with a newer operator and other values restarts no member', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
  })
  const { status } = await cluster.becomesReady()
  writer = await ClusterWriter.start(NAMESPACE, 'demo')
  await writer.mark()
  const before = await lives()
  expect(JSON.stringify(before)).toContain('containerd://')

  await upgradeOperator([
    'podLabels.upgraded=yes',
    'logLevel=debug',
    'resources.requests.cpu=60m',
    'metrics.service.port=9090',
  ])
  const selector = ['-n', RUN.operatorNamespace, '-l', 'upgraded=yes']
  const images = 'jsonpath={.items[*].spec.containers[0].image}'
  const running = (await kubectl(['get', 'pods', ...selector, '-o', images])).split(' ')
  expect(running).toEqual([RUN.nextOperatorImage, RUN.nextOperatorImage])
  // It acts, and has looked at this cluster: a change that needs no restart is carried out.
  const spec = JSON.stringify({ spec: { services: { leader: { enabled: true } } } })
  await kubectl(['patch', 'raftcluster', 'demo', '-n', NAMESPACE, '--type=merge', '-p', spec])
  await waitFor({ what: 'a leader Service', timeoutMs: 60_000, periodMs: 200 }, async () => {
    return (await getObject(NAMESPACE, 'service', 'demo-leader')) ?? { notYet: 'nothing' }
  })
  // What members keep reaches them in a file, which their kubelets bring.
  const autoCompaction = { mode: 'Periodic', retention: '1h' }
  const kept = JSON.stringify({ spec: { server: { autoCompaction } } })
  await kubectl(['patch', 'raftcluster', 'demo', '-n', NAMESPACE, '--type=merge', '-p', kept])
  await cluster.shows('every member with the new configuration', 180_000, ({ status: seen }) => {
    return seen?.members?.every(({ configEpoch }) => configEpoch === 2) === true
  })
  await cluster.shows('all as it was', 60_000, (seen) => seen.status?.phase === 'Healthy')
  await writer.acknowledges(50)
  expect(await lives()).toEqual(before)
  expect((await cluster.get())!.status!.leader).toMatchObject({ term: status!.leader!.term })
  const { longestGapMs } = await writer.report()
  console.info(`upgraded; ${longestGapMs} ms without an acknowledgement`)
})

test('members go on while no operator is installed, and a new one takes over without a restart', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = await cluster!.becomesReady()
  const pods = (await cluster!.pods()).map(({ metadata }) => metadata.uid)
  await writer.mark()
  const refusals = (await operatorLogs(10_000))
    .split('\n')
    .filter((l) => /forbidden|\b403\b/i.test(l))
  expect(refusals).toEqual([])

  await uninstallOperator()
  await writer.acknowledges(100)
  const left = await cluster!.get()
  expect(left?.metadata.uid).toBe(before.metadata.uid)
  expect((await cluster!.pods()).map(({ metadata }) => metadata.uid)).toEqual(pods)

  await installOperator()
  const leader = before.status!.leader!.name
  await kubectl(['delete', 'pod', leader, '--namespace', NAMESPACE, '--wait=false'])
  const after = await cluster!.shows('a new leader', 30_000, ({ status }) => {
    return status?.leader !== undefined && status.leader.term > before.status!.leader!.term
  })
  await cluster!.becomesReady()
  await writer.acknowledges(50)
  const { longestGapMs } = await writer.report()
  console.info(
    `${await writer.verify()} writes there, ${longestGapMs} ms without an acknowledgement`,
  )
  await writer.stop()
  expect(after.status!.clusterId).toBe(before.status!.clusterId)
  const survivors = (await cluster!.pods()).map(({ metadata }) => metadata.uid)
  expect(survivors.filter((uid) => pods.includes(uid)).length).toBe(2)
})
