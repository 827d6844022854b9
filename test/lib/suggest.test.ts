// Suggestions for mistyped words.

import { describe, expect, test } from 'vitest'
import { editDistance, suggest } from '../../lib/suggest.ts'

/** The definition, without the table: exponential, so only for short words. */
function naiveDistance(a: string, b: string): number {
  if (a === '' || b === '') return a.length + b.length
  const swapped = a.length > 1 && a[0] === b[1] && a[1] === b[0]
  return Math.min(
    naiveDistance(a.slice(1), b) + 1,
    naiveDistance(a, b.slice(1)) + 1,
    naiveDistance(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
    swapped ? naiveDistance(a.slice(2), b.slice(2)) + 1 : Number.POSITIVE_INFINITY,
  )
}

test('the distance is that of the definition for every pair of words of up to four letters', () => {
  const words = ['']
  for (const word of words) if (word.length < 4) words.push(`${word}a`, `${word}b`)
  const pairs = words.flatMap((a) => words.map((b) => [a, b] as const))
  const wrong = pairs.filter(([a, b]) => editDistance(a, b) !== naiveDistance(a, b))
  expect(pairs).toHaveLength(31 * 31)
  expect(wrong).toEqual([])
})

describe('a mistyped flag', () => {
  const flags = ['name', 'data-dir', 'client-url', 'initial-cluster', 'initial-cluster-state']
  test.each([
    ['nmae', 'name'],
    ['datadir', 'data-dir'],
    ['cleint-url', 'client-url'],
    ['INITIAL-CLUSTER', 'initial-cluster'],
    ['initial-clusterstate', 'initial-cluster-state'],
    ['initial_cluster', 'initial-cluster'],
  ])('%s was meant to be %s', (word, meant) => {
    expect(suggest(word, flags)).toBe(meant)
  })

  test.each([['x'], ['verbose'], [''], ['a'.repeat(10_000)]])(
    'nothing is suggested for what resembles none (%#)',
    (word) => {
      expect(suggest(word, flags)).toBeUndefined()
    },
  )
})
