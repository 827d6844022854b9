// What `npm ci` installs is fixed to the byte, on every platform (X15).

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

interface LockedPackage {
  readonly version?: string
  readonly integrity?: string
  readonly hasInstallScript?: boolean
  readonly dev?: boolean
}

const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

test('every package in the lock file carries its checksum, those of other platforms included (X15)', () => {
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '')
  expect(packages.length).toBeGreaterThan(50)
  const unchecked = packages.filter(
    ([, { integrity }]) => integrity?.startsWith('sha512-') !== true,
  )
  expect(unchecked.map(([path]) => path)).toEqual([])
})

test('no package that runs with ours has a script that is run when it is installed (X15)', () => {
  const packages = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev)
  expect(packages.length).toBeGreaterThan(5)
  const scripted = packages.filter(([, { hasInstallScript }]) => hasInstallScript === true)
  expect(scripted.map(([path]) => path)).toEqual([])
})

test('what our own packages name is exact, so that the lock file is all there is (X15)', () => {
  const path = new URL('../package.json', import.meta.url)
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Readonly<
    Record<'dependencies' | 'devDependencies', Readonly<Record<string, string>>>
  >
  const versions = [manifest.dependencies, manifest.devDependencies].flatMap(Object.values)
  expect(versions.length).toBeGreaterThan(5)
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

/** Packages of nothing but types, of which nothing runs; npm lists one of several versions. */
const TYPES_ONLY = /^pkg:npm\/(@types\/|undici-types@)/

function running(packages: readonly string[]): readonly string[] {
  return [...new Set(packages)].filter((one) => !TYPES_ONLY.test(one)).toSorted()
}

interface Component {
  readonly purl: string
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[]
}

test('the bill of materials lists what runs with ours, with the checksums of the lock file, and nothing else (X15)', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const dist = mkdtempSync(join(tmpdir(), 'raftbase-sbom-'))
  onTestFinished(() => rmSync(dist, { recursive: true }))
  execFileSync('make', ['--no-print-directory', 'sbom', `DIST=${dist}`], { cwd: root })
  const written = readFileSync(join(dist, 'raftbase.cdx.json'), 'utf8')
  const { components } = JSON.parse(written) as { readonly components: readonly Component[] }
  const listed = components.map(({ purl, hashes = [] }) => {
    const checksums = hashes.map(
      ({ alg, content }) => `${alg} ${Buffer.from(content, 'hex').toString('base64')}`,
    )
    return `${decodeURIComponent(purl)} ${checksums.join(' ')}`
  })
  const locked = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, { version, integrity }]) => {
      const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
      return `pkg:npm/${name}@${version} ${integrity?.replace('sha512-', 'SHA-512 ')}`
    })
  expect(running(listed).length).toBeGreaterThan(50)
  expect(running(listed)).toEqual(running(locked))
})
