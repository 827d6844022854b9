// Two operator processes and one API server: who acts, how quickly the other takes over when one is killed, stopped or told
// to end, and that never both act. The API server of the tests keeps every request with the name of who sent it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SeededPrng } from '../../lib/prng.ts'
import { FakeApiServer } from '../support/fake-api-server.ts'
import { until } from './support.ts'
import { OperatorProcess, plainKubeconfig } from './support/operator-process.ts'

/** With the durations of production. */
const HANDOVER_MS = 15_000
/** Tests in which the exact time does not matter do not wait for it. */
const QUICK = ['-lease-duration', '5s', '-renew-deadline', '4s', '-retry-period', '300ms']
const SLOW: readonly string[] = []
const TEST_MS = 120_000

let server: FakeApiServer
let kubeconfig: { path: string; remove: () => void }
let processes: OperatorProcess[]

beforeEach(async () => {
  server = await FakeApiServer.start()
  kubeconfig = plainKubeconfig(server.url)
  processes = []
})

afterEach(async () => {
  for (const process of processes) await process.end()
  kubeconfig.remove()
  await server.stop()
})

function start(name: string, args: readonly string[] = QUICK): OperatorProcess {
  const process = new OperatorProcess({ name, kubeconfig: kubeconfig.path, args })
  processes.push(process)
  return process
}

/** Two that are ready; the first leads. */
async function startPair(
  args: readonly string[] = QUICK,
): Promise<[OperatorProcess, OperatorProcess]> {
  const one = start('one', args)
  await until('one leads', () => one.isLeading, 60_000)
  const two = start('two', args)
  await two.hasStarted()
  await until('two has looked at the Lease', () => lookedAtLease(two))
  return [one, two]
}

function lookedAtLease({ identity }: OperatorProcess): boolean {
  return server.requests.some(({ url, headers }) => {
    return url.includes('/leases/') && (headers['user-agent'] ?? '').includes(identity)
  })
}

function createCluster(name: string): void {
  const target = { collection: 'raftbase.io/v1alpha1/raftclusters', namespace: 'default', name }
  server.store.create(target, {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { name },
    spec: { version: '0.1.0', replicas: 3 },
  })
}

function hasStatefulSet(name: string): boolean {
  return (
    server.store.find({ collection: 'apps/v1/statefulsets', namespace: 'default', name }) !==
    undefined
  )
}

/** Changes other than of the Lease, by who sent them, in the order they arrived. */
function changesBy({ identity }: OperatorProcess, from = 0): string[] {
  return server.requests
    .slice(from)
    .filter(({ headers }) => (headers['user-agent'] ?? '').includes(identity))
    .filter(({ method, url }) => method !== 'GET' && !url.includes('/leases'))
    .map(({ method, url }) => `${method} ${url}`)
}

describe('two operators (F56)', () => {
  test(
    'one acts, the other keeps its caches warm and changes nothing',
    async () => {
      const [one, two] = await startPair()
      createCluster('demo')
      await until('the cluster is made', () => hasStatefulSet('demo'))
      expect(changesBy(one).length).toBeGreaterThan(5)
      expect(changesBy(two)).toEqual([])
      expect(await two.get('/readyz')).toEqual({ status: 200, text: 'ok\n' })
      expect([...(await one.metric('raftbase_operator_leader')).values()]).toEqual([1])
      expect([...(await two.metric('raftbase_operator_leader')).values()]).toEqual([0])
    },
    TEST_MS,
  )

  test(
    'the leader is killed: the other acts within 15 s',
    async () => {
      const [one, two] = await startPair(SLOW)
      one.signal('SIGKILL')
      await one.exited
      const killedAtMs = performance.now()
      createCluster('demo')
      await until('two leads', () => two.isLeading, 30_000)
      expect(performance.now() - killedAtMs).toBeLessThan(HANDOVER_MS + 500)
      await until('two makes the cluster', () => hasStatefulSet('demo'))
      expect(two.isLeading).toBe(true)
    },
    TEST_MS,
  )

  test(
    'the leader is told to end: it gives the Lease back and the other acts at once',
    async () => {
      const [one, two] = await startPair()
      const toldAtMs = performance.now()
      one.signal('SIGTERM')
      expect(await one.exited).toBe(0)
      await until('two leads', () => two.isLeading)
      expect(performance.now() - toldAtMs).toBeLessThan(5000)
      expect(one.log.filter(({ level }) => level !== 'info')).toEqual([])
      expect(one.find('leadership released')).toBeDefined()
    },
    TEST_MS,
  )

  test(
    'the leader is stopped in the middle of a pass and continued after the other took over: it changes nothing more and ends',
    async () => {
      const [one, two] = await startPair()
      // The pass hangs in the middle of its changes when the process is stopped.
      server.fail(
        ({ method, url }) => method === 'PATCH' && url.includes('/services/'),
        { kind: 'delay', delayMs: 500 },
        1,
      )
      createCluster('demo')
      await until('the pass is in the middle', () =>
        server.requests.some(({ method, url }) => method === 'PATCH' && url.includes('/services/')),
      )
      one.signal('SIGSTOP')
      const stoppedAtMs = performance.now()
      await until('two leads', () => two.isLeading, 30_000)
      expect(performance.now() - stoppedAtMs).toBeLessThan(HANDOVER_MS + 500)
      await until('two has finished the cluster', () => hasStatefulSet('demo'))
      const before = server.requests.length
      createCluster('second')
      one.signal('SIGCONT')
      expect(await one.exited).toBe(1)
      expect(changesBy(one, before)).toEqual([])
      expect(one.log.findLast(({ level }) => level === 'fatal')?.['err']).toMatchObject({
        code: 'notLeading',
      })
      await until('two makes the second cluster', () => hasStatefulSet('second'))
    },
    TEST_MS,
  )

  test(
    'the API server vanishes: the leader ends before the other may act, and both recover',
    async () => {
      const [one, two] = await startPair()
      const { port, store } = server
      await server.stop()
      expect(await one.exited).toBe(1)
      server = await FakeApiServer.start(store, port)
      await until('two leads', () => two.isLeading, 30_000)
      createCluster('demo')
      await until('the cluster is made', () => hasStatefulSet('demo'))
      expect(two.exit).toBeUndefined()
    },
    TEST_MS,
  )
})

