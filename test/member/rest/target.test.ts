// Request targets, percent-decoding, query parameters and numbers, over every byte and at every edge.

import { describe, expect, test } from 'vitest'
import { RaftbaseError } from '../../../lib/errors.ts'
import {
  parseDuration,
  parsePositiveInteger,
  parseQuery,
  parseTarget,
  percentDecode,
} from '../../../member/src/rest/target.ts'

function refusal(action: () => unknown): RaftbaseError {
  try {
    action()
  } catch (error) {
    if (error instanceof RaftbaseError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('request target', () => {
  test.each([
    ['/a/b', '/a/b', undefined],
    ['/a?', '/a', ''],
    ['/a?b=c?d', '/a', 'b=c?d'],
    ['http://host:80/a?b', '/a', 'b'],
    ['HTTP://host', '/', undefined],
    ['http://host?b', '/', 'b'],
    ['/http://host/a', '/http://host/a', undefined],
    ['//a', '//a', undefined],
    ['*', '*', undefined],
  ])('%s is the path %s and the query %s (RFC 9112 §3.2)', (target, path, query) => {
    expect(parseTarget(target)).toEqual({ path, query })
  })
})

describe('percent-decoding', () => {
  test('every byte decodes from both spellings of its hex digits, one at a time', () => {
    for (let byte = 0; byte < 256; byte++) {
      const hex = byte.toString(16).padStart(2, '0')
      for (const text of [`%${hex}`, `%${hex.toUpperCase()}`]) {
        expect([...percentDecode(text, 'key')]).toEqual([byte])
      }
    }
  })

  test.each(['%', '%2', 'a%', '%zz', '%2g', '%g2', '%%20', '%u1234', '% 2', '%+1', '\u0100'])(
    '%j is refused and names the field',
    (text) => {
      const { code, details } = refusal(() => percentDecode(text, 'key'))
      expect(code).toBe('INVALID_ARGUMENT')
      expect(details['field']).toBe('key')
    },
  )

  test('every byte but the percent sign stands for itself', () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => byte !== 0x25)
    expect([...percentDecode(String.fromCharCode(...bytes), 'key')]).toEqual(bytes)
  })

  test('a plus sign is a plus sign', () => {
    expect(Buffer.from(percentDecode('a+b', 'key')).toString()).toBe('a+b')
  })
})

describe('query', () => {
  test('parameters are decoded; empty parts and an empty query are nothing', () => {
    expect([...parseQuery('&a=1&&b=%C3%BC', ['a', 'b'])]).toEqual([
      ['a', '1'],
      ['b', 'ü'],
    ])
    expect(parseQuery(undefined, []).size).toBe(0)
    expect(parseQuery('', []).size).toBe(0)
    expect(parseQuery('a', ['a']).get('a')).toBe('')
  })

  test.each([
    ['c=1', 'c'],
    ['a=1&a=1', 'a'],
    ['a=%', 'a'],
    ['%=1', 'query'],
    ['__proto__=1', '__proto__'],
    ['constructor', 'constructor'],
  ])('%s is refused and names %s (X6, X7)', (query, field) => {
    const { code, details } = refusal(() => parseQuery(query, ['a', 'b']))
    expect(code).toBe('INVALID_ARGUMENT')
    expect(details['field']).toBe(field)
  })
})

describe('numbers', () => {
  test.each([
    ['1ms', 1],
    ['500ms', 500],
    ['5s', 5000],
    ['1m', 60_000],
    ['60000ms', 60_000],
  ])('the duration %s is %d ms', (text, durationMs) => {
    expect(parseDuration(text, { field: 'timeout', minMs: 1, maxMs: 60_000 })).toBe(durationMs)
  })

  test.each([
    '',
    '5',
    '0ms',
    '0s',
    '60001ms',
    '61s',
    '2m',
    '-1s',
    '1.5s',
    '1e3ms',
    '5S',
    ' 5s',
    '9999999999s',
  ])('the duration %j is refused with the accepted range', (text) => {
    const { details } = refusal(() =>
      parseDuration(text, { field: 'timeout', minMs: 1, maxMs: 60_000 }),
    )
    expect(details['field']).toBe('timeout')
    expect(details['accepted']).toContain('from 1ms to 60000ms')
  })

  test('revisions go from 1 to 2^53-1 and no further (X20)', () => {
    expect(parsePositiveInteger('1', 'revision')).toBe(1)
    expect(parsePositiveInteger('9007199254740991', 'revision')).toBe(Number.MAX_SAFE_INTEGER)
    for (const text of [
      '0',
      '-1',
      '',
      '1.0',
      '9007199254740992',
      '99999999999999999',
      '0x1',
      'NaN',
    ]) {
      expect(refusal(() => parsePositiveInteger(text, 'revision')).details['field']).toBe(
        'revision',
      )
    }
  })
})
