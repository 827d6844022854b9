// What one put costs in time, as a client sees it: three real member processes on loopback and the real disk, REST, one
// request in flight on one connection. Beside it, in turns with the puts, what the disk alone takes to flush as many bytes.
// `node test/bench/rest.ts [puts]`

import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DiskFileSystem } from '../../member/src/wal/disk.ts'
import type { FileHandle } from '../../member/src/wal/file-system.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { quantile, report } from './support.ts'

const PUTS = Number(process.argv[2] ?? 2000)
const WARM_UP = 500
const ROUND = 100
const VALUE = Buffer.alloc(256, 120)
const FLUSH_BYTES = 512
const ROOM_BYTES = 4 * 1024 * 1024
const GOAL_MS = 2

const agent = new Agent({ keepAlive: true, maxSockets: 1 })

/** Milliseconds from the first byte sent to the last one received. Rejects unless the answer is 200. */
function put(api: string, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now()
    const url = `${api}/v1/kv/${key}`
    const headers = { 'content-length': VALUE.length }
    const sent = request(url, { method: 'PUT', agent, headers }, (response) => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startMs)
        else reject(new Error(`PUT ${url} was answered ${response.statusCode}`))
      })
    })
    sent.on('error', reject)
    sent.end(VALUE)
  })
}

async function flush(file: FileHandle, number: number): Promise<number> {
  const bytes = Buffer.alloc(FLUSH_BYTES, number)
  const startMs = performance.now()
  await file.writeAndFlush([bytes], (number * FLUSH_BYTES) % ROOM_BYTES)
  return performance.now() - startMs
}

function row(name: string, times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  const columns = [0.5, 0.9, 0.99, 0.999, 1].map((part) => quantile(sorted, part).toFixed(2))
  console.log(`| ${name} | ${columns.join(' | ')} |`)
  return quantile(sorted, 0.5)
}

const directory = await mkdtemp(join(tmpdir(), 'raftbase-bench-'))
const file = await new DiskFileSystem().open(join(directory, 'flushed'), 'create')
await file.writeAndFlush([Buffer.alloc(ROOM_BYTES)], 0)
const cluster = await ProcessCluster.create(3)
try {
  cluster.startAll()
  const leader = await cluster.agreedLeader()
  const follower = cluster.members.find((member) => member !== leader)!
  for (let i = 0; i < WARM_UP; i++) await put(i % 2 === 0 ? leader.api : follower.api, `warm-${i}`)
  const flushes: number[] = []
  const throughLeader: number[] = []
  const throughFollower: number[] = []
  for (let i = 0; i < PUTS; i += ROUND) {
    for (let j = i; j < i + ROUND; j++) throughLeader.push(await put(leader.api, `key-${j}`))
    for (let j = i; j < i + ROUND; j++) throughFollower.push(await put(follower.api, `key-${j}`))
    for (let j = i; j < i + ROUND; j++) flushes.push(await flush(file, j))
  }
  if ((await cluster.agreedLeader()) !== leader)
    console.log('the leader changed: these figures do not count')
  console.log('| one in flight, ms | p50 | p90 | p99 | p99.9 | max |')
  console.log('| --- | --- | --- | --- | --- | --- |')
  row(`flush of ${FLUSH_BYTES} B, disk alone`, flushes)
  const what = 'put of 256 B through REST, p50, one in flight'
  const value = row('put through REST, the leader', throughLeader)
  row('put through REST, a follower', throughFollower)
  report({ what, value, goal: GOAL_MS, bound: 'most', unit: 'ms', digits: 2 })
} finally {
  agent.destroy()
  await cluster.destroy()
  await file.close()
  await rm(directory, { recursive: true, force: true })
}
