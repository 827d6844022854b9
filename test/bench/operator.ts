// What the operator costs: 200 RaftClusters of three members each on one API server. Memory, CPU when nothing changes, and
// how long a change takes to show. It is started as its image starts it, from what `make build` has compiled; without that from
// the sources, which costs memory of its own. Needs KUBEBUILDER_ASSETS (etcd and kube-apiserver); pods and members are played by this
// process, on loopback addresses, on port 8080. Where that is taken: `unshare --net`, then `ip link set lo up` and, because the
// API server wants an address of its own, `ip addr add 192.0.2.1/24 dev lo` and `ip route add default dev lo`.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { RAFT_CLUSTERS } from '../../operator/src/api/resource-types.ts'
import { openKubeconfigAccess } from '../../operator/src/kube/kubeconfig.ts'
import { clientOf } from '../operator/support.ts'
import { OperatorProcess } from '../operator/support/operator-process.ts'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import { OperatorScene } from './operator-scene.ts'

const COUNT = Number(process.env['RAFTBASE_BENCH_CLUSTERS'] ?? 200)
const SETTLE_MS = 20_000
const IDLE_MS = Number(process.env['RAFTBASE_BENCH_IDLE_MS'] ?? 60_000)
const CHANGES = 20
const GOAL = '<= 300 MB'
/** Changes in quick succession afterwards, to see whether memory grows with them. */
const CHURN = Number(process.env['RAFTBASE_BENCH_CHURN'] ?? 2000)

if (missingApiServer('the benchmark of the operator') !== undefined) process.exit(0)

const OPERATOR = new URL('../../operator/', import.meta.url)
const COMPILED = fileURLToPath(new URL('../../dist/operator/src/entry.js', import.meta.url))

/** What the image starts, with what it sets for Node.js. */
function asInItsImage() {
  const dockerfile = readFileSync(new URL('Dockerfile', OPERATOR), 'utf8')
  const [, entry] = /^ENTRYPOINT (.*)$/m.exec(dockerfile)!
  const flags = (JSON.parse(entry!) as string[]).slice(1, -1)
  // To try others, with nothing else that the image sets.
  const tried = process.env['RAFTBASE_BENCH_NODE_FLAGS']?.split(' ').filter((flag) => flag !== '')
  const arenas = /MALLOC_ARENA_MAX=(\d+)/.exec(dockerfile)?.[1]
  const program = existsSync(COMPILED) ? COMPILED : fileURLToPath(new URL('src/entry.ts', OPERATOR))
  console.log(`${program} with ${(tried ?? flags).join(' ') || 'no flags'}`)
  return {
    program: [...(tried ?? flags), program],
    environment: tried !== undefined || arenas === undefined ? {} : { MALLOC_ARENA_MAX: arenas },
  }
}

const server = await ApiServer.start()
const api = clientOf(await openKubeconfigAccess(server.kubeconfig))
const scene = new OperatorScene(api, COUNT)
let operator: OperatorProcess | undefined
try {
  if (!(await scene.listen())) throw new Error('port 8080, on which members are asked, is taken')
  await server.mustKubectl(['apply', '-f', 'crds/raftclusters.yaml'])
  await server.servesRaftClusters()
  await measure()
} finally {
  await operator?.end()
  api.close()
  await scene.stop()
  await server.stop()
}

