// Certificates with an operator that dies, acts twice or sees late: they are made, renewed and exchanged, and nobody ever
// stops trusting somebody who is needed.

import { expect } from 'vitest'
import { CLUSTER, KEY } from './scene.ts'
import { bootstrap, describeScenarios, isSettled, type NamedScenario } from './suite.ts'
import type { World } from './world.ts'

const TLS = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }
/** What each phase of an exchange lasts at least. */
const PHASE_MS = 181_000
const LEAVES = ['peer-tls', 'server-tls', 'client-tls', 'operator-tls'] as const
const DAY_MS = 24 * 3_600_000

function field(world: World, secret: string, name: string): string | undefined {
  const target = { collection: 'v1/secrets', namespace: KEY.namespace, name: `demo-${secret}` }
  const data = world.store.find(target)?.['data'] as Record<string, string> | undefined
  return data?.[name]
}

function isTrusting(world: World, secret: string, authority: string | undefined): boolean {
  const [trusted, wanted] = [field(world, secret, 'ca.crt'), authority].map((text = '') =>
    Buffer.from(text, 'base64').toString(),
  )
  return wanted !== '' && trusted!.includes(wanted!)
}

const isIssued = (world: World) => () =>
  world.status.conditions?.find(({ type }) => type === 'TLSReady')?.reason === 'Issued' &&
  isSettled(world)()

async function secured(world: World): Promise<void> {
  await bootstrap(world)
  await world.until('every certificate is in force', isIssued(world))
}

async function exchange(world: World): Promise<void> {
  const before = LEAVES.map((leaf) => field(world, leaf, 'tls.crt'))
  const authority = field(world, 'ca', 'tls.crt')
  await world.until('another is trusted', () =>
    LEAVES.every((leaf) => isTrusting(world, leaf, field(world, 'ca', 'next.crt'))),
  )
  world.skip(PHASE_MS)
  await world.until('it signs', () => field(world, 'ca', 'tls.crt') !== authority)
  await world.until('everything is signed by it', () =>
    LEAVES.every((leaf, at) => field(world, leaf, 'tls.crt') !== before[at]),
  )
  world.skip(PHASE_MS)
  await world.until('it is alone', () => field(world, 'ca', 'previous.crt') === undefined)
  // No status of before may count.
  await world.pass(4)
  await world.until('every certificate is in force', isIssued(world))
  // The own one of the Secret, and nobody else's.
  for (const secret of LEAVES) {
    expect(field(world, secret, 'ca.crt')).toBe(field(world, 'ca', 'tls.crt'))
  }
}

const SCENARIOS: readonly NamedScenario[] = [
  ['a cluster with certificates is made', { tls: TLS }, secured, 2],
  [
    'certificates are renewed at two thirds of their life, and again',
    { tls: TLS },
    async (world) => {
      await secured(world)
      for (let round = 0; round < 2; round += 1) {
        const before = LEAVES.map((leaf) => field(world, leaf, 'tls.crt'))
        world.skip(61 * DAY_MS)
        await world.until('they are renewed', () =>
          LEAVES.every((leaf, at) => field(world, leaf, 'tls.crt') !== before[at]),
        )
        await world.until('every certificate is in force', isIssued(world))
      }
    },
    11,
  ],
  [
    'the authority is exchanged when the user wants it',
    { tls: TLS },
    async (world) => {
      await secured(world)
      world.annotate({ 'raftbase.io/rotate-ca': 'today' })
      await exchange(world)
    },
    21,
  ],
  [
    'the authority is exchanged while a member is away, and another is added',
    { replicas: 1, tls: TLS },
    async (world) => {
      await secured(world)
      world.annotate({ 'raftbase.io/rotate-ca': 'today' })
      world.scale(3)
      await exchange(world)
      expect(world.status.votingMembers).toBe(3)
    },
    50,
  ],
  [
    'clients are encrypted later, and not any more',
    { tls: { peer: TLS.peer } },
    async (world) => {
      await secured(world)
      world.note('the user encrypts clients')
      world.store.patch(CLUSTER, {
        spec: { tls: { client: { ...TLS.client, mode: 'Mutual', duration: '2160h' } } },
      })
      await world.until(
        'they are',
        () => world.certificates.securedCount === 3 && isIssued(world)(),
      )
      world.note('the user does not want it any more')
      world.store.patch(CLUSTER, { spec: { tls: { client: null } } })
      await world.until(
        'they are not',
        () => world.certificates.securedCount === 0 && isIssued(world)(),
      )
    },
    41,
  ],
]

describeScenarios(SCENARIOS)
