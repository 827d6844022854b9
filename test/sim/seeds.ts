// seeds.txt: the seeds that found a bug, each with what it found. They are run for ever.

import { readFileSync } from 'node:fs'

export interface KnownSeed {
  readonly seed: number
  readonly found: string
}

export function knownSeeds(): readonly KnownSeed[] {
  const text = readFileSync(new URL('seeds.txt', import.meta.url), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [seed, ...found] = line.split(/\s+/)
      return { seed: Number(seed), found: found.join(' ') }
    })
}
