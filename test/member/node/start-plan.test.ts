// What a member does at its start, case by case: directory, settings and membership file on one side, the plan on the other.

import { describe, expect, test } from 'vitest'
import { unreachable } from '../../../lib/assert.ts'
import { clusterIdOf } from '../../../lib/identity.ts'
import type { MembershipDocument, MembershipEntry } from '../../../lib/membership-file.ts'
import { type Identity, identityOf, memberIdOf } from '../../../member/src/node/identity.ts'
import {
  type ConfiguredStart,
  type FoundDirectory,
  planStart,
  type StartPlan,
} from '../../../member/src/node/start-plan.ts'

const TOKEN = 't'
const FOUNDERS = ['a', 'b', 'c'].map((name) => ({ name, peerUrls: [`http://${name}:2380`] }))
const INITIAL_CLUSTER = 'a=http://a:2380,b=http://b:2380,c=http://c:2380'
const CLUSTER_ID = clusterIdOf(TOKEN, INITIAL_CLUSTER)

function configured(changed: Partial<ConfiguredStart> = {}): ConfiguredStart {
  return {
    name: 'a',
    token: TOKEN,
    advertisePeerUrls: ['http://a:2380'],
    initialCluster: FOUNDERS,
    initialClusterState: 'new',
    ...changed,
  }
}

function identity(changed: Partial<Identity> = {}): Identity {
  return { ...identityOf({ token: TOKEN, name: 'a', members: FOUNDERS }), ...changed }
}

function found(changed: Partial<FoundDirectory> = {}): FoundDirectory {
  return { path: '/data', identity: undefined, isTombstoned: false, ...changed }
}

function entry(name: string, changed: Partial<MembershipEntry> = {}): MembershipEntry {
  const peerUrl = `http://${name}:2380`
  return { name, ordinal: 0, incarnation: 1, state: 'Voter', peerUrl, ...changed }
}

function file(changed: Partial<MembershipDocument> = {}): MembershipDocument {
  return {
    schema: 1,
    cluster: 'ns/demo',
    token: TOKEN,
    phase: 'Bootstrapping',
    clusterId: CLUSTER_ID,
    epoch: 1,
    initialCluster: INITIAL_CLUSTER,
    members: [entry('a'), entry('b'), entry('c')],
    ...changed,
  }
}

const used = found({ identity: identity() })
const running = (members = file().members): MembershipDocument =>
  file({ phase: 'Running', members })

function underFile(directory: FoundDirectory, document: MembershipDocument | undefined): StartPlan {
  const problem = document === undefined ? 'cannot be read (ENOENT)' : undefined
  return planStart(configured(), directory, { document, problem })
}

/** The plan in a few words. */
function said(plan: StartPlan): string {
  switch (plan.type) {
    case 'start':
      return `start asking ${plan.asks}`
    case 'join':
      return `join by ${plan.peers.map(({ name }) => name).join(' ')}`
    case 'park':
      return `park ${plan.directory.state} ${plan.directory.code ?? '-'}`
    case 'refuse':
      return `refuse ${plan.error.code}`
    default:
      return unreachable(plan)
  }
}

describe('without a membership file', () => {
  test.each<[string, FoundDirectory, Partial<ConfiguredStart>, string]>([
    ['a blank directory', found(), {}, 'start asking whoeverAnswers'],
    [
      'a blank one of an existing cluster',
      found(),
      { initialClusterState: 'existing' },
      'join by b c',
    ],
    ['its own data', used, {}, 'start asking nobody'],
    ['data of another name', used, { name: 'b' }, 'refuse DATA_DIR_FOREIGN'],
    ['data of another token', used, { token: 'u' }, 'refuse DATA_DIR_FOREIGN'],
    [
      'data of other founders',
      used,
      { initialCluster: FOUNDERS.slice(0, 2) },
      'refuse DATA_DIR_FOREIGN',
    ],
    [
      "data, and today's members",
      used,
      { initialClusterState: 'existing', initialCluster: FOUNDERS.slice(0, 1) },
      'start asking nobody',
    ],
    [
      'data of a removed member',
      found({ identity: identity(), isTombstoned: true }),
      {},
      'refuse MEMBER_REMOVED',
    ],
  ])('%s', (_what, directory, settings, expected) => {
    expect(said(planStart(configured(settings), directory, undefined))).toBe(expected)
  })

  test('a log begins with the members recorded beside it, whatever the settings say today', () => {
    const settings = configured({
      initialClusterState: 'existing',
      initialCluster: FOUNDERS.slice(0, 1),
    })
    expect(planStart(settings, used, undefined)).toMatchObject({ members: FOUNDERS })
  })
})

