// Joining an existing cluster by settings (-initial-cluster-state existing): what is started, and what is refused with which
// of etcd's texts (section 6.3 of its contract).

import { describe, expect, test } from 'vitest'
import { memberIdOf } from '../../../member/src/node/identity.ts'
import { type FoundCluster, type JoinPlan, planJoin } from '../../../member/src/node/join-plan.ts'
import type { ConfiguredStart } from '../../../member/src/node/start-plan.ts'

const TOKEN = 'demo'
const CLUSTER_ID = 'c'.repeat(16)
const url = (name: string): string => `http://${name}:2380`

function member(
  name: string,
  changed: Partial<FoundCluster['members'][number]> & { readonly incarnation?: number } = {},
): FoundCluster['members'][number] {
  const { incarnation = 1, ...rest } = changed
  const id = memberIdOf(TOKEN, name, incarnation)
  return { id, name, role: 'voter', peerUrls: [url(name)], hasStarted: true, ...rest }
}

const FOUNDERS = [member('n1'), member('n2'), member('n3')]
const NEW = member('n4', { role: 'learner', hasStarted: false })

function cluster(changed: Partial<FoundCluster> = {}): FoundCluster {
  return { clusterId: CLUSTER_ID, epoch: 9, members: [...FOUNDERS, NEW], ...changed }
}

function join(
  answers: readonly FoundCluster[],
  { name = 'n4', names = ['n1', 'n2', 'n3', 'n4'], token = TOKEN, peerUrl = '' } = {},
): JoinPlan {
  const configured: ConfiguredStart = {
    name,
    token,
    advertisePeerUrls: [peerUrl === '' ? url(name) : peerUrl],
    initialCluster: names.map((one) => ({ name: one, peerUrls: [url(one)] })),
    initialClusterState: 'existing',
  }
  return planJoin(configured, answers, '/data')
}

function refusal(plan: JoinPlan): string {
  return plan.type === 'refuse' ? `${plan.error.code}: ${plan.error.message}` : plan.type
}

test('a member that was added starts under its id, after a majority was asked', () => {
  const plan = join([cluster()])
  expect(plan).toMatchObject({
    type: 'start',
    identity: {
      clusterId: CLUSTER_ID,
      memberId: NEW.id,
      name: 'n4',
      incarnation: 1,
      token: TOKEN,
      initialCluster: '',
    },
    members: [],
    asks: 'aMajority',
  })
  const { peers, voters } = plan as Extract<JoinPlan, { type: 'start' }>
  expect(peers.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3'])
  expect(voters.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3'])
})

test('a member that replaces a lost disk under its name and address takes the incarnation it was added with', () => {
  const next = member('n3', { role: 'learner', hasStarted: false, incarnation: 4 })
  const plan = join([cluster({ members: [...FOUNDERS, next] })], {
    name: 'n3',
    names: ['n1', 'n2', 'n3'],
  })
  expect(plan).toMatchObject({ type: 'start', identity: { memberId: next.id, incarnation: 4 } })
})

test('of several answers the newest counts', () => {
  const old = cluster({ epoch: 3, members: FOUNDERS })
  expect(join([old, cluster(), old]).type).toBe('start')
  expect(refusal(join([old]))).toMatch(/^CONFIG_INVALID/)
})

describe('is refused', () => {
  test.each<[string, JoinPlan, string]>([
    [
      'when no peer answers',
      join([]),
      'PEER_UNREACHABLE: cannot fetch cluster info from peer urls: could not retrieve cluster information from ' +
        'the given URLs',
    ],
    [
      'when the peers are of two clusters',
      join([cluster(), cluster({ clusterId: 'd'.repeat(16) })]),
      'CLUSTER_MISMATCH: the peers belong to different clusters',
    ],
    [
      'when it was not added',
      join([cluster({ members: FOUNDERS })]),
      'CONFIG_INVALID: error validating peerURLs n1=http://n1:2380,n2=http://n2:2380,n3=http://n3:2380: n4 has not been added: raftbase member add n4',
    ],
    [
      'when the list has a member too few',
      join([cluster()], { names: ['n1', 'n2', 'n4'] }),
      'CONFIG_INVALID: error validating peerURLs n1=http://n1:2380,n2=http://n2:2380,n3=http://n3:2380,n4=http://n4:2380: member count is unequal',
    ],
    [
      'when the list has a member under another URL',
      join([
        cluster({
          members: [member('n1', { peerUrls: ['http://x:1'] }), ...FOUNDERS.slice(1), NEW],
        }),
      ]),
      'CONFIG_INVALID: error validating peerURLs n1=http://x:1,n2=http://n2:2380,n3=http://n3:2380,n4=http://n4:2380: PeerURLs: no match found for existing member (n1, http://n1:2380)',
    ],
    [
      'when it advertises other URLs than it was added with',
      join([cluster()], { peerUrl: 'http://elsewhere:1' }),
      'CONFIG_INVALID: error validating peerURLs n1=http://n1:2380,n2=http://n2:2380,n3=http://n3:2380,n4=http://n4:2380: this member advertises http://elsewhere:1, it was added under other URLs',
    ],
    [
      'when the token is not that of the cluster',
      join([cluster()], { token: 'other' }),
      'CONFIG_INVALID: the member that was added has an id of another cluster token',
    ],
    [
      'when the cluster knows it as a voter',
      join([cluster()], { name: 'n2' }),
      `AWAITING_REPLACEMENT: member ${FOUNDERS[1]!.id} has already been bootstrapped: ` +
        'the data directory is blank, but the cluster knows n2 as a member; it has to be replaced ' +
        'under a new id',
    ],
    [
      'when it has started before: it has lost its disk',
      join([cluster({ members: [...FOUNDERS, { ...NEW, hasStarted: true }] })]),
      `AWAITING_REPLACEMENT: member ${NEW.id} has already been bootstrapped: ` +
        'the data directory is blank, but the cluster knows n4 as a member; it has to be replaced ' +
        'under a new id',
    ],
  ])('%s', (_when, plan, said) => {
    expect(refusal(plan)).toBe(said)
  })
})
