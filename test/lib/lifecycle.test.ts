// How a process of ours starts, stops and ends: in processes of their own, because signals and exit codes are the subject.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { Lifecycle } from '../../lib/lifecycle.ts'
import { createLogger } from '../../lib/logger.ts'

interface Ended {
  readonly code: number | null
  readonly lines: readonly Record<string, unknown>[]
}

/** A process whose `start` is the given code; resolves once it has said "up" (or ended). */
async function startProcess(start: string, stopTimeoutMs = 20_000) {
  const lib = new URL('../../lib/', import.meta.url)
  const program = `
    import { systemTimers } from '${new URL('clock.ts', lib).href}'
    import { RaftbaseError } from '${new URL('errors.ts', lib).href}'
    import { runProcess } from '${new URL('lifecycle.ts', lib).href}'
    import { createLogger } from '${new URL('logger.ts', lib).href}'
    const log = createLogger({ level: 'info' })
    const never = new Promise(() => setInterval(() => {}, 1000))
    const up = (running) => { console.log('up'); return { failed: never, ...running } }
    process.exit(await runProcess({
      log, timers: systemTimers, stopTimeoutMs: ${stopTimeoutMs},
      isIntendedEnd: (error) => error.code === 'MEMBER_REMOVED',
      start: async () => { ${start} },
    }))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program])
  onTestFinished(() => void child.kill('SIGKILL'))
  const lines: Record<string, unknown>[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(JSON.parse(line) as Record<string, unknown>)
  })
  const ended = once(child, 'close').then(
    ([code]): Ended => ({ code: code as number | null, lines }),
  )
  await Promise.race([once(child.stdout, 'data'), ended])
  return { child, ended }
}

const messages = ({ lines }: Ended) => lines.map((line) => line['msg'])

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', (signal) => {
  test('stops in order and ends with 0, without an alarming line', async () => {
    const { child, ended } = await startProcess(
      `return up({ stop: async () => { log.info('closing') } })`,
    )
    child.kill(signal)
    const end = await ended
    expect({ code: end.code, messages: messages(end) }).toEqual({
      code: 0,
      messages: ['stopping', 'closing', 'stopped'],
    })
    expect(end.lines.map((line) => line['level'])).toEqual(['info', 'info', 'info'])
  })
})

test('a signal repeated at once is the same signal: npx passes Ctrl-C on', async () => {
  const { child, ended } = await startProcess(
    `return up({ stop: () => new Promise((resolve) => {
      process.kill(process.pid, 'SIGINT'); setTimeout(resolve, 50) }) })`,
  )
  child.kill('SIGINT')
  expect((await ended).code).toBe(0)
})

test('a second signal ends the process at once', async () => {
  const { child, ended } = await startProcess(
    `return up({ stop: () => { setTimeout(() => process.kill(process.pid, 'SIGTERM'), 600); return never } })`,
  )
  child.kill('SIGTERM')
  expect((await ended).code).toBe(128 + 15)
})

test('a stop that hangs is given up', async () => {
  const { child, ended } = await startProcess(`return up({ stop: () => never })`, 50)
  child.kill('SIGTERM')
  const end = await ended
  expect({ code: end.code, last: messages(end).at(-1) }).toEqual({
    code: 1,
    last: 'stop took too long',
  })
})

describe('a disk that hangs', () => {
  /** Nobody ever writes into it: opening it holds a thread for good, which an exit would wait for. */
  const HANGS = `(await import('node:fs')).open(fifo, 'r', () => undefined)`
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-lifecycle-'))
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  afterAll(() => rmSync(directory, { recursive: true }))

  test('does not keep the process from ending at a second signal', {
    timeout: 10_000,
  }, async () => {
    const { child, ended } = await startProcess(
      `const fifo = ${JSON.stringify(fifo)}; ${HANGS}
       return up({ stop: () => { setTimeout(() => process.kill(process.pid, 'SIGTERM'), 600); return never } })`,
    )
    child.kill('SIGTERM')
    expect(messages(await ended).at(-1)).toBe('second signal: ending at once')
    expect(child.signalCode).toBe('SIGKILL')
  })

  test('does not keep the process from ending when a stop is given up', {
    timeout: 10_000,
  }, async () => {
    const { child, ended } = await startProcess(
      `const fifo = ${JSON.stringify(fifo)}; ${HANGS}; return up({ stop: () => never })`,
      50,
    )
    child.kill('SIGTERM')
    expect(messages(await ended).at(-1)).toBe('stop took too long')
    expect(child.signalCode).toBe('SIGKILL')
  })
})

test('a signal during the start waits for the start and stops', async () => {
  const { child, ended } = await startProcess(
    `console.log('up'); await new Promise((resolve) => process.once('SIGTERM', resolve));
     return { failed: never, stop: async () => { log.info('closing') } }`,
  )
  child.kill('SIGTERM')
  const end = await ended
  expect({ code: end.code, messages: messages(end) }).toEqual({
    code: 0,
    messages: ['stopping', 'closing', 'stopped'],
  })
})

describe.each([
  [
    'a start that is refused',
    `throw new RaftbaseError('DATA_DIR_LOCKED', 'in use')`,
    'start failed',
  ],
  ['a failure of what runs', `return up({ failed: Promise.resolve(new Error('EIO')) })`, 'failed'],
  [
    'an error nobody caught',
    `setTimeout(() => { throw new Error('x') }); return up({})`,
    'uncaught error',
  ],
  [
    'a rejection nobody caught',
    `void Promise.reject(new Error('x')); return up({})`,
    'uncaught error',
  ],
])('%s', (_, start, message) => {
  test('is the last line, and the exit code is 1', async () => {
    const end = await (await startProcess(start)).ended
    expect(end.code).toBe(1)
    expect(end.lines.at(-1)).toMatchObject({ level: 'fatal', msg: message })
    expect(end.lines.at(-1)!['err']).toBeDefined()
  })
})

test('a member that was removed stops in order and ends with 0 (LOG-6)', async () => {
  const { ended } = await startProcess(
    `return up({ failed: Promise.resolve(new RaftbaseError('MEMBER_REMOVED', 'removed')),
       stop: async () => { log.info('closing') } })`,
  )
  const end = await ended
  expect({ code: end.code, messages: messages(end) }).toEqual({
    code: 0,
    messages: ['stopping', 'closing', 'stopped'],
  })
})

const quiet = () => new Lifecycle({ log: createLogger({ level: 'silent' }) })

const part = (name: string, seen: string[], close?: () => Promise<void>) => ({
  name,
  open: () => Promise.resolve(seen.push(`open ${name}`)),
  close: async () => {
    seen.push(`close ${name}`)
    await close?.()
  },
})

describe('parts', () => {
  test('stop in the reverse order of their start, each once', async () => {
    const [lifecycle, seen] = [quiet(), [] as string[]]
    for (const name of ['a', 'b', 'c']) await lifecycle.start(part(name, seen))
    await Promise.all([lifecycle.stop(), lifecycle.stop()])
    expect(seen.slice(3)).toEqual(['close c', 'close b', 'close a'])
  })

  test('that fail to stop do not keep the others; the first error is told', async () => {
    const [lifecycle, seen] = [quiet(), [] as string[]]
    await lifecycle.start(part('a', seen))
    await lifecycle.start(part('b', seen, () => Promise.reject(new Error('b'))))
    await expect(lifecycle.stop()).rejects.toThrow('b')
    expect(seen).toContain('close a')
  })

  test('that open while the others stop are closed again', async () => {
    const [lifecycle, seen] = [quiet(), [] as string[]]
    const opening = Promise.withResolvers<number>()
    const started = lifecycle.start({ ...part('late', seen), open: () => opening.promise })
    await lifecycle.stop()
    opening.resolve(1)
    await expect(started).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
    expect(seen).toEqual(['close late'])
    await expect(lifecycle.start(part('later', seen))).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    })
  })
})
