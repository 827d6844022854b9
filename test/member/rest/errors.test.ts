// Problem documents: every error code has one, says whether a write certainly did not happen, and leaks nothing.

import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES, RaftbaseError } from '../../../lib/errors.ts'
import { ProblemSchema } from '../../../member/src/rest/contract.ts'
import { isFault, problemAnswer } from '../../../member/src/rest/errors.ts'

function problem(error: unknown) {
  const answer = problemAnswer(error)
  return { ...answer, json: JSON.parse(String(answer.body)) as Record<string, unknown> }
}

describe('problem documents (RFC 9457)', () => {
  test.each(ERROR_CODES)(
    '%s is a document of the contract that points to its explanation',
    (code) => {
      const { status, headers, json } = problem(new RaftbaseError(code, 'what happened'))
      expect(Value.Errors(ProblemSchema, json)).toEqual([])
      expect(headers['content-type']).toBe('application/problem+json')
      expect(json).toMatchObject({
        status,
        code,
        type: `docs/errors.md#${code.toLowerCase()}`,
      })
    },
  )

  test.each(['NO_LEADER', 'TIMEOUT', 'OVERLOADED', 'SHUTTING_DOWN'] as const)(
    '%s is definite and worth another try (promise 4)',
    (code) => {
      const { status, headers, json } = problem(new RaftbaseError(code, 'not now'))
      expect([503, 504]).toContain(status)
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1)
      expect(json['outcome']).toBe('notApplied')
    },
  )

  test('everything that a write cannot rule out says unknown and is not called worth repeating (promise 4)', () => {
    // What MemberNode.put documents as definite, and what is refused before it is asked.
    const definite: readonly string[] = [
      'INVALID_ARGUMENT',
      'METHOD_NOT_ALLOWED',
      'REQUEST_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
      'ORIGIN_REFUSED',
      'NO_LEADER',
      'NOT_LEADER',
      'NOT_READY',
      'OVERLOADED',
      'TIMEOUT',
      'SHUTTING_DOWN',
      'NO_SPACE',
      'REVISION_COMPACTED',
      'REVISION_FUTURE',
      'MEMBERSHIP_CONFLICT',
      'MEMBERSHIP_UNSAFE',
      'LEVEL_UNSUPPORTED',
      'CERTIFICATE_REFUSED',
    ]
    const readsOnly: readonly string[] = ['NOT_FOUND', 'ROUTE_NOT_FOUND']
    for (const code of ERROR_CODES) {
      const { headers, json } = problem(new RaftbaseError(code, 'x'))
      const isUnknown = !definite.includes(code) && !readsOnly.includes(code)
      const expected = isUnknown ? 'unknown' : definite.includes(code) ? 'notApplied' : undefined
      expect([code, json['outcome']]).toEqual([code, expected])
      expect(isUnknown && 'retry-after' in headers).toBe(false)
    }
  })

  test('only whitelisted details of a plain type leave the process (X13)', () => {
    const details = {
      field: 'timeout',
      limitBytes: 3,
      leaderApiUrls: ['http://a'],
      leader: { toJSON: () => 'sneaky' },
      path: '/var/lib/raftbase',
      key: 'secret',
      code: 'FORGED',
      __proto__: { accepted: 'inherited' },
    }
    const { json } = problem(new RaftbaseError('INVALID_ARGUMENT', 'no', { details }))
    expect(json).toEqual({
      type: 'docs/errors.md#invalid_argument',
      title: 'Invalid argument',
      status: 400,
      detail: 'no',
      code: 'INVALID_ARGUMENT',
      outcome: 'notApplied',
      field: 'timeout',
      limitBytes: 3,
      leaderApiUrls: ['http://a'],
    })
  })

  test('a failure of the member tells neither its text nor its stack (X13)', () => {
    const failures = [
      new TypeError('cannot read /secret/path'),
      new RaftbaseError('DISK_FAILED', 'flush of /secret/path', { details: { field: '/secret' } }),
      new RaftbaseError('INTERNAL', '/secret'),
      'secret as a string',
      undefined,
    ]
    for (const failure of failures) {
      const { status, body } = problem(failure)
      expect(status).toBe(500)
      expect(String(body)).not.toContain('secret')
      expect(isFault(failure)).toBe(true)
    }
    expect(isFault(new RaftbaseError('TIMEOUT', 'x'))).toBe(false)
  })
})
