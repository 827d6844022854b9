// What goes into the images: each takes the packages that its own sources import, and none that only the other one's do.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listFiles, readSources } from './support/architecture/repository.ts'

const ROOT = join(import.meta.dirname, '..')
const SOURCES = readSources(listFiles())
const PACKAGES = Object.keys(
  (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object })
    .dependencies,
)

/** Packages of package.json that any source below one of `roots` imports when it runs. */
function importedBelow(roots: readonly string[]): ReadonlySet<string> {
  const sources = SOURCES.filter(({ path }) => roots.some((root) => path.startsWith(root)))
  const specifiers = sources
    .flatMap(({ imports }) => imports)
    .filter(({ typeOnly }) => !typeOnly)
    .map(({ specifier }) => specifier)
  return new Set(
    PACKAGES.filter((name) => specifiers.some((s) => s === name || s.startsWith(`${name}/`))),
  )
}

function removedBy(dockerfile: string): readonly string[] {
  const command = /npm uninstall ([^\n]*?)(?: \\)?\n/.exec(dockerfile)?.[1]
  return (command ?? '').split(' ').filter((word) => word !== '' && !word.startsWith('--'))
}

describe.each([
  { image: 'member', roots: ['lib/', 'member/src/'], others: ['operator/src/'] },
  { image: 'operator', roots: ['lib/', 'operator/src/'], others: ['member/src/'] },
])('the image of the $image', ({ image, roots, others }) => {
  const dockerfile = readFileSync(join(ROOT, image, 'Dockerfile'), 'utf8')

  test('leaves out exactly what only the other one imports', () => {
    const own = importedBelow(roots)
    const foreign = [...importedBelow(others)].filter((name) => !own.has(name))
    expect(removedBy(dockerfile).toSorted()).toEqual(foreign.toSorted())
  })

  test('runs as a user without rights, from a base without a shell (X16)', () => {
    const final = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    expect(final).toMatch(/^\nFROM gcr\.io\/distroless\/nodejs24-debian12:nonroot\n/)
    expect(final).toContain('\nUSER 65532:65532\n')
    expect(final).not.toMatch(/\nRUN /)
  })
})

test('a package that nothing imports any more would be noticed', () => {
  const all = importedBelow(['lib/', 'member/src/', 'operator/src/'])
  expect(PACKAGES.filter((name) => !all.has(name))).toEqual([])
})
