// The limit on descriptors, and what it leaves for the connections of clients (faults.md F45).

import { expect, test } from 'vitest'
import { descriptorsMax, parseDescriptorsMax } from '../../lib/descriptors.ts'
import { clientConnectionsMax } from '../../member/src/limits.ts'

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             95977                95977                processes
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
`

test('the limit in force is the soft one', () => {
  expect(parseDescriptorsMax(LIMITS)).toBe(1024)
  expect(parseDescriptorsMax(LIMITS.replace('1024  ', 'unlimited'))).toBe(undefined)
  expect(parseDescriptorsMax('')).toBe(undefined)
})

test.runIf(process.platform === 'linux')('this process knows its own', () => {
  expect(descriptorsMax()).toBeGreaterThan(16)
})

test.each([
  [undefined, 1, Number.POSITIVE_INFINITY],
  [1_048_576, 2, 524_240],
  [1024, 2, 464],
  [160, 2, 32],
  [64, 1, 8],
])('of %s descriptors, clients of each of %i listeners get %i', (descriptors, listeners, most) => {
  expect(clientConnectionsMax(descriptors, listeners)).toBe(most)
})
