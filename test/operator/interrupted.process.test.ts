// Two operator processes and a cluster in the middle of an operation: the one that acts is frozen, or reaches its members but
// not the API server, and the other ends what was begun. What the first still has under way changes nothing (F56).
// `make test` shows one of each kind, `make test-faults` every operation with each.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeApiServer } from '../support/fake-api-server.ts'
import type { ParsedRequest } from '../support/fake-api-request.ts'
import { until } from './support.ts'
import { LivingCluster, missingMemberPort } from './support/living-cluster.ts'
import { OperatorProcess, plainKubeconfig } from './support/operator-process.ts'
import { tagsOf } from './crash/sim-kubernetes.ts'

const WHAT = 'operators that are cut off in the middle of an operation'
const SKIPPED = await missingMemberPort(WHAT)
const isLong = process.env['RAFTBASE_FAULTS'] === 'long'
const QUICK = ['-lease-duration', '5s', '-renew-deadline', '4s', '-retry-period', '300ms']
const TEST_MS = 180_000
const STEP_MS = 60_000

let server: FakeApiServer
let cluster: LivingCluster
let kubeconfig: { path: string; remove: () => void }
let operators: OperatorProcess[]

interface Operation {
  readonly name: string
  readonly begin: () => void
  /** So far that both what has been done and what is left matter. */
  readonly isHalfWay: () => boolean
  readonly isOver: () => boolean
}

const OPERATIONS: readonly Operation[] = [
  {
    name: 'growing from three to five',
    begin: () => cluster.change({ replicas: 5 }),
    isHalfWay: () => (cluster.members.raft?.configuration.members.size ?? 0) > 3,
    isOver: () => cluster.isSettledAt(5),
  },
  {
    name: 'replacing a member whose disk is lost',
    begin: () => cluster.kubernetes.lose('demo-1', { withVolume: true }),
    isHalfWay: () => cluster.status.operation?.type === 'Replace',
    isOver: () => cluster.isSettledAt(3) && incarnationOf('demo-1') === 2,
  },
  {
    name: 'rolling out another version',
    begin: () => cluster.change({ version: '0.1.1' }),
    isHalfWay: () => tagsOf(cluster.kubernetes.pods()).includes('0.1.1'),
    isOver: () => cluster.isSettledAt(3) && tagsOf(cluster.kubernetes.pods()).join() === '0.1.1',
  },
]

beforeEach(async () => {
  if (SKIPPED !== undefined) return
  server = await FakeApiServer.start()
  cluster = await LivingCluster.start(server.store)
  kubeconfig = plainKubeconfig(server.url)
  operators = []
})

afterEach(async () => {
  if (SKIPPED !== undefined) return
  for (const operator of operators) await operator.end()
  kubeconfig.remove()
  await cluster.stop()
  await server.stop()
})

function incarnationOf(name: string): number | undefined {
  return cluster.status.members?.find((member) => member.name === name)?.incarnation
}

function start(name: string): OperatorProcess {
  const operator = new OperatorProcess({ name, kubeconfig: kubeconfig.path, args: QUICK })
  operators.push(operator)
  return operator
}

/** A healthy cluster of three and two operators that are ready; the first leads. */
async function startAll(): Promise<readonly [OperatorProcess, OperatorProcess]> {
  const one = start('one')
  await until('one leads', () => one.isLeading, STEP_MS)
  const two = start('two')
  await two.hasStarted()
  cluster.create({ update: { minHealthySeconds: 2 } })
  await until('the cluster is healthy', () => cluster.isSettledAt(3), STEP_MS)
  return [one, two]
}

/** Requests that change something other than the Lease. */
function changesBy({ identity }: OperatorProcess, from: number): string[] {
  return server.requests
    .slice(from)
    .filter(({ headers }) => (headers['user-agent'] ?? '').includes(identity))
    .filter(({ method, url }) => method !== 'GET' && !url.includes('/leases'))
    .map(({ method, url }) => `${method} ${url}`)
}

