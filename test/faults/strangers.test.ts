// What comes from outside the cluster: garbage on every port, more connections than there are descriptors, a wall clock that
// jumps (faults.md F41, F45, F48).

import { spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { SeededPrng } from '../../lib/prng.ts'
import { eventually } from '../support/process-cluster.ts'
import { sleep } from './support/duration.ts'
import { FaultRun } from './support/fault-run.ts'

vi.setConfig({ testTimeout: 240_000 })

const MIB = 1024 * 1024
/** Few, so that a test runs out of them. */
const DESCRIPTORS = 160

function randomBytes(prng: SeededPrng, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => prng.next(256)))
}

/** What a program that is no client of ours, or one that means harm, may send. */
function hostileBytes(prng: SeededPrng): { readonly what: string; readonly bytes: Buffer }[] {
  const upgrade =
    'GET /raftbase/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raftbase-peer/1\r\n'
  const huge = Buffer.alloc(4)
  huge.writeUInt32BE(0xffff_fff0)
  return [
    { what: 'noise', bytes: randomBytes(prng, 4096) },
    { what: 'a TLS greeting', bytes: Buffer.from('160301020001000001fc0303', 'hex') },
    {
      what: 'half a request',
      bytes: Buffer.from('PUT /v1/kv/x HTTP/1.1\r\nContent-Length: 100\r\n\r\nab'),
    },
    {
      what: 'a length that lies',
      bytes: Buffer.from('PUT /v1/kv/x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n'),
    },
    {
      what: 'a header without end',
      bytes: Buffer.from(`GET / HTTP/1.1\r\nX: ${'a'.repeat(100_000)}`),
    },
    { what: 'an upgrade by nobody', bytes: Buffer.from(`${upgrade}\r\n`) },
    {
      what: 'an upgrade with noise behind',
      bytes: Buffer.concat([Buffer.from(`${upgrade}\r\n`), randomBytes(prng, 2000)]),
    },
    { what: 'a frame of four gigabytes', bytes: Buffer.concat([huge, randomBytes(prng, 100)]) },
    {
      what: 'HTTP/2 in the clear',
      bytes: Buffer.from(
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0000\u0004\u0000\u0000\u0000\u0000\u0000',
      ),
    },
  ]
}

/** Sends the bytes and half-closes; resolves with whether the other side has closed too. */
function isClosed(port: number, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const timer = setTimeout(() => {
      socket.destroy()
      resolve(false)
    }, 15_000)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(true)
    })
    socket.resume()
    socket.end(bytes)
  })
}

test('garbage on any port closes the connection and changes nothing (F41)', async () => {
  await FaultRun.scenario('F41', { members: 3 }, async (run) => {
    const leader = await run.leader(run.members)
    const { term, residentBytes } = await run.status(leader)
    await run.loaded()
    const prng = new SeededPrng(41)
    const open: string[] = []
    let count = 0
    for (let round = 0; round < 5; round++) {
      const attempts = [leader.clientPort, leader.peerPort, leader.apiPort].flatMap((port) =>
        hostileBytes(prng).map(async ({ what, bytes }) => {
          count++
          if (!(await isClosed(port, bytes))) open.push(`${what} on ${port}`)
        }),
      )
      await Promise.all(attempts)
    }
    const grownMiB = ((await run.status(leader)).residentBytes - residentBytes) / MIB
    run.note('hostile connections', `${count}, memory grew by ${Math.round(grownMiB)} MiB`)
    run.note('ELEC', run.watch.changesAfter(term))
    expect(open, 'connections that stayed open').toEqual([])
    expect(grownMiB).toBeLessThan(100)
    expect(run.watch.changesAfter(term)).toBe(0)
  })
})

const probe = spawnSync('prlimit', ['--version'], { encoding: 'utf8' })
if (probe.status !== 0) console.log('skipped, F45: prlimit of util-linux is not here')

test.skipIf(probe.status !== 0)(
  'clients that take every descriptor leave the peers working (F45)',
  async () => {
    const launcher = ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`]
    await FaultRun.scenario('F45', { members: 3, launcher }, async (run) => {
      const leader = await run.leader(run.members)
      const { term } = await run.status(leader)
      run.avoided.add(leader)
      await run.loaded()
      const fromMs = performance.now()
      const sockets: Socket[] = []
      let refused = 0
      for (let i = 0; i < 400; i++) {
        const socket = connect({ port: leader.apiPort, host: '127.0.0.1' })
        socket.on('error', () => undefined)
        socket.on('close', () => refused++)
        socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        sockets.push(socket)
      }
      await sleep(4000)
      run.note('connections', `400 asked for, ${refused} closed by the member`)
      // Peers must be able to come back just now, one after the other.
      for (const other of run.others(leader)) {
        expect(run.links.reset(leader.name, other.name)).toBeGreaterThan(0)
        await sleep(1500)
        const { peers } = await run.status(other)
        expect(peers.find(({ name }) => name === leader.name)?.connected).toBe(true)
      }
      await run.acknowledges(100)
      expect(refused, 'connections refused').toBeGreaterThan(100)
      const gap = run.load.gap(fromMs)
      run.note('ELEC', run.watch.changesAfter(term))
      run.meets('GAP', 2200, gap)
      for (const socket of sockets) socket.destroy()
      await eventually('the member answers again', async () =>
        (await fetch(`${leader.api}/healthz`).catch(() => undefined))?.ok === true
          ? true
          : undefined,
      )
      run.avoided.clear()
      await run.acknowledges(50)
      expect(run.watch.changesAfter(term)).toBe(0)
    })
  },
)

test('a wall clock that jumps an hour on every member changes nothing (F48)', async () => {
  const preload = fileURLToPath(new URL('support/moved-clock.ts', import.meta.url))
  const environment = { NODE_OPTIONS: `--import=${preload}` }
  await FaultRun.scenario('F48', { members: 3, environment }, async (run) => {
    const leader = await run.leader(run.members)
    const { term } = await run.status(leader)
    await run.loaded()
    const fromMs = performance.now()
    const hours = [1, -1, 0]
    for (let round = 0; round < 3; round++) {
      for (const [i, member] of run.members.entries()) {
        const from = member.output.length
        member.child!.send({ wallOffsetMs: 3_600_000 * hours[(round + i) % 3]! })
        await eventually(`the clock of ${member.name} moves`, () =>
          member.output.slice(from).includes('wall clock moved') ? true : undefined,
        )
        await run.acknowledges(30)
      }
    }
    const gap = run.load.gap(fromMs)
    run.note('ELEC', run.watch.changesAfter(term))
    expect(run.meets('GAP', 1000, gap)).toBe(true)
    expect(run.watch.changesAfter(term)).toBe(0)
    expect(run.load.withOutcome('failed', fromMs)).toEqual([])
  })
})
