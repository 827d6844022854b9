// What `npm ci` installs is fixed to the byte, on every platform (X15).

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

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
