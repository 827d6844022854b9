// `raftbase dev` with real members: what it prints, what it leaves behind, and that nothing outlives it.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../support/process-cluster.ts'

const LAUNCHER = join(import.meta.dirname, '../../../member/raftbase.js')
const START_MS = 20_000

let directory = ''
let devs: Dev[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftbase-dev-'))
  devs = []
})
afterEach(async () => {
  for (const dev of devs) dev.child.kill('SIGKILL')
  await Promise.all(devs.map((dev) => dev.ended))
  // The members of a dev that was killed are on their way out.
  await Promise.all(devs.map((dev) => dev.allGone()))
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

class Dev {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  readonly portOffset: number
  readonly #members: number
  stdout = ''
  stderr = ''

  constructor(members: number, portOffset: number, flags: readonly string[] = []) {
    this.portOffset = portOffset
    this.#members = members
    const argv = [
      'dev',
      `--members=${members}`,
      `--data-dir=${directory}`,
      `--port-offset=${portOffset}`,
      ...flags,
    ]
    this.child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.ended = new Promise((resolve) => this.child.once('close', resolve))
    devs.push(this)
  }

  /** The rows of each table printed so far, by member name → role. */
  get tables(): Record<string, string>[] {
    const tables = this.stdout.split(/^NAME .*\n/m).slice(1)
    return tables.map((table) =>
      Object.fromEntries(
        [...table.matchAll(/^(n\d) +(\w+) /gm)].map(([, name, role]) => [name, role]),
      ),
    )
  }

  table(number: number): Promise<Record<string, string>> {
    const explain = () => `${this.stdout}\n${this.stderr}`
    return eventually(`table ${number}`, () => this.tables[number - 1], {
      timeoutMs: START_MS,
      explain,
    })
  }

  leader(number: number): string {
    const [name] = Object.entries(this.tables[number - 1]!).find(([, role]) => role === 'leader')!
    return name
  }

  async isAnswering(name: string): Promise<boolean> {
    const port = 8080 + this.portOffset + Number(name.slice(1)) - 1
    return new Promise((resolve) => {
      get({ host: '127.0.0.1', port, path: '/healthz', agent: false }, (response) => {
        response.resume()
        resolve(true)
      }).once('error', () => resolve(false))
    })
  }

  async allGone(): Promise<true> {
    const names = Array.from({ length: this.#members }, (_, i) => `n${i + 1}`)
    return eventually(
      'every member gone',
      async () => {
        const answers = await Promise.all(names.map((name) => this.isAnswering(name)))
        return answers.includes(true) ? undefined : true
      },
      { timeoutMs: START_MS, everyMs: 50 },
    )
  }
}

/** On ports that nobody uses: where some are taken it says so, and others are tried. */
async function startDev(members: number, flags: readonly string[] = []): Promise<Dev> {
  for (let attempt = 1; ; attempt++) {
    // Below the range from which systems take the ports of outgoing connections.
    const dev = new Dev(members, 1000 + Math.floor(Math.random() * 20_000), flags)
    const isUp = await Promise.race([dev.table(1).then(() => true), dev.ended.then(() => false)])
    if (isUp) return dev
    if (attempt === 5 || !dev.stderr.includes('taken')) throw new Error(dev.stderr)
  }
}

async function run(...argv: string[]) {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** Kills one of its children, told by its command line. */
async function killMember(dev: Dev, name: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const search = spawn('pgrep', ['-P', String(dev.child.pid), '-f', `name=${name} `])
  let output = ''
  search.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  search.once('close', () => resolve(output.trim()))
  const pid = Number(await promise)
  expect(pid).toBeGreaterThan(1)
  process.kill(pid, 'SIGKILL')
  await eventually(`${name} noticed`, () =>
    dev.stderr.includes(`${name}  ended`) ? true : undefined,
  )
}

test('three members: one table with a leader, nothing else, and a clean end on SIGINT', async () => {
  const dev = await startDev(3)
  const roles = Object.values(await dev.table(1)).toSorted()
  expect(roles).toEqual(['follower', 'follower', 'leader'])
  dev.child.kill('SIGINT')
  expect(await dev.ended).toBe(0)
  expect(dev.stderr).toBe('')
  expect(dev.stdout.split('\n').slice(4)).toEqual(['stopped 3 members', ''])
  await dev.allGone()
})

test('with --tls everything is encrypted, and it shows how to connect', async () => {
  const dev = await startDev(3, ['--tls'])
  const lines = await eventually('how to connect', () => /^curl .*$/m.exec(dev.stdout)?.[0])
  const [, ca, cert, key, url] =
    /^curl --cacert (\S+) --cert (\S+) --key (\S+) (https:\S+)\/cluster\/nodes$/.exec(lines)!
  const answer = await run(
    'status',
    `--endpoints=${url}`,
    `--cacert=${ca}`,
    `--cert=${cert}`,
    `--key=${key}`,
  )
  expect(answer.stdout.match(/ https:/g)).toHaveLength(9)
  expect(answer.stdout.match(/ ok /g)).toHaveLength(3)
  const refused = await run('status', `--endpoints=${url}`, `--cacert=${ca}`)
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toContain('a client certificate is required and none was shown')
  dev.child.kill('SIGINT')
  expect(await dev.ended).toBe(0)
})

test('when the leader is killed it says so, and shows the new one in a new table', async () => {
  const dev = await startDev(3)
  const first = dev.leader(1)
  await killMember(dev, first)
  const table = await dev.table(2)
  expect(table[first]).toBe('down')
  expect(Object.values(table).toSorted()).toEqual(['down', 'follower', 'leader'])
  expect(dev.stderr).toContain(`${first}  ended by itself (signal SIGKILL)`)
  dev.child.kill('SIGTERM')
  expect(await dev.ended).toBe(0)
  expect(dev.stdout).toContain('stopped 2 members')
})

test('a second one on the same ports is refused with one line, and the first goes on', async () => {
  const dev = await startDev(1)
  const second = new Dev(1, dev.portOffset)
  expect(await second.ended).toBe(1)
  expect(second.stderr).toMatch(/^raftbase dev: these ports are taken: .*\n$/)
  expect(second.stdout).toBe('')
  expect(await dev.isAnswering('n1')).toBe(true)
})

describe('one member', () => {
  test('finds its data again at the second start', async () => {
    const first = await startDev(1)
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    const second = new Dev(1, first.portOffset)
    expect(await second.table(1)).toEqual({ n1: 'leader' })
  })

  test('does not outlive a parent that is killed', async () => {
    const dev = await startDev(1)
    dev.child.kill('SIGKILL')
    await dev.ended
    expect(await dev.allGone()).toBe(true)
  })

  test('that is killed is the end of all', async () => {
    const dev = await startDev(1)
    await killMember(dev, 'n1')
    expect(await dev.ended).toBe(1)
    expect(dev.stderr).toBe(
      'n1  ended by itself (signal SIGKILL)\nraftbase dev: no member is left\n',
    )
  })
})
