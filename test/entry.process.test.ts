// The first instants of both images: a stop that arrives before anything is loaded is heard, and later ones are left to what runs.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ENTRIES = ['member', 'operator'].map((part) => ({
  part,
  entry: fileURLToPath(new URL(`../${part}/src/entry.ts`, import.meta.url)),
}))

/** Runs the entry with `main` in the place of everything it loads; sends `signal` once that has begun. */
async function runWith(
  entry: string,
  main: string,
  signal: NodeJS.Signals,
): Promise<number | null> {
  const hooks = `
    import { registerHooks } from 'node:module'
    registerHooks({
      load: (url, context, next) =>
        url.endsWith('/main.ts')
          ? { format: 'module', shortCircuit: true, source: ${JSON.stringify(main)} }
          : next(url, context),
    })`
  const preload = `data:text/javascript,${encodeURIComponent(hooks)}`
  const child = spawn(process.execPath, ['--import', preload, entry], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit') as Promise<[number | null]>
  await once(child.stdout, 'data')
  child.kill(signal)
  const [code] = await exited
  return code
}

const LOADING = `process.stdout.write('loading'); await new Promise((r) => setTimeout(r, 60_000))`
const RUNNING = `export async function main() {
  process.on('SIGTERM', () => process.exit(7))
  process.stdout.write('running')
  await new Promise((resolve) => setTimeout(resolve, 60_000))
}`

describe.each(ENTRIES)('the $part', ({ entry }) => {
  test.each([
    ['SIGTERM', 0],
    ['SIGINT', 130],
  ] as const)(
    '%s while the program is still being loaded ends it with %i',
    async (signal, code) => {
      expect(await runWith(entry, LOADING, signal)).toBe(code)
    },
  )

  test('a signal that something listens for is its own', async () => {
    expect(await runWith(entry, RUNNING, 'SIGTERM')).toBe(7)
  })

  test('nothing is loaded before the entry listens', () => {
    const source = readFileSync(entry, 'utf8')
    expect(source).not.toMatch(/^\s*(import|export)\b[^(]*$/m)
    expect(source.indexOf('process.on(')).toBeLessThan(source.indexOf('await import('))
  })
})
