// The document operator and members share, read as the member reads it; and the identities both compute.

import { describe, expect, test } from 'vitest'
import { clusterIdOf, describeInitialCluster, memberIdOf } from '../../lib/identity.ts'
import { parseMembership } from '../../lib/membership-file.ts'

const TOKEN = '9c1e4b0a-7b1f-4df8-9f2e-0f6f0f7f0a11'

function url(ordinal: number): string {
  return `http://demo-${ordinal}.demo-peer.prod.svc.cluster.local:2380`
}

const INITIAL_CLUSTER = [0, 1, 2].map((ordinal) => `demo-${ordinal}=${url(ordinal)}`).join(',')

function entry(ordinal: number, changed: object = {}) {
  const name = `demo-${ordinal}`
  const raftId = memberIdOf(TOKEN, name, 1)
  const peerUrl = url(ordinal)
  return { name, ordinal, incarnation: 1, raftId, state: 'Voter', peerUrl, ...changed }
}

function document(changed: object = {}): Record<string, unknown> {
  return {
    schema: 1,
    cluster: 'prod/demo',
    token: TOKEN,
    phase: 'Bootstrapping',
    epoch: 1,
    initialCluster: INITIAL_CLUSTER,
    members: [entry(0), entry(1), entry(2)],
    ...changed,
  }
}

function parse(value: unknown) {
  return parseMembership(typeof value === 'string' ? value : JSON.stringify(value))
}

function problemsOf(value: unknown): string {
  const parsed = parse(value)
  return parsed.ok ? '' : parsed.problems.join('\n')
}

describe('membership.json', () => {
  test('is read as it is written, for each phase', () => {
    const clusterId = clusterIdOf(TOKEN, INITIAL_CLUSTER)
    for (const value of [
      document(),
      document({ clusterId }),
      document({ phase: 'Running', clusterId, epoch: 14 }),
      document({ phase: 'Recovering', clusterId: '00000000000000ff' }),
    ]) {
      const parsed = parse(value)
      expect(parsed).toEqual({ ok: true, document: value })
    }
  })

  test('of a later operator may hold more than this version knows', () => {
    const members = [entry(0, { zone: 'a' }), entry(1), entry(2)]
    expect(parse(document({ members, recovery: { survivor: 'demo-1' } })).ok).toBe(true)
  })

  test('in phase Running lists learners, and members that the cluster was not made of', () => {
    const learner = entry(3, { incarnation: 2, raftId: undefined, state: 'Learner' })
    const parsed = parse(
      document({ phase: 'Running', clusterId: '00000000000000c1', members: [entry(0), learner] }),
    )
    expect(parsed.ok && parsed.document.members[1]!.state).toBe('Learner')
  })

  test.each<[string, unknown, string]>([
    ['half a file', '{"schema":1,"clus', 'the file is not JSON'],
    ['an empty file', '', 'the file is not JSON'],
    ['a list', [], 'the file is not a JSON object'],
    ['a later schema', document({ schema: 2 }), 'schema: is 2'],
    ['no schema', document({ schema: undefined }), 'schema: is missing'],
    ['no token', document({ token: undefined }), 'token: is not a cluster token (missing)'],
    ['a token with a space', document({ token: 'a b' }), 'token: '],
    ['a phase nobody knows', document({ phase: 'Sleeping' }), 'phase: is none of Bootstrapping'],
    ['phase Running without an id', document({ phase: 'Running' }), 'clusterId: is required'],
    ['an id in capitals', document({ clusterId: 'AA00000000000000' }), 'clusterId: is not 16 hex'],
    ['an epoch before zero', document({ epoch: -1 }), 'epoch: is not a count'],
    ['an epoch in words', document({ epoch: '1' }), 'epoch: is not a count'],
    ['nobody', document({ members: [] }), 'members: is empty'],
    ['a member that is a text', document({ members: ['demo-0'] }), 'members[0]: is not an object'],
    ['incarnation 0', document({ members: [entry(0, { incarnation: 0 })] }), '.incarnation: '],
    ['a state of its own', document({ members: [entry(0, { state: 'x' })] }), '.state: is none of'],
    ['a path in a URL', document({ members: [entry(0, { peerUrl: 'http://a:1/b' })] }), '.peerUrl'],
    ['no port', document({ members: [entry(0, { peerUrl: 'http://a' })] }), '.peerUrl: '],
    [
      'a name twice',
      document({ members: [entry(0), entry(0), entry(2)] }),
      'members[1].name: demo-0 is there twice',
    ],
    [
      'the Raft id of another incarnation',
      document({ members: [entry(0, { incarnation: 2 }), entry(1), entry(2)] }),
      'members[0].raftId: ',
    ],
    [
      'a bootstrap of others than are listed',
      document({ members: [entry(0), entry(1)] }),
      'initialCluster: does not name exactly the members',
    ],
    [
      'a bootstrap with a learner',
      document({ members: [entry(0), entry(1), entry(2, { state: 'Learner' })] }),
      'members: a cluster is made of voters',
    ],
    [
      'a bootstrap with a disk that replaced another',
      document({ members: [entry(0, { incarnation: 2, raftId: undefined }), entry(1), entry(2)] }),
      'members: a cluster is made of voters, each in its first incarnation',
    ],
    [
      'a bootstrap under another id',
      document({ clusterId: '00000000000000c1' }),
      'clusterId: is not what token and initialCluster make',
    ],
    ['an initial cluster without URLs', document({ initialCluster: 'demo-0' }), 'initialCluster: '],
  ])('is refused with %s', (_name, value, problem) => {
    expect(problemsOf(value)).toContain(problem)
  })

  test('has its problems told together, a few at most', () => {
    const problems = problemsOf({ schema: 1, members: Array.from({ length: 30 }, () => ({})) })
    expect(problems.split('\n')).toHaveLength(8)
    expect(problems).toContain('token: is not a cluster token (missing)\nphase: ')
  })

  test('larger than any cluster needs is not even parsed', () => {
    expect(problemsOf(' '.repeat(300_000))).toBe('the file is too large')
  })
})

describe('identity', () => {
  test('is a function of token, name and incarnation, and the same for ever', () => {
    // Stored in data directories and in the log: a change of these values would make every member a stranger.
    const ids = [
      memberIdOf('raftbase', 'n1', 1),
      memberIdOf('raftbase', 'n1', 2),
      memberIdOf('raftbase', 'n11', 1),
      memberIdOf('raftbasen', '1', 1),
      clusterIdOf('raftbase', 'n1'),
    ]
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.join()).toMatchInlineSnapshot(
      `"0cf595d51f98afb3,c3b272170f570847,b85e545c8ab07a99,3088d4d367be40fa,74a8194493a0ca20"`,
    )
  })

  test('of a cluster does not depend on the order in which its members are written', () => {
    const a = { name: 'a', peerUrls: ['http://a:1'] }
    const b = { name: 'b', peerUrls: ['http://b:1'] }
    expect(describeInitialCluster([b, a])).toBe('a=http://a:1,b=http://b:1')
    expect(describeInitialCluster([a, b])).toBe('a=http://a:1,b=http://b:1')
  })
})
