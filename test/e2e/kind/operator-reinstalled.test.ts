// The release changes under a cluster that lives. A newer chart with a newer operator and other values restarts no member,
// although it makes other pods than the one before; they are made anew once somebody says so. And when it is uninstalled and
// installed again, the members go on, the CRD and the RaftCluster stay, and the new operator takes over. Until then the
// operator was never refused anything by its rights.

import { afterAll, expect, onTestFailed, test } from 'vitest'
import { ClusterWriter } from '../support/cluster-writer.ts'
import { printDiagnostics } from '../support/diagnostics.ts'
import { asDocumented } from '../support/drills.ts'
import { getObject, kubectl } from '../support/kubectl.ts'
import {
  installOlderOperator,
  installOperator,
  operatorLogs,
  uninstallOperator,
  upgradeOperator,
} from '../support/operator-release.ts'
import { condition, identities, RaftCluster } from '../support/raft-cluster.ts'
import { namespaceOf, RUN } from '../support/run.ts'
import { waitFor } from '../support/wait.ts'

const NAMESPACE = namespaceOf('operator-reinstalled')
/** Without an acknowledgement: leadership is handed over before its pod goes. */
const GAP_MS_MAX = 5_000
const ROLLED_MS_MAX = 180_000

let cluster: RaftCluster | undefined
let writer: ClusterWriter

afterAll(async () => {
  await cluster?.delete()
})

/** Whatever a restart of a member would change. */
async function lives(): Promise<unknown> {
  type StatefulSet = { readonly status?: { readonly updateRevision?: string } }
  const set = await getObject<StatefulSet>(NAMESPACE, 'statefulset', 'demo')
  return { template: set?.status?.updateRevision, pods: await cluster!.lives() }
}

test('a newer chart with a newer operator and other values restarts no member', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  await installOlderOperator()
  cluster = await RaftCluster.create(NAMESPACE, 'demo', {
    replicas: 3,
    storage: { whenDeleted: 'Delete' },
    update: { minHealthySeconds: 2 },
  })
  const { status } = await cluster.becomesReady()
  expect(status!.rendererRevision).toBe(1)
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
  await cluster.shows('all as it was', 60_000, (seen) => seen.status?.phase === 'Healthy')
  await keepsFor('1h')
  await cluster.shows('what its pods cannot be told', 60_000, (seen) => {
    const isPending = condition(seen, 'UpToDate')?.reason === 'RestampPending'
    return isPending && seen.status?.ready === '3/3'
  })
  await writer.settle('upgraded')
  expect(await lives()).toEqual(before)
  expect((await cluster.get())!.status!.leader).toMatchObject({ term: status!.leader!.term })
})

test('pods are made anew by the newer operator once somebody says so, and then take settings while they run', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = { cluster: (await cluster!.get())!, pods: await cluster!.podUids() }
  await writer.mark()
  await asDocumented(
    NAMESPACE,
    'kubectl annotate raftcluster demo --overwrite raftbase.io/restamp=2',
  )
  const restamped = await cluster!.shows('every pod made anew', ROLLED_MS_MAX, (seen) => {
    const isCurrent = condition(seen, 'UpToDate')?.status === 'True'
    const isWhole = seen.status?.phase === 'Healthy' && seen.status.ready === '3/3'
    return isCurrent && isWhole && seen.status?.rendererRevision === 2
  })
  expect((await cluster!.podUids()).filter((one) => before.pods.includes(one))).toEqual([])
  expect(identities(restamped)).toEqual(identities(before.cluster))
  const epochs = restamped.status!.members!.map(({ configEpoch }) => configEpoch)
  const [epoch = 0] = epochs
  expect(epoch).toBeGreaterThan(0)
  expect(epochs).toEqual([epoch, epoch, epoch])
  const { longestGapMs } = await writer.settle('restamped')
  expect(longestGapMs).toBeLessThan(GAP_MS_MAX)

  // What members keep reaches them in a file, which their kubelets bring.
  const settled = await lives()
  await keepsFor('2h')
  await cluster!.shows('every member with the new configuration', 180_000, ({ status }) => {
    return status?.members?.every(({ configEpoch }) => configEpoch === epoch + 1) === true
  })
  await cluster!.shows('all as it was', 60_000, (seen) => seen.status?.phase === 'Healthy')
  await writer.settle('told of another setting')
  expect(await lives()).toEqual(settled)
})

test('members go on while no operator is installed, and a new one takes over without a restart', async () => {
  onTestFailed(() => printDiagnostics(NAMESPACE))
  const before = await cluster!.becomesReady()
  const pods = await cluster!.podUids()
  await writer.mark()
  const refusals = (await operatorLogs(10_000))
    .split('\n')
    .filter((line) => /forbidden|"status":403\b/i.test(line))
  expect(refusals).toEqual([])

  await uninstallOperator()
  await writer.acknowledges(100)
  const left = await cluster!.get()
  expect(left?.metadata.uid).toBe(before.metadata.uid)
  expect(await cluster!.podUids()).toEqual(pods)

  await installOperator()
  const leader = before.status!.leader!.name
  await kubectl(['delete', 'pod', leader, '--namespace', NAMESPACE, '--wait=false'])
  const after = await cluster!.shows('a new leader', 30_000, ({ status }) => {
    return status?.leader !== undefined && status.leader.term > before.status!.leader!.term
  })
  await cluster!.becomesReady()
  await writer.settle('taken over')
  await writer.stop()
  expect(after.status!.clusterId).toBe(before.status!.clusterId)
  const survivors = await cluster!.podUids()
  expect(survivors.filter((one) => pods.includes(one)).length).toBe(2)
})

async function keepsFor(retention: string): Promise<void> {
  const server = { autoCompaction: { mode: 'Periodic', retention } }
  const patch = JSON.stringify({ spec: { server } })
  await kubectl(['patch', 'raftcluster', 'demo', '-n', NAMESPACE, '--type=merge', '-p', patch])
}
