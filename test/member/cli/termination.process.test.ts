// The line that a process leaves behind when it is refused, before anything was started.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePorts } from '../../support/process-cluster.ts'

const MAIN = fileURLToPath(new URL('../../../member/raftbase.js', import.meta.url))

/** As an import names it. */
function source(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href)
}

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftbase-end-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function run(...flags: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, ...flags], { encoding: 'utf8', timeout: 20_000 })
}

test('names every problem of a configuration that is refused', () => {
  const file = join(directory, 'end')
  const ended = run(`-termination-log=${file}`, '-heartbeat-interval=0', '-api-addr=nowhere')
  expect(ended.status).toBe(1)
  const message = JSON.parse(readFileSync(file, 'utf8')) as { code: string; detail: string }
  expect(message.code).toBe('CONFIG_INVALID')
  expect(message.detail).toContain('-heartbeat-interval')
  expect(message.detail).toContain('-api-addr')
})

test('names the address that is taken, with its details', async () => {
  const file = join(directory, 'end')
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const flags = [`-termination-log=${file}`, `-api-addr=127.0.0.1:${port}`]
  const ended = run(...flags, `-data-dir=${directory}/d`)
  taken.close()
  expect(ended.status).toBe(1)
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    code: 'ADDRESS_IN_USE',
    detail: `listen tcp 127.0.0.1:${port}: bind: address already in use`,
    details: { field: 'api-addr', host: '127.0.0.1', port, reason: 'EADDRINUSE' },
  })
})

test('that cannot be written is said in the log, and changes nothing else', () => {
  const ended = run('-termination-log=/nonexistent/end', '-heartbeat-interval=0')
  expect(ended.status).toBe(1)
  expect(ended.stderr).toContain('termination message not written')
  expect(ended.stderr).toContain('configuration refused')
})

test('a flush that does not return is named, and does not keep the process from ending (F26, F33)', async () => {
  const file = join(directory, 'end')
  const timing = ['-heartbeat-interval=10', '-election-timeout=50']
  const [client, peer, api] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
  const flags = [...timing, `-termination-log=${file}`, `-data-dir=${directory}/d`]
  const at = [`-client-url=http://${client}`, `-peer-url=http://${peer}`, `-api-addr=${api}`]
  const child = spawn(process.execPath, [MAIN, ...flags, ...at], {
    env: { ...process.env, RAFTBASE_FAILPOINTS: 'walBeforeWrite=sleep(60000)' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect([code, signal]).toEqual([null, 'SIGKILL'])
  expect(stderr).toContain('a flush did not return')
  const message = JSON.parse(readFileSync(file, 'utf8')) as { code: string }
  expect(message.code).toBe('DISK_FAILED')
})

test('the end does not wait for what the pool of threads has under way, as an exit does', () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  // Nobody ever writes into it: opening it holds a thread for good.
  const ending = (end: string) => {
    const program = `
      import { open } from 'node:fs'
      import { endAtOnce } from ${source('../../../lib/end-at-once.ts')}
      open(${JSON.stringify(fifo)}, 'r', () => undefined)
      setTimeout(() => { ${end} }, 50)`
    const args = ['--input-type=module', '--eval', program]
    return spawnSync(process.execPath, args, { timeout: 3000, killSignal: 'SIGTERM' }).signal
  }
  expect(ending('process.exit(1)')).toBe('SIGTERM')
  expect(ending('endAtOnce()')).toBe('SIGKILL')
})

test('a process that fails, or throws what nobody caught, ends with its code, and ends while a disk hangs', () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  const ending = (isHung: boolean, start: string) => {
    const program = `
      import { open } from 'node:fs'
      import { systemTimers } from ${source('../../../lib/clock.ts')}
      import { runProcess } from ${source('../../../lib/lifecycle.ts')}
      import { createLogger } from ${source('../../../lib/logger.ts')}
      if (${isHung}) open(${JSON.stringify(fifo)}, 'r', () => undefined)
      const start = async () => { ${start} }
      const log = createLogger({ level: 'fatal' })
      process.exit(await runProcess({ log, timers: systemTimers, start, stopTimeoutMs: 1000 }))`
    const args = ['--input-type=module', '--eval', program]
    const { status, signal } = spawnSync(process.execPath, args, {
      timeout: 10_000,
      killSignal: 'SIGTERM',
      stdio: 'ignore',
    })
    return status ?? signal
  }
  const failing = "return { stop: async () => {}, failed: Promise.resolve(new Error('x')) }"
  const refused = "throw new Error('x')"
  const uncaught = "setTimeout(() => { throw new Error('x') }, 20); return new Promise(() => {})"
  const ends = [failing, refused, uncaught]
  expect(ending(false, uncaught)).toBe(1)
  expect(ending(false, failing)).toBe(1)
  expect(ends.map((start) => ending(true, start))).toEqual(['SIGKILL', 'SIGKILL', 'SIGKILL'])
})
