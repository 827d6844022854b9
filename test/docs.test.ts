// The documents that list what the code has: every error code, every metric, neither more nor less.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { ERROR_CODES } from '../lib/errors.ts'
import { Registry } from '../lib/metrics.ts'
import { registerProcessMetrics } from '../lib/process-metrics.ts'
import { NodeMetrics } from '../member/src/metrics.ts'
import { OperatorMetrics, registerOperatorFigures } from '../operator/src/metrics.ts'
import { registerExpiry } from '../member/src/security.ts'
import { registerRestMetrics } from '../member/src/rest/metrics.ts'

const none = () => 0
const unread = (): never => {
  throw new Error('listed, not scraped')
}

const NO_ADMISSION = { running: 0, runningMax: 0, waiting: 0, refused: 0 }

/** Whoever registers metrics adds a line here; docs/metrics.md then has to list them. */
const REGISTRARS: readonly ((registry: Registry) => void)[] = [
  (registry) => registerProcessMetrics(registry, { version: '0', startedAtMs: 0 })(),
  (registry) => {
    new NodeMetrics(registry).observe({ status: unread, pendingCount: 0, admission: NO_ADMISSION })
  },
  (registry) => registerExpiry(registry, () => []),
  (registry) => {
    registerRestMetrics(registry, { inFlight: none, heldBodyBytes: none, openConnections: none })
  },
  (registry) => {
    new OperatorMetrics(registry, { clock: systemClock, version: '0' }).informer('Pod')
    registerOperatorFigures(registry, {
      isLeader: unread,
      queueDepth: unread,
      openStreams: unread,
      clusters: unread,
    })
  },
]

function read(path: string): string {
  return readFileSync(new URL(`../docs/${path}`, import.meta.url), 'utf8')
}

describe('docs/errors.md', () => {
  const sections = read('errors.md').split(/^### /m).slice(1)

  test('has a section for each error code, in the order of lib/errors.ts, and no other', () => {
    expect(sections.map((section) => section.split('\n')[0])).toEqual([...ERROR_CODES])
  })

  test('each section says in two sentences at least what happened and what to do', () => {
    const short = sections.filter((section) => section.split(/\.(?=\s)/).length < 3)
    expect(short).toEqual([])
  })
})

describe('docs/metrics.md', () => {
  const registry = new Registry()
  for (const register of REGISTRARS) register(registry)
  const rows = [...read('metrics.md').matchAll(/^\| `([a-z0-9_]+)` \| (\w+) \|/gm)]

  test('lists each metric with its type, and no other', () => {
    const documented = rows.map(([, name, type]) => `${name} ${type}`)
    const registered = registry.names.map((name) => `${name} ${registry.typeOf(name)}`)
    expect(documented.sort()).toEqual(registered)
  })
})
