// Whether an object has what we want of it: the comparison that decides if something is written again.

import { describe, expect, test } from 'vitest'
import { canonicalJson, fingerprint, includes } from '../../../operator/src/api/canonical.ts'
import { bytesOf, millisecondsOf } from '../../../operator/src/api/quantity.ts'

describe('an object has what is wanted', () => {
  test.each<[string, unknown, unknown]>([
    ['with fields beside it', { a: 1, b: 2 }, { a: 1 }],
    ['with defaults inside of list items', [{ name: 'x', p: 1, q: 2 }], [{ name: 'x', p: 1 }]],
    ['with list items in another order', [{ name: 'y' }, { name: 'x' }], [{ name: 'x' }]],
    [
      'with a quantity in other words',
      { cpu: '1', memory: '1Gi' },
      { cpu: '1000m', memory: '1024Mi' },
    ],
    ['with a quantity that was a number', { cpu: '2' }, { cpu: 2 }],
    ['when nothing is wanted of a field', { a: 1 }, { b: undefined }],
  ])('%s', (_what, live, desired) => {
    expect(includes(live, desired)).toBe(true)
  })
})

describe('an object lacks what is wanted', () => {
  test.each<[string, unknown, unknown]>([
    ['with another value', { a: 1 }, { a: 2 }],
    ['with a text that only looks alike', { a: 'x1' }, { a: 'x2' }],
    ['without a field', {}, { a: 1 }],
    ['without an item', [{ name: 'x' }], [{ name: 'x' }, { name: 'y' }]],
    ['with a shorter list of texts', ['a'], ['a', 'b']],
    ['with another order of arguments', ['a', 'b'], ['b', 'a']],
    ['with another quantity', { cpu: '1' }, { cpu: '1001m' }],
    ['with a switch the other way', { on: true }, { on: false }],
    ['with a list where an object is wanted', [], { a: 1 }],
  ])('%s', (_what, live, desired) => {
    expect(includes(live, desired)).toBe(false)
  })
})

test('objects are told apart by content, not by the order of their fields', () => {
  expect(canonicalJson({ b: [1, { d: 1, c: 2 }], a: undefined })).toBe('{"b":[1,{"c":2,"d":1}]}')
  expect(fingerprint({ a: 1, b: 2 })).toBe(fingerprint({ b: 2, a: 1 }))
  const prints = Array.from({ length: 2000 }, (_, count) => fingerprint({ count }))
  expect(new Set(prints).size).toBe(2000)
  expect(prints.every((print) => /^[0-9a-f]{16}$/.test(print))).toBe(true)
})

test.each([
  ['1Gi', 1073741824],
  ['1.5Mi', 1572864],
  ['500m', 1],
  ['1e3', 1000],
  ['2k', 2000],
  [17, 17],
  ['much', undefined],
])('%s is %s bytes', (quantity, bytes) => {
  expect(bytesOf(quantity)).toBe(bytes)
})

test.each([
  ['100ms', 100],
  ['2s', 2000],
  ['1m', undefined],
  ['1.5s', undefined],
])('%s is %s milliseconds', (duration, milliseconds) => {
  expect(millisecondsOf(duration)).toBe(milliseconds)
})
