// What somebody may write into a change of the membership who means no good (faults.md section 6): oversized, reserved
// names, paths, addresses that would make a member call somewhere else, and numbers at the edges. All of it is refused before
// anybody is asked; the edges that are allowed are asked as they are.

import { describe, expect, test } from 'vitest'
import { MEMBER_IDS } from '../../support/memory-member-node.ts'
import { testApp } from './support.ts'

const json = { 'content-type': 'application/json' }
const B = String(MEMBER_IDS[1])
const peerUrls = ['http://n4:2380']

async function post(body: string, url = '/cluster/members') {
  const { app, node } = testApp()
  const got = await app.inject({ method: 'POST', url, payload: body, headers: json })
  return { got, node }
}

describe('an addition is refused', () => {
  test.each<[string, unknown]>([
    ['nine addresses (X5)', { name: 'n4', peerUrls: Array.from({ length: 9 }, () => peerUrls[0]) }],
    ['a name of 64 characters (X5)', { name: 'n'.repeat(64), peerUrls }],
    ['a name that climbs (X8)', { name: '..', peerUrls }],
    ['a name that climbs further (X8)', { name: '../../etc/passwd', peerUrls }],
    ['an absolute name (X8)', { name: '/n4', peerUrls }],
    ['a name with a backslash (X8)', { name: 'a\\b', peerUrls }],
    ['a name with an end of line (X8)', { name: 'n4\n', peerUrls }],
    ['a name with a NUL (X8)', { name: 'n4\u0000', peerUrls }],
    ['a name that is an option (X8)', { name: '-rf', peerUrls }],
    ['a file (X9)', { name: 'n4', peerUrls: ['file:///etc/passwd'] }],
    ['another protocol (X9)', { name: 'n4', peerUrls: ['ftp://n4:21'] }],
    ['a script (X9)', { name: 'n4', peerUrls: ['javascript:alert(1)'] }],
    ['somebody to log in as (X9)', { name: 'n4', peerUrls: ['http://u:p@n4:2380'] }],
    ['a path (X9)', { name: 'n4', peerUrls: ['http://n4:2380/latest/meta-data'] }],
    ['a query (X9)', { name: 'n4', peerUrls: ['http://n4:2380?x=1'] }],
    ['a fragment (X9)', { name: 'n4', peerUrls: ['http://n4:2380#x'] }],
    ['a header of its own (X9)', { name: 'n4', peerUrls: ['http://n4:2380\r\nHost: x'] }],
    ['no port (X9)', { name: 'n4', peerUrls: ['http://n4'] }],
    ['a port that is none (X9)', { name: 'n4', peerUrls: ['http://n4:65536'] }],
    ['incarnation 2^53 (X20)', { name: 'n4', peerUrls, incarnation: 2 ** 53 }],
    ['incarnation -1 (X20)', { name: 'n4', peerUrls, incarnation: -1 }],
    ['incarnation 1.5 (X20)', { name: 'n4', peerUrls, incarnation: 1.5 }],
    ['incarnation in words (X20)', { name: 'n4', peerUrls, incarnation: '1' }],
    ['no object (X6)', [{ name: 'n4', peerUrls }]],
    ['nothing (X6)', null],
  ])('with %s', async (_what, body) => {
    const { got, node } = await post(JSON.stringify(body))
    expect([got.statusCode, got.json()]).toMatchObject([400, { code: 'INVALID_ARGUMENT' }])
    expect(node.asked).toEqual([])
  })

  test.each([
    [
      'a prototype (X7)',
      '{"name":"n4","peerUrls":["http://n4:2380"],"__proto__":{"incarnation":9}}',
    ],
    ['a constructor (X7)', '{"name":"n4","peerUrls":["http://n4:2380"],"constructor":{}}'],
    [
      'an infinite incarnation (X20)',
      '{"name":"n4","peerUrls":["http://n4:2380"],"incarnation":1e400}',
    ],
    [
      'the same twice, the second worse (X6)',
      '{"name":"n4","name":"../x","peerUrls":["http://n4:1"]}',
    ],
    ['no JSON (X6)', '{"name":"n4"'],
  ])('with %s', async (_what, body) => {
    const { got, node } = await post(body)
    expect([got.statusCode, got.json()]).toMatchObject([400, { code: 'INVALID_ARGUMENT' }])
    expect(node.asked).toEqual([])
    expect(({} as Record<string, unknown>)['incarnation']).toBeUndefined()
  })

  test('that is longer than a body of JSON may be (X5)', async () => {
    const { got, node } = await post(
      JSON.stringify({ name: 'n4', peerUrls, x: 'y'.repeat(20_000) }),
    )
    expect(got.statusCode).toBe(413)
    expect(node.asked).toEqual([])
  })
})

test.each([
  ['2^53 (X20)', '9007199254740992'],
  ['twenty digits (X20)', '1'.repeat(20)],
  ['a sign (X20)', '-1'],
  ['an exponent (X20)', '1e3'],
  ['a fraction (X20)', '1.0'],
  ['other digits (X20)', encodeURIComponent('١')],
  ['nothing (X20)', ''],
])('an epoch of %s is refused', async (_what, epoch) => {
  const { app, node } = testApp()
  const url = `/cluster/members/${B}?expectedEpoch=${epoch}`
  const got = await app.inject({ method: 'DELETE', url })
  expect([got.statusCode, got.json()]).toMatchObject([
    400,
    { code: 'INVALID_ARGUMENT', field: 'expectedEpoch' },
  ])
  expect(node.asked).toEqual([])
})

test.each([
  ['an id that climbs (X8)', '..%2f..%2fetc'],
  ['an id of 17 digits (X5)', '0'.repeat(17)],
  ['an id in capitals', 'ABCDEF0123456789'],
  ['an id with a NUL (X8)', '%00'],
])('%s is no member', async (_what, id) => {
  const { app, node } = testApp()
  const got = await app.inject({ method: 'DELETE', url: `/cluster/members/${id}` })
  expect([400, 404]).toContain(got.statusCode)
  expect(node.asked).toEqual([])
})

test('the largest incarnation, name and epoch that there may be are asked as they are (X20)', async () => {
  const { app, node } = testApp()
  const addition = { name: 'n'.repeat(63), peerUrls, incarnation: Number.MAX_SAFE_INTEGER }
  const got = await app.inject({
    method: 'POST',
    url: '/cluster/members?expectedEpoch=999999999999999',
    payload: JSON.stringify(addition),
    headers: json,
  })
  // Asked for another membership than it is: refused by the cluster, not by a rounding.
  expect(got.json()).toMatchObject({
    code: 'MEMBERSHIP_CONFLICT',
    expectedEpoch: 999_999_999_999_999,
  })
  const without = await app.inject({
    method: 'POST',
    url: '/cluster/members',
    payload: JSON.stringify(addition),
    headers: json,
  })
  expect(without.statusCode).toBe(200)
  expect(node.asked.at(-1)).toContain(String(Number.MAX_SAFE_INTEGER))
})
