// What `npm ci` installs is fixed to the byte, on every platform (X15).

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface LockedPackage {
  readonly version?: string
  readonly integrity?: string
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