function expectUnharmed(): void {
  expect(cluster.breaches).toEqual([])
  expect(cluster.members.formedCount).toBe(1)
}

/** It reaches every member, and nothing of the API server. */
function cutOff({ identity }: OperatorProcess): void {
  const isOwn = (request: ParsedRequest) => (request.headers['user-agent'] ?? '').includes(identity)
  server.fail(isOwn, { kind: 'hang' })
  server.cutWatches('reset')
}

describe.skipIf(SKIPPED !== undefined)(
  'two operators, one of them away in the middle (F56)',
  () => {
    const cut = isLong ? OPERATIONS : OPERATIONS.slice(2)
    test.each(cut)(
      'cut off from the API server while $name: it ends before the other acts, which goes on',
      async ({ begin, isHalfWay, isOver }) => {
        const [one, two] = await startAll()
        begin()
        await until('it is half-way', isHalfWay, STEP_MS)
        cutOff(one)
        await until('two leads', () => two.isLeading, STEP_MS)
        expect(one.exit).toBe(1)
        expect(one.log.findLast(({ level }) => level === 'fatal')?.['err']).toMatchObject({
          code: 'notLeading',
        })
        await until('it is over', isOver, STEP_MS)
        expectUnharmed()
        expect(two.exit).toBeUndefined()
      },
      TEST_MS,
    )

    // The last test freezes one, too.
    const frozen = isLong ? OPERATIONS : []
    test.each(frozen)(
      'frozen while $name, and awake after the other has ended it: it changes nothing more and ends',
      async ({ begin, isHalfWay, isOver }) => {
        const [one, two] = await startAll()
        begin()
        await until('it is half-way', isHalfWay, STEP_MS)
        one.signal('SIGSTOP')
        await until('two leads', () => two.isLeading, STEP_MS)
        await until('it is over', isOver, STEP_MS)
        const [requests, changes] = [server.requests.length, cluster.changes.length]
        one.signal('SIGCONT')
        expect(await one.exited).toBe(1)
        expect(changesBy(one, requests)).toEqual([])
        expect(cluster.changes.slice(changes)).toEqual([])
        expectUnharmed()
        expect(two.exit).toBeUndefined()
      },
      TEST_MS,
    )

    test(
      'a change of the membership that was under way when its operator froze is refused by its epoch',
      async () => {
        const [one, two] = await startAll()
        const held = cluster.holdNext('add')
        cluster.change({ replicas: 5 })
        await until('one asks for a learner', () => cluster.heldCount === 1, STEP_MS)
        one.signal('SIGSTOP')
        await until('two leads', () => two.isLeading, STEP_MS)
        const isJoining = () => (cluster.members.raft?.configuration.members.size ?? 0) > 3
        await until('two has added it', isJoining, STEP_MS)
        cluster.change({ replicas: 3 })
        const isBack = () => cluster.isSettledAt(3) && cluster.members.raft?.removed.size !== 0
        await until('two has taken it back', isBack, STEP_MS)

        const before = structuredClone(cluster.members.raft!.configuration)
        const count = cluster.changes.length
        held.release()
        await until('it arrives', () => cluster.changes.length > count)
        expect(cluster.changes[count]).toMatchObject({
          request: { type: 'add', name: 'demo-3', incarnation: 1 },
          epoch: 0,
          answer: { kind: 'refused', code: 'MEMBERSHIP_CONFLICT' },
        })
        // Not because this id has been used: it is not even looked at.
        expect(cluster.changes[count]!.answer).not.toHaveProperty('reason')
        expect(cluster.members.raft!.configuration).toEqual(before)
        one.signal('SIGCONT')
        expect(await one.exited).toBe(1)
        expect(cluster.changes.length).toBe(count + 1)
        expectUnharmed()
      },
      TEST_MS,
    )
  },
)
