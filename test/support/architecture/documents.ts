// Rules about files that are not sources: what no tracked file may mention, and documents that list
// what exists.

import { dirname, join } from 'node:path/posix'

/** A text file of the repository. */
export interface Document {
  readonly path: string
  readonly text: string
}

/** Paths of somebody's machine, and hosts that packages and modules were fetched from. */
const FOREIGN: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  {
    what: 'a path of one machine',
    pattern:
      /(?<![\w.~$})])\/(?:work|root|Users|var\/lib\/kube-lab|home\/(?!nonroot\b|node\b)\w+)\/[\w.-]*/g,
  },
  {
    what: 'a package registry or mirror',
    pattern:
      /https?:\/\/[\w.:@-]*(?:registry|npmjs|goproxy|proxy\.golang|artifactory|nexus|mirror|pypi)[\w.:-]*/gi,
  },
]

/** Machine paths and registry hosts in any of `documents`. */
export function findForeignMentions(documents: readonly Document[]): string[] {
  const violations: string[] = []
  for (const { path, text } of documents) {
    for (const { what, pattern } of FOREIGN) {
      for (const match of text.matchAll(pattern)) {
        const line = text.slice(0, match.index).split('\n').length
        violations.push(`${path}:${line}: '${match[0]}' is ${what}`)
      }
    }
  }
  return violations
}

/**
 * What is wrong with an index of decisions: files it leaves out, links that lead nowhere, numbers
 * used twice.
 */
export function findIndexProblems(index: string, files: readonly string[]): string[] {
  const decisions = files.filter((name) => name !== 'README.md').toSorted()
  const linked = [...index.matchAll(/\]\((?:\.\/)?([\w.-]+\.md)\)/g)].map((match) => match[1]!)
  const numbers = decisions.map((name) => name.slice(0, 4))
  return [
    ...decisions
      .filter((name) => !/^\d{4}-[a-z0-9-]+\.md$/.test(name))
      .map((name) => `${name} is not named NNNN-title.md`),
    ...decisions
      .filter((name) => !linked.includes(name))
      .map((name) => `${name} is not in the index`),
    ...linked
      .filter((name) => !decisions.includes(name))
      .map((name) => `the index links ${name}, which does not exist`),
    ...numbers
      .filter((number, i) => numbers.indexOf(number) !== i)
      .map((number) => `number ${number} is used twice`),
  ]
}

/** Relative links in Markdown that lead to no file, given every path of the repository. */
export function findDeadLinks(documents: readonly Document[], files: readonly string[]): string[] {
  const known = new Set(files)
  for (const file of files) {
    for (let at = file.lastIndexOf('/'); at > 0; at = file.lastIndexOf('/', at - 1)) {
      known.add(file.slice(0, at))
    }
  }
  const violations: string[] = []
  for (const { path, text } of documents) {
    if (!path.endsWith('.md')) continue
    for (const match of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const link = match[1]!
      if (/^[a-z]+:/.test(link)) continue
      const target = join(dirname(path), link).replace(/\/$/, '')
      if (!known.has(target)) violations.push(`${path} links ${link}, which does not exist`)
    }
  }
  return violations
}
