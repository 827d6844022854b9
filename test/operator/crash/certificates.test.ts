// Certificates with an operator that dies, acts twice or sees late: they are made, renewed and exchanged, and nobody ever
// stops trusting somebody who is needed.

import { expect } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { company, givenData, memberLeaf } from '../support/given-certificates.ts'
import { CLUSTER, KEY } from './scene.ts'
import { bootstrap, describeScenarios, isSettled, type NamedScenario } from './suite.ts'
import type { World } from './world.ts'

const TLS = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }
/** What each phase of an exchange lasts at least. */
const PHASE_MS = 181_000
const KUBELETS_MS = 45_000
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

const GIVEN = { source: 'Secret', secretRef: { name: 'company' } }
const GIVEN_SECRET = { collection: 'v1/secrets', namespace: KEY.namespace, name: 'company' }
/** Made once: what is given matters, not its keys. */
const COMPANIES = ['first', 'second', 'third'].map((name) => company(name))

/** As `kubectl apply` of the user's Secret; what lies in it then. */
function give(world: World, authority: CertificatePair): string {
  world.note('the user gives another certificate')
  const data = givenData(memberLeaf(authority), [authority])
  if (world.store.find(GIVEN_SECRET) !== undefined) world.store.patch(GIVEN_SECRET, { data })
  else {
    const metadata = { name: GIVEN_SECRET.name }
    const type = 'kubernetes.io/tls'
    world.store.create(GIVEN_SECRET, { apiVersion: 'v1', kind: 'Secret', type, metadata, data })
  }
  return data['tls.crt']!
}

/** The certificate is in force, and nobody trusts anybody but whom the user names. */
async function isTaken(world: World, leaves: readonly string[], given: string): Promise<void> {
  await quickly(world)
  await world.until('it is taken', () =>
    leaves.every((leaf) => field(world, leaf, 'tls.crt') === given),
  )
  await world.until('whoever was before is forgotten', () =>
    leaves.every((leaf) => authoritiesIn(world, leaf) === 1),
  )
  // No status of before may count.
  await world.pass(4)
  await world.until('it is in force', isIssued(world))
}

/** Each phase as soon as the slowest kubelet has come by. */
async function quickly(world: World): Promise<void> {
  for (let phase = 0; phase < 3; phase += 1) {
    await world.pass(4)
    world.skip(KUBELETS_MS)
  }
}

function authoritiesIn(world: World, secret: string): number {
  const pem = Buffer.from(field(world, secret, 'ca.crt') ?? '', 'base64').toString()
  return pem.split('BEGIN CERTIFICATE').length - 1
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
    'certificates that are given are renewed, and exchanged for those of others',
    { tls: { peer: GIVEN, client: GIVEN } },
    async (world) => {
      const leaves = ['peer-tls', 'server-tls', 'operator-tls']
      const [first, second, third] = COMPANIES as [
        CertificatePair,
        CertificatePair,
        CertificatePair,
      ]
      give(world, first)
      await secured(world)
      await isTaken(world, leaves, give(world, first))
      give(world, second)
      await world.until('another is trusted', () => authoritiesIn(world, 'peer-tls') === 2)
      // Before anything of it has been taken.
      await isTaken(world, leaves, give(world, third))
      expect(field(world, 'ca', 'tls.crt')).toBeUndefined()
    },
    41,
  ],
  [
    "given certificates take the place of the operator's own, and make way for them",
    { tls: { peer: TLS.peer } },
    async (world) => {
      await secured(world)
      const own = field(world, 'peer-tls', 'ca.crt')
      const given = give(world, COMPANIES[0]!)
      world.note('the user gives certificates')
      world.store.patch(CLUSTER, { spec: { tls: { peer: GIVEN } } })
      await isTaken(world, ['peer-tls'], given)
      world.note('the user gives none any more')
      world.store.patch(CLUSTER, { spec: { tls: { peer: { ...TLS.peer, secretRef: null } } } })
      await quickly(world)
      await world.until('the own is back', () => field(world, 'peer-tls', 'ca.crt') === own)
      await world.pass(4)
      await world.until('it is in force', isIssued(world))
    },
    41,
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
