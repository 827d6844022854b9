// The documents that list what the code has: every error code, every metric, neither more nor less; and the tests that prove
// a fault, each of which names its number.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { ERROR_CODES } from '../lib/errors.ts'
import { Registry } from '../lib/metrics.ts'
import { registerProcessMetrics } from '../lib/process-metrics.ts'
import { NodeMetrics } from '../member/src/metrics.ts'
import { ClusterCounts } from '../operator/src/cluster-counts.ts'
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
    new ClusterCounts(registry).denied('Quorum')
    registerOperatorFigures(registry, {
      isLeader: unread,
      queueDepth: unread,
      openStreams: unread,
      clusters: unread,
      wallMs: unread,
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

/** The text of the tests that docs/testing.md means by such a path; undefined when there are none. */
function testsAt(path: string): string | undefined {
  const root = new URL(path, import.meta.url)
  const texts = ['.test.ts', '.process.test.ts', '.prop.test.ts']
    .map((ending) => new URL(`${root.href}${ending}`))
    .filter((file) => existsSync(file))
  if (texts.length === 0 && existsSync(root)) {
    for (const name of readdirSync(root)) {
      if (name.endsWith('.test.ts')) texts.push(new URL(`${root.href}/${name}`))
    }
  }
  if (texts.length === 0) return undefined
  return texts.map((file) => readFileSync(file, 'utf8')).join('\n')
}

/** `faults/{a,b}`, and names without a folder, which are beside the one before them. */
function pathsOf(cell: string): string[] {
  const paths: string[] = []
  for (const [, quoted = ''] of cell.matchAll(/`([a-z0-9/.{},-]+)`/g)) {
    const [, start, names = ''] = /^(.*)\{(.*)\}$/.exec(quoted) ?? []
    const own = start === undefined ? [quoted] : names.split(',').map((name) => start + name)
    for (const path of own) {
      const isBeside = !path.includes('/')
      paths.push(isBeside ? `${dirname(paths.at(-1) ?? '')}/${path}` : path)
    }
  }
  return paths
}

describe('docs/testing.md', () => {
  const table = read('testing.md').split('## Faults: proven and owed')[1]!.split('\nOwed')[0]!
  const rows = [...table.matchAll(/^\| (F\d+(?:, F\d+)*) [^|]*\| (.*) \|$/gm)].map((row) => ({
    numbers: row[1]!.split(', '),
    paths: pathsOf(row[2]!),
  }))

  test('names tests for every fault that is not owed', () => {
    const listed = rows.flatMap(({ numbers }) => numbers)
    const owed: readonly string[] =
      /\nOwed[^]*/.exec(read('testing.md'))?.[0].match(/\bF\d+\b/g) ?? []
    const all = Array.from({ length: 59 }, (_, i) => `F${i + 1}`)
    expect(all.filter((number) => !listed.includes(number) && !owed.includes(number))).toEqual([])
    expect(rows.filter(({ paths }) => paths.length === 0)).toEqual([])
  })

  test('a test that is said to prove a fault carries its number', () => {
    const wrong = rows.flatMap(({ numbers, paths }) =>
      paths.flatMap((path) =>
        numbers
          .filter((number) => !new RegExp(`\\b${number}\\b`).test(testsAt(path) ?? ''))
          .map((number) => `${number}: ${path}`),
      ),
    )
    expect(wrong).toEqual([])
  })
})
