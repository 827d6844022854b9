// The boundaries of the code base hold, and each rule that says so is shown to fail on a small
// example. The rules themselves are in support/architecture/: boundaries.ts is the table, rules.ts
// what is checked.

import { describe, expect, test } from 'vitest'
import {
  findDeadLinks,
  findForeignMentions,
  findIndexProblems,
} from './support/architecture/documents.ts'
import {
  listFiles,
  readDocuments,
  readSources,
  readText,
} from './support/architecture/repository.ts'
import { FIXTURES } from './support/architecture/fixtures.ts'
import { RULES } from './support/architecture/rules.ts'
import { scanSource } from './support/architecture/scan.ts'

const FILES = listFiles()
const SOURCES = readSources(FILES)

describe('the repository', () => {
  test('has sources to check', () => {
    expect(SOURCES.length).toBeGreaterThan(10)
  })

  test.each(RULES)('$name', ({ check }) => {
    expect(check(SOURCES)).toEqual([])
  })

  test('no file mentions a path of one machine or a package registry', () => {
    expect(findForeignMentions(readDocuments(FILES))).toEqual([])
  })

  test('every relative link in a document leads to a file', () => {
    expect(findDeadLinks(readDocuments(FILES), FILES)).toEqual([])
  })

  test('every decision is in the index of decisions, and nothing else is', () => {
    const decisions = FILES.filter((path) => path.startsWith('docs/adr/')).map((path) =>
      path.slice(9),
    )
    expect(findIndexProblems(readText('docs/adr/README.md'), decisions)).toEqual([])
  })
})

describe('the rules', () => {
  test.each(FIXTURES)('"$rule …" on $shows', ({ rule, files, violation }) => {
    const { check } = RULES.find(({ name }) => name.startsWith(rule))!
    const found = check(Object.entries(files).map(([path, text]) => scanSource(path, text)))
    const missing = violation.filter((part) => !found.join('\n').includes(part))
    const count = violation.length === 0 ? 0 : 1
    expect({ found, count: found.length, missing }).toEqual({ found, count, missing: [] })
  })

  test('each is shown to fail by at least one example', () => {
    const shown = FIXTURES.filter(({ violation }) => violation.length > 0)
    const unshown = RULES.filter(({ name }) => !shown.some(({ rule }) => name.startsWith(rule)))
    expect(unshown.map(({ name }) => name)).toEqual([])
  })

  test('a machine path and a registry host are found, an image path and a project page are not', () => {
    const path = ['', 'work', 'main'].join('/')
    const host = ['https:/', 'registry.example.org'].join('/')
    const text = `one\n${path} and ${host}\nHOME=/home/nonroot see https://raft.github.io/ and a/work/b\n`
    expect(findForeignMentions([{ path: 'README.md', text }])).toEqual([
      `README.md:2: '${path}' is a path of one machine`,
      `README.md:2: '${host}' is a package registry or mirror`,
    ])
  })

  test('a decision left out of the index, a dead link and a number used twice are found', () => {
    const index = '- [one](0001-one.md)\n- [gone](0009-gone.md)\n'
    const files = ['README.md', '0001-one.md', '0002-two.md', '0002-also-two.md']
    expect(findIndexProblems(index, files)).toEqual([
      '0002-also-two.md is not in the index',
      '0002-two.md is not in the index',
      'the index links 0009-gone.md, which does not exist',
      'number 0002 is used twice',
    ])
  })

  test('a link to nowhere is found, one to a file, a folder or another site is not', () => {
    const text =
      '[a](b.md) [c](../lib/) [d](https://e.f/g) [h](#here) [i](../README.md#top) [j](k.md)'
    expect(
      findDeadLinks([{ path: 'docs/a.md', text }], ['docs/b.md', 'lib/a.ts', 'README.md']),
    ).toEqual(['docs/a.md links k.md, which does not exist'])
  })
})

describe('the scanner', () => {
  test('tells imports of types from imports of values', () => {
    const { imports } = scanSource(
      'lib/a.ts',
      [
        "import type { A, B } from './a.ts'",
        "import { type C, D as E } from './b.ts'",
        "import { type F } from './c.ts'",
        'import {\n  G,\n  H,\n} from "./d.ts"',
        "import * as all from './e.ts'",
        "import './f.ts'",
        "const g = await import('./g.ts')",
        "export { I } from './h.ts'",
        "const text = \"import { no } from './never.ts'\" // import './never.ts'",
      ].join('\n'),
    )
    expect(
      imports.map(({ specifier, typeOnly, names, line }) => [
        specifier,
        typeOnly,
        names.join(),
        line,
      ]),
    ).toEqual([
      ['./a.ts', true, 'A,B', 1],
      ['./b.ts', false, 'C,D', 2],
      ['./c.ts', true, 'F', 3],
      ['./d.ts', false, 'G,H', 4],
      ['./e.ts', false, '*', 8],
      ['./f.ts', false, '', 9],
      ['./g.ts', false, '*', 10],
      ['./h.ts', false, 'I', 11],
    ])
  })

  test('keeps every line where it is', () => {
    const text = 'const a = /[/]\\//g // b\n/* c\nd */ const e = `f\n${g / 2}` + "\\"" / 3\n'
    const { code } = scanSource('lib/a.ts', text)
    expect(code).toBe('const a = /     /g     \n    \n     const e = ` \n${g / 2}` + "  " / 3\n')
  })
})
