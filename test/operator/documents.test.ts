// docs/operator.md says of every field, condition, reason, event and status what there is, neither more nor less.

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { CONDITION_REASONS } from '../../operator/src/api/conditions.ts'
import { EVENT_REASONS } from '../../operator/src/api/event-reasons.ts'
import { PHASES } from '../../operator/src/api/raft-cluster.ts'

type Schema = Readonly<{ properties?: Record<string, Schema> }>

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

const PAGE = read('docs/operator.md')

/** Cells of the rows of a section's tables. */
function rowsOf(heading: string): readonly (readonly string[])[] {
  const section = PAGE.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
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
      .flatMap(([event]) => wordsIn(event!))
    expect(documented.toSorted()).toEqual([...EVENT_REASONS].toSorted())
  })

  test('has each status', () => {
    const documented = rowsOf('Looking at it')
      .slice(1)
      .map(([status]) => status!)
    expect(documented).toEqual([...PHASES])
  })
})