describe('with a membership file', () => {
  const second = entry('a', { incarnation: 2 })
  test.each<[string, FoundDirectory, MembershipDocument | undefined, string]>([
    ['no file yet, blank', found(), undefined, 'park Fresh -'],
    ['no file, its own data', used, undefined, 'start asking nobody'],
    ['bootstrapping, blank', found(), file(), 'start asking whoeverAnswers'],
    ['formed, blank', found(), file({ formed: true }), 'start asking aMajority'],
    ['bootstrapping, its own data', used, file(), 'start asking nobody'],
    ['running, blank voter', found(), running(), 'park AwaitingReplacement AWAITING_REPLACEMENT'],
    [
      'running, blank learner',
      found(),
      running([entry('a', { state: 'Learner', incarnation: 2 }), entry('b')]),
      'start asking aMajority',
    ],
    ['running, blank and not listed', found(), running([entry('b'), entry('c')]), 'park Fresh -'],
    ['running, its own data', used, running(), 'start asking nobody'],
    ['running, data and not listed', used, running([entry('b')]), 'start asking nobody'],
    [
      'running, data of a disk that was given up',
      used,
      running([second, entry('b')]),
      'park Tombstoned MEMBER_REMOVED',
    ],
    [
      'running, data ahead of the file',
      found({ identity: identity({ incarnation: 3 }) }),
      running(),
      'start asking nobody',
    ],
    [
      'data of another cluster',
      found({ identity: identity({ clusterId: '00000000000000ff' }) }),
      running(),
      'park ForeignCluster DATA_DIR_FOREIGN',
    ],
    [
      'data of another token',
      found({ identity: identity({ token: 'u' }) }),
      running(),
      'park ForeignCluster DATA_DIR_FOREIGN',
    ],
    [
      'data of another member',
      found({ identity: identity({ name: 'b' }) }),
      running(),
      'park ForeignCluster DATA_DIR_FOREIGN',
    ],
    [
      'data of another member, no file',
      found({ identity: identity({ name: 'b' }) }),
      undefined,
      'park ForeignCluster DATA_DIR_FOREIGN',
    ],
    ['recovering, blank', found(), file({ phase: 'Recovering' }), 'park Fresh -'],
    ['recovering, its own data', used, file({ phase: 'Recovering' }), 'park Valid -'],
    [
      'a removed member, whatever the file says',
      found({ identity: identity(), isTombstoned: true }),
      running(),
      'park Tombstoned MEMBER_REMOVED',
    ],
    [
      'an entry with another address',
      found(),
      file({ members: [entry('a', { peerUrl: 'http://x:2380' })] }),
      'park Fresh -',
    ],
  ])('%s', (_what, directory, document, expected) => {
    expect(said(underFile(directory, document))).toBe(expected)
  })

  test('a learner joins under its incarnation, with the members of today as its peers', () => {
    const learner = entry('a', { state: 'Learner', incarnation: 2 })
    const other = entry('d', { incarnation: 4, state: 'Learner' })
    const plan = underFile(found(), running([learner, entry('b'), other]))
    expect(plan).toMatchObject({
      type: 'start',
      identity: { clusterId: CLUSTER_ID, memberId: memberIdOf(TOKEN, 'a', 2), incarnation: 2 },
      members: [],
      peers: [
        { id: memberIdOf(TOKEN, 'b', 1), peerUrls: ['http://b:2380'] },
        { id: memberIdOf(TOKEN, 'd', 4), peerUrls: ['http://d:2380'] },
      ],
      voters: [{ name: 'b', peerUrls: ['http://b:2380'] }],
    })
  })

  test('a founder makes the cluster under the same id as the others', () => {
    const { clusterId: _, ...withoutId } = file()
    const plan = underFile(found(), withoutId)
    expect(plan).toMatchObject({ identity: identity(), members: FOUNDERS })
  })
})

describe('a directory into which a snapshot was restored', () => {
  const restored = identity({ clusterId: 'feedfeedfeedfeed' })
  const directory = found({ restored })

  test('makes the new cluster, having asked whether it did so before', () => {
    const plan = planStart(configured(), directory, undefined)
    expect(plan).toMatchObject({ type: 'start', identity: restored, asks: 'whoeverAnswers' })
    expect(plan).toMatchObject({ voters: FOUNDERS, members: FOUNDERS })
  })

  test('is of one member and cluster like any other', () => {
    const plan = planStart(configured({ token: 'other' }), directory, undefined)
    expect(plan).toMatchObject({ type: 'refuse', error: { code: 'DATA_DIR_FOREIGN' } })
  })

  test('means nothing any more once the member has a log', () => {
    const later = found({ identity: restored })
    expect(planStart(configured(), later, undefined)).toMatchObject({ asks: 'nobody' })
  })

  test.each([
    ['makes the cluster', file({ clusterId: 'feedfeedfeedfeed' }), 'start'],
    [
      'makes it only if a majority does not know it, once it has formed',
      file({ clusterId: 'feedfeedfeedfeed', formed: true }),
      'start',
    ],
    ['is of another cluster', file(), 'ForeignCluster'],
    [
      'comes too late',
      file({ phase: 'Running', clusterId: 'feedfeedfeedfeed' }),
      'AwaitingReplacement',
    ],
    [
      'is not to learn from a leader',
      file({
        phase: 'Running',
        clusterId: 'feedfeedfeedfeed',
        members: [entry('a', { state: 'Learner' })],
      }),
      'Fresh',
    ],
    ['waits for a recovery', file({ phase: 'Recovering', clusterId: 'feedfeedfeedfeed' }), 'Fresh'],
    ['is not listed', file({ clusterId: 'feedfeedfeedfeed', members: [entry('b')] }), 'Fresh'],
  ])('with a membership file: %s', (_, document, expected) => {
    const plan = planStart(configured(), directory, { document, problem: undefined })
    expect(plan.type === 'park' ? plan.directory.state : plan.type).toBe(expected)
    const asks = document.formed === true ? 'aMajority' : 'whoeverAnswers'
    expect(plan.type === 'start' ? plan.asks : asks).toBe(asks)
  })
})
