// Kubernetes quantities and our durations as numbers. Both have passed the schema; text that is neither is a bug of the
// schema, said by `undefined`. Pure.

import type { Quantity } from './raft-cluster.ts'

const SCALES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** `1Gi` is 1073741824; a fraction of a byte counts as a whole one. */
export function bytesOf(quantity: Quantity): number | undefined {
  const value = numberOf(quantity)
  return value === undefined ? undefined : Math.ceil(value)
}

/** `500m` is 0.5. */
export function numberOf(quantity: Quantity): number | undefined {
  if (typeof quantity === 'number') return quantity
  const match =
    /^([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(
      quantity,
    )
  if (match === null) return undefined
  const [, digits, exponent, suffix] = match
  if (exponent !== undefined) return Number(`${digits}${exponent}`)
  return Number(digits) * SCALES[suffix ?? '']!
}

/** `100ms` is 100, `1s` is 1000. */
export function millisecondsOf(duration: string): number | undefined {
  const match = /^([0-9]+)(ms|s)$/.exec(duration)
  if (match === null) return undefined
  return Number(match[1]) * (match[2] === 's' ? 1000 : 1)
}