describe('one operator (F56)', () => {
  test(
    'a pass that was cut off by a restart is finished by the next process',
    async () => {
      const one = start('one')
      await until('one leads', () => one.isLeading, 60_000)
      server.fail(
        ({ method, url }) => method === 'PATCH' && url.includes('/statefulsets/'),
        { kind: 'hang' },
        1,
      )
      createCluster('demo')
      await until('the pass hangs', () => server.hungCount === 1)
      one.signal('SIGKILL')
      await one.exited
      start('two')
      await until('the cluster is made', () => hasStatefulSet('demo'), 60_000)
      expect(server.store.list('apps/v1/statefulsets').length).toBe(1)
    },
    TEST_MS,
  )

  test(
    'an API server that is slow and throws errors at random is outlived without a crash',
    async () => {
      const one = start('one')
      await until('one leads', () => one.isLeading, 60_000)
      const prng = new SeededPrng(17)
      const oneIn = (count: number) => () => prng.next(count) === 0
      server.fail(oneIn(20), { kind: 'refuse', status: 500 })
      server.fail(oneIn(10), { kind: 'delay', delayMs: 200 })
      server.fail(oneIn(30), { kind: 'reset' })
      for (const name of ['a', 'b', 'c', 'd', 'e']) createCluster(name)
      await until('all are made', () => ['a', 'b', 'c', 'd', 'e'].every(hasStatefulSet), 60_000)
      expect([one.exit, one.log.filter(({ level }) => level === 'fatal')]).toEqual([undefined, []])
      expect((await one.get('/healthz')).status).toBe(200)
    },
    TEST_MS,
  )

  test.each([
    [['-lease-duration', '5s'], 'is not longer than renew-deadline and retry-period together'],
    [['-workers', '0'], '1 to 64'],
    [['-metrics-addr', 'localhost'], 'IP:PORT or :PORT'],
    [['-member-image', 'UPPER:tag'], 'an image name without tag and digest'],
  ])(
    '%j is refused with the reason before anything starts',
    async (args, reason) => {
      const one = start('one', args)
      expect(await one.exited).toBe(1)
      expect(JSON.stringify(one.log)).toContain(reason)
      expect(server.requests).toEqual([])
    },
    TEST_MS,
  )

  test(
    'a mistyped flag is answered with the right one',
    async () => {
      const one = start('one', ['-leese-name', 'x'])
      expect(await one.exited).toBe(2)
      expect(JSON.stringify(one.log)).toContain('did you mean -lease-name?')
    },
    TEST_MS,
  )

  test(
    'a kubeconfig that does not exist is one clear line',
    async () => {
      const one = start('one', ['-kubeconfig', '/nonexistent/kubeconfig'])
      expect(await one.exited).toBe(1)
      const fatal = one.log.filter(({ level }) => level === 'fatal')
      expect(fatal).toMatchObject([
        { msg: 'start failed', err: { message: 'kubeconfig cannot be read' } },
      ])
    },
    TEST_MS,
  )
})