async function measure(): Promise<void> {
  operator = new OperatorProcess({
    name: 'bench',
    kubeconfig: server.kubeconfig,
    ...asInItsImage(),
  })
  await waitFor('the operator leads', () => operator!.isLeading)
  const [emptyMb] = await use()
  await scene.createClusters()
  const startMs = performance.now()
  await scene.playPods()
  await waitFor('all are healthy', async () => (await phases()).get('Healthy') === COUNT)
  print(
    `${COUNT} clusters healthy after`,
    `${((performance.now() - startMs) / 1000).toFixed(1)} s`,
    '',
  )
  const [madeMb] = await use()
  await sleep(SETTLE_MS)
  const [, cpuBefore] = await use()
  const requestsBefore = scene.requestCount
  const apiBefore = await apiRequests()
  const passesBefore = await passes()
  await sleep(IDLE_MS)
  const [mb, cpuAfter] = await use()
  const seconds = IDLE_MS / 1000
  const cores = (cpuAfter - cpuBefore) / seconds
  print('resident memory, no cluster', `${emptyMb.toFixed(0)} MB`, '')
  print(`… once ${COUNT} clusters are made`, `${madeMb.toFixed(0)} MB`, GOAL)
  print(`… ${COUNT} clusters, nothing changes`, `${mb.toFixed(0)} MB`, GOAL)
  print('CPU when nothing changes', `${cores.toFixed(3)} cores`, '<= 0.1')
  print('  members asked', `${((scene.requestCount - requestsBefore) / seconds).toFixed(1)}/s`, '')
  const passed = (await passes()) - passesBefore
  print('  passes', `${(passed / seconds).toFixed(1)}/s`, '')
  print('  CPU per pass, all included', `${((1000 * cores * seconds) / passed).toFixed(2)} ms`, '')
  const asked = (await apiRequests()) - apiBefore
  print('  requests to the API server', `${((60 * asked) / seconds).toFixed(1)}/min`, '')
  print('status streams held open', String(scene.streamCount), String(COUNT * 3))
  await measureChanges()
  await churn()
  const [afterMb] = await use()
  print(`… after ${CHURN} more changes`, `${afterMb.toFixed(0)} MB`, GOAL)
  print('… at the most', `${peakMb().toFixed(0)} MB`, '')
}

/** From the event of a new leader to the status of the RaftCluster, as a watcher would see it. */
async function measureChanges(): Promise<void> {
  const delaysMs: number[] = []
  const [apiBefore, [, cpuBefore]] = [await apiRequests(), await use()]
  for (let i = 0; i < CHANGES; i++) {
    const startMs = performance.now()
    const { leader, ...key } = scene.changeLeader((i * 7) % COUNT)
    await waitFor('the new leader shows', async () => {
      const status = (await api.get(RAFT_CLUSTERS, key))?.['status']
      return (status as { leader?: { name?: string } }).leader?.name === leader
    })
    delaysMs.push(performance.now() - startMs)
  }
  const asked = (await apiRequests()) - apiBefore
  const [, cpuAfter] = await use()
  delaysMs.sort((a, b) => a - b)
  const [median, worst] = [delaysMs[CHANGES / 2]!, delaysMs.at(-1)!]
  print('a new leader shows after, median', `${median.toFixed(0)} ms`, '< 1000 ms')
  print('a new leader shows after, worst', `${worst.toFixed(0)} ms`, '< 1000 ms')
  print('  requests to the API server', `${(asked / CHANGES).toFixed(1)} each`, '')
  print('  CPU', `${((1000 * (cpuAfter - cpuBefore)) / CHANGES).toFixed(0)} ms each`, '')
}

async function churn(): Promise<void> {
  for (let i = 0; i < CHURN; i++) {
    scene.changeLeader(i % COUNT)
    await sleep(5)
  }
  await sleep(SETTLE_MS)
}

/** The most that was resident at once, from the kernel. */
function peakMb(): number {
  const status = readFileSync(`/proc/${operator!.pid}/status`, 'utf8')
  return (Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1024) / 1e6
}

/** Resident MB, and seconds of CPU so far. */
async function use(): Promise<[number, number]> {
  const memory = await operator!.metric('process_resident_memory_bytes')
  const cpu = await operator!.metric('process_cpu_seconds_total')
  return [[...memory.values()][0]! / 1e6, [...cpu.values()][0]!]
}

function apiRequests(): Promise<number> {
  return total('raftbase_operator_api_requests_total')
}

function passes(): Promise<number> {
  return total('raftbase_operator_reconcile_total')
}

async function total(metric: string): Promise<number> {
  const counts = await operator!.metric(metric)
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

async function phases(): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (const cluster of await scene.clusters()) {
    const { phase = 'none' } = (cluster['status'] ?? {}) as { phase?: string }
    counts.set(phase, (counts.get(phase) ?? 0) + 1)
  }
  return counts
}

async function waitFor(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 300_000
  while (!(await holds())) {
    if (performance.now() > endMs) {
      const told = JSON.stringify([...(await phases())])
      throw new Error(`not within five minutes: ${what} (${told})`)
    }
    if (operator?.exit !== undefined) throw new Error(`the operator ended with ${operator.exit}`)
    await sleep(20)
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function print(what: string, figure: string, goal: string): void {
  console.log(`${what.padEnd(40)} ${figure.padStart(14)}   ${goal}`)
}
