// What the chart brings for Prometheus and Grafana: rules and panels ask for metrics that exist, and every alert says what it
// is about and where docs/alerts.md says what to do.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'

const ROOT = join(import.meta.dirname, '../..')
const FILES = join(ROOT, 'charts/raftbase-operator/files')

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
  readonly targets: readonly { readonly expr: string }[]
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: unknown }[]
  }
}

function text(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8')
}

const RULES = (
  parse(text(FILES, 'alerts.yaml')) as readonly { readonly rules: readonly Rule[] }[]
).flatMap(({ rules }) => rules)
const DASHBOARDS = ['cluster', 'fleet'].map(
  (name) => JSON.parse(text(FILES, 'dashboards', `${name}.json`)) as Dashboard,
)
/** By name: whether it is a histogram. */
const METRICS = new Map(
  [...text(ROOT, 'docs/metrics.md').matchAll(/^\| `([a-z_]+)` \| (\w+) \|/gm)].map((match) => [
    match[1]!,
    match[2] === 'histogram',
  ]),
)
/** Names in an expression that no metric has. */
function unknownIn(expr: string): string[] {
  const names = expr.match(/\b(?:raftbase_[a-z_]+|process_[a-z_]+|kubelet_[a-z_]+)\b/g) ?? []
  return names.filter((name) => {
    if (name === 'raftbase_cluster') return false
    const base = name.replace(/_bucket$/, '')
    const isHistogram = METRICS.get(base)
    return isHistogram === undefined || (name === base) === isHistogram
  })
}

function isBalanced(expr: string): boolean {
  const closing: string[] = []
  for (const character of expr.replaceAll(/"[^"]*"/g, '')) {
    const at = '({['.indexOf(character)
    if (at >= 0) closing.push(')}]'[at]!)
    else if (')}]'.includes(character) && closing.pop() !== character) return false
  }
  return closing.length === 0
}

test('the check of names finds what does not exist, and a histogram without its buckets', () => {
  expect(METRICS.size).toBeGreaterThan(50)
  expect(unknownIn('rate(raftbase_rest_request_total[5m])')).toEqual([
    'raftbase_rest_request_total',
  ])
  expect(unknownIn('raftbase_wal_flush_seconds')).toEqual(['raftbase_wal_flush_seconds'])
  expect(unknownIn('rate(raftbase_wal_flush_seconds_bucket[5m])')).toEqual([])
  expect([isBalanced('a(b{c="("})'), isBalanced('a(b{c))')]).toEqual([true, false])
})

describe('every alert', () => {
  test.each(RULES)('$alert asks for what exists, and says what it means', (rule) => {
    expect(unknownIn(rule.expr)).toEqual([])
    expect(isBalanced(rule.expr)).toBe(true)
    expect(rule.for).toMatch(/^\d+[sm]$/)
    expect(['critical', 'warning']).toContain(rule.labels['severity'])
    expect(rule.annotations['summary']).toMatch(/\S+ \S+/)
    expect(rule.annotations['description']).toMatch(/\.$/)
    expect(rule.annotations['runbook_url']).toBe(`docs/alerts.md#${rule.alert.toLowerCase()}`)
  })

  test('has its section in docs/alerts.md, and each section its alert', () => {
    const headings = [...text(ROOT, 'docs/alerts.md').matchAll(/^## (Raftbase\w+)$/gm)]
    expect(headings.map((match) => match[1]!).toSorted()).toEqual(
      RULES.map(({ alert }) => alert).toSorted(),
    )
  })
})

describe.each(DASHBOARDS)('the dashboard $title', ({ panels, templating }) => {
  test('asks for what exists, with variables that it has', () => {
    const known = new Set([...templating.list.map(({ name }) => name), '__rate_interval'])
    for (const { expr } of panels.flatMap(({ targets }) => targets)) {
      expect(unknownIn(expr)).toEqual([])
      expect(isBalanced(expr)).toBe(true)
      const used = [...expr.matchAll(/\$(\w+)/g)].map((match) => match[1]!)
      expect(used.filter((name) => !known.has(name))).toEqual([])
    }
  })

  test('has panels that lie side by side, each with an id of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
  })
})
