// docs/operator.md says of every field, condition, reason, event and status what there is, neither more nor less, and what a
// message points at is there.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { CONDITION_REASONS } from '../../operator/src/api/conditions.ts'
import { EVENT_REASONS } from '../../operator/src/api/event-reasons.ts'
import { GATES } from '../../operator/src/api/gates.ts'
import { pointerTo } from '../../operator/src/api/pointers.ts'
import { PHASES } from '../../operator/src/api/raft-cluster.ts'

type Schema = Readonly<{ properties?: Record<string, Schema> }>

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

const PAGE = read('docs/operator.md')

/** Cells of the rows of a section's tables. */
function rowsOf(heading: string, page = PAGE): readonly (readonly string[])[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  return section
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\| ?-+/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

function wordsIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)
}

function byLetters(left: string, right: string): number {
  return left.toLowerCase() < right.toLowerCase() ? -1 : 1
}

/** Paths of a schema that have no fields below them. */
function leaves(schema: Schema, path: readonly string[] = []): readonly string[] {
  const fields = Object.entries(schema.properties ?? {})
  if (fields.length === 0) return [path.join('.')]
  return fields.flatMap(([name, child]) => leaves(child, [...path, name]))
}

/** With the reasons of each in order. */
function sorted(
  record: Readonly<Record<string, readonly string[]>>,
): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(Object.entries(record).map(([name, list]) => [name, list.toSorted()]))
}

describe('docs/operator.md', () => {
  test('has each field of the spec', () => {
    const crd = parse(read('crds/raftclusters.yaml')) as {
      spec: { versions: { schema: { openAPIV3Schema: Schema } }[] }
    }
    const schema = crd.spec.versions[0]!.schema.openAPIV3Schema.properties!['spec']!
    const documented = rowsOf('Fields')
      .slice(1)
      .flatMap(([field]) => wordsIn(field!))
    expect(documented.toSorted()).toEqual(leaves(schema).toSorted())
  })

  test('has each condition with each of its reasons', () => {
    const documented: Record<string, string[]> = {}
    let type = ''
    for (const [condition, reasons] of rowsOf('Conditions').slice(1)) {
      type = wordsIn(condition!)[0] ?? type
      documented[type] = [...(documented[type] ?? []), ...wordsIn(reasons!)]
    }
    expect(sorted(documented)).toEqual(sorted(CONDITION_REASONS))
  })

  test('has each event', () => {
    const documented = rowsOf('Events')
      .slice(1)
      .flatMap(([, events]) => wordsIn(events!))
    expect(documented.toSorted()).toEqual([...EVENT_REASONS].toSorted())
  })

  test('has one paragraph for each reason, where its messages point, and none for another', () => {
    const reasons = new Set([...Object.values(CONDITION_REASONS).flat(), ...EVENT_REASONS])
    const headings = [...PAGE.matchAll(/^##+ (.+)$/gm)].map(([, heading]) => heading!)
    // As a page of Markdown makes anchors of its headings.
    const anchors = headings.map((heading) => heading.toLowerCase().replaceAll(' ', '-'))
    expect(new Set(anchors).size).toBe(anchors.length)
    const missing = [...reasons].filter((reason) => {
      const [file, anchor] = pointerTo(reason, 'docs').split('#')
      return file !== 'docs/operator.md' || !anchors.includes(anchor!)
    })
    expect(missing).toEqual([])
    const own = PAGE.split(/^## Reasons$/m)[1]!
      .split(/^## /m)[0]!
      .split(/^### /m)
      .slice(1)
    const names = own.map((paragraph) => paragraph.split('\n')[0]!)
    expect(names.filter((name) => !reasons.has(name as 'Healthy'))).toEqual([])
    // In the order in which somebody looks for them, each with a sentence at least.
    expect(names).toEqual(names.toSorted(byLetters))
    expect(own.filter((paragraph) => !/\n\n[A-Z`].*\.\n/s.test(paragraph))).toEqual([])
  })

  test('each word of its tables leads to the paragraph of that name', () => {
    const cells = [...rowsOf('Conditions'), ...rowsOf('Events')].slice(1).map((row) => row[1]!)
    const links = cells.flatMap((cell) => [...cell.matchAll(/\[`(\w+)`\]\(#([a-z]+)\)/g)])
    expect(links.length).toBeGreaterThan(100)
    expect(links.filter(([, word, anchor]) => word!.toLowerCase() !== anchor)).toEqual([])
    const bare = cells.flatMap((cell) => wordsIn(cell.replaceAll(/\[`\w+`\]\(#\w+\)/g, '')))
    expect(bare).toEqual([])
  })

  test('has each status', () => {
    const documented = rowsOf('Looking at it')
      .slice(1)
      .map(([status]) => status!)
    expect(documented).toEqual([...PHASES])
  })
})

test('docs/metrics.md has each gate', () => {
  const documented = rowsOf('Gates', read('docs/metrics.md'))
    .slice(1)
    .flatMap(([gate]) => wordsIn(gate!))
  expect(documented).toEqual([...GATES])
})
