// /cluster/members over a member in memory: what is asked of the cluster, and what is refused before.

import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { MembershipSchema } from '../../../member/src/rest/contract.ts'
import { MEMBER_IDS } from '../../support/memory-member-node.ts'
import { testApp } from './support.ts'

const json = { 'content-type': 'application/json' }
const [A, B, C] = MEMBER_IDS.map(String) as [string, string, string]
const added = { name: 'n4', peerUrls: ['http://n4:2380'] }

describe('GET /cluster/members', () => {
  test('tells who has a vote, who learns, and the epoch', async () => {
    const { app, node } = testApp()
    node.epoch = 5
    const got = (await app.inject({ url: '/cluster/members' })).json<Record<string, unknown>>()
    expect(Value.Errors(MembershipSchema, got)).toEqual([])
    expect(got['epoch']).toBe(5)
    expect((got['members'] as { role: string }[]).map(({ role }) => role)).toEqual([
      'voter',
      'voter',
      'learner',
    ])
    expect(node.asked).toEqual([])
  })
})

describe('changes', () => {
  test.each([
    [
      'POST',
      '/cluster/members',
      added,
      { type: 'add', name: 'n4', incarnation: 1, peerUrls: added.peerUrls },
    ],
    [
      'POST',
      '/cluster/members',
      { ...added, incarnation: 3 },
      { type: 'add', name: 'n4', incarnation: 3, peerUrls: added.peerUrls },
    ],
    ['DELETE', `/cluster/members/${B}`, undefined, { type: 'remove', id: B }],
    [
      'PATCH',
      `/cluster/members/${B}`,
      { peerUrls: ['http://10.0.0.9:2380/'] },
      { type: 'update', id: B, peerUrls: ['http://10.0.0.9:2380'] },
    ],
    ['POST', `/cluster/members/${C}/promote`, undefined, { type: 'promote', ids: [C] }],
    [
      'POST',
      `/cluster/members/${C}/promote`,
      { together: [A, C] },
      { type: 'promote', ids: [C, A] },
    ],
    [
      'POST',
      `/cluster/members/${B}/replace`,
      { by: C },
      { type: 'replace', removed: B, promoted: C },
    ],
  ] as const)('%s %s %j is asked of the cluster', async (method, url, body, asked) => {
    const { app, node } = testApp()
    const request = body === undefined ? {} : { payload: JSON.stringify(body), headers: json }
    const got = await app.inject({ method, url: `${url}?expectedEpoch=0&timeout=2s`, ...request })
    expect(got.statusCode).toBe(200)
    expect(Value.Errors(MembershipSchema, got.json())).toEqual([])
    expect(got.json()).toMatchObject({
      epoch: 7,
      ...(asked.type === 'add' ? { id: '00000000000000a4' } : {}),
    })
    expect(node.asked.map((text) => JSON.parse(text.slice('members '.length)) as object)).toEqual([
      asked,
    ])
    expect(node.lastOptions).toMatchObject({ timeoutMs: 2000, expectedEpoch: 0 })
  })

  test('for another membership than it is are refused with the epoch', async () => {
    const { app, node } = testApp()
    node.epoch = 12
    const got = await app.inject({ method: 'DELETE', url: `/cluster/members/${B}?expectedEpoch=3` })
    expect(got.statusCode).toBe(409)
    expect(got.json()).toMatchObject({
      code: 'MEMBERSHIP_CONFLICT',
      outcome: 'notApplied',
      epoch: 12,
      expectedEpoch: 3,
    })
  })

  test('asked of another member name the leader', async () => {
    const { app, node } = testApp()
    node.leader = MEMBER_IDS[1]
    const got = await app.inject({ method: 'DELETE', url: `/cluster/members/${B}` })
    expect([got.statusCode, got.json()]).toMatchObject([
      409,
      { code: 'NOT_LEADER', leaderName: 'n2', leaderApiUrls: ['http://127.0.0.1:8081'] },
    ])
  })

  test.each<[string, 'POST' | 'PATCH' | 'DELETE', string, object | undefined, string]>([
    ['no name', 'POST', '/cluster/members', { peerUrls: added.peerUrls }, 'name'],
    ['a name with a slash', 'POST', '/cluster/members', { ...added, name: 'a/b' }, 'name'],
    ['no URL', 'POST', '/cluster/members', { name: 'n4', peerUrls: [] }, 'peerUrls'],
    [
      'a URL of every address',
      'POST',
      '/cluster/members',
      { name: 'n4', peerUrls: ['http://0.0.0.0:1'] },
      'peerUrls',
    ],
    ['a number as a URL', 'POST', '/cluster/members', { name: 'n4', peerUrls: [1] }, 'peerUrls'],
    ['no URL to be reached at', 'PATCH', `/cluster/members/${B}`, {}, 'peerUrls'],
    ['another name', 'PATCH', `/cluster/members/${B}`, { name: 'x' }, 'name'],
    ['incarnation 0', 'POST', '/cluster/members', { ...added, incarnation: 0 }, 'incarnation'],
    ['a property too many', 'POST', '/cluster/members', { ...added, voter: true }, 'voter'],
    ['a name in place of an id', 'DELETE', '/cluster/members/n2', undefined, 'id'],
    ['nobody to take the place', 'POST', `/cluster/members/${B}/replace`, undefined, 'by'],
    ['names to promote', 'POST', `/cluster/members/${B}/promote`, { together: ['n3'] }, 'together'],
    [
      'an epoch in words',
      'DELETE',
      `/cluster/members/${B}?expectedEpoch=new`,
      undefined,
      'expectedEpoch',
    ],
  ])('with %s are refused and nobody is asked', async (_what, method, url, body, field) => {
    const { app, node } = testApp()
    const request = body === undefined ? {} : { payload: JSON.stringify(body), headers: json }
    const got = await app.inject({ method, url, ...request })
    expect([got.statusCode, got.json()]).toMatchObject([400, { code: 'INVALID_ARGUMENT', field }])
    expect(node.asked).toEqual([])
  })

  test('of a page of another site are refused, and other paths do not exist', async () => {
    const { app, node } = testApp()
    const foreign = await app.inject({
      method: 'DELETE',
      url: `/cluster/members/${B}`,
      headers: { origin: 'http://elsewhere' },
    })
    expect(foreign.statusCode).toBe(403)
    for (const url of [
      `/cluster/members/${B}/demote`,
      `/cluster/members/${B}/promote/x`,
      '/cluster/members/',
    ]) {
      expect((await app.inject({ method: 'POST', url })).statusCode).toBe(404)
    }
    expect(
      (await app.inject({ method: 'PUT', url: `/cluster/members/${B}` })).headers['allow'],
    ).toBe('DELETE, PATCH')
    expect(node.asked).toEqual([])
  })
})
