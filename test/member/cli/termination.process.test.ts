// The line that a process leaves behind when it is refused, before anything was started.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../../member/raftbase.js', import.meta.url))

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
    detail: 'address is already in use',
    details: { field: 'api-addr', host: '127.0.0.1', port, reason: 'EADDRINUSE' },
  })
})

test('that cannot be written is said in the log, and changes nothing else', () => {
  const ended = run('-termination-log=/nonexistent/end', '-heartbeat-interval=0')
  expect(ended.status).toBe(1)
  expect(ended.stderr).toContain('termination message not written')
  expect(ended.stderr).toContain('configuration refused')
})
