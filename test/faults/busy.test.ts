// A cluster that is busy in every turn of its event loop keeps its leader: time passes for the core under load as well
// (faults.md F43). Three whole members in one process, on the real disk, with the transport in memory.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock, systemTimers } from '../../lib/clock.ts'
import { createLogger } from '../../lib/logger.ts'
import { randomId, systemPrng } from '../../lib/prng.ts'
import { openDataDirectory } from '../../member/src/node/data-directory.ts'
import { identityOf } from '../../member/src/node/identity.ts'
import { Member } from '../../member/src/node/member.ts'
import { nodeSettings } from '../../member/src/node/settings.ts'
import { DiskFileSystem } from '../../member/src/wal/disk.ts'
import { MemoryNetwork } from '../support/memory-transport.ts'
import { eventually } from '../support/process-cluster.ts'

const MEMBERS = [1, 2, 3].map((n) => ({ name: `n${n}`, peerUrls: [`http://127.0.0.1:${n}`] }))
const VALUE = new Uint8Array(256)
const PUTS = 60_000
const IN_FLIGHT = 2048

async function startMember(name: string, network: MemoryNetwork, root: string): Promise<Member> {
  const identity = identityOf({ token: 'busy', name, members: MEMBERS })
  const fs = new DiskFileSystem()
  const path = join(root, name)
  const member = await Member.open({
    directory: await openDataDirectory({ fs, path, identity, isNewCluster: true }),
    initialMembers: MEMBERS,
    attributes: { peerUrls: [], clientUrls: [], apiUrls: [], version: '' },
    settings: nodeSettings({
      heartbeatMs: 50,
      electionMs: 500,
      requestBytesMax: 1_572_864,
      snapshotLogBytes: 64 * 1024 * 1024,
      quotaBytes: Number.POSITIVE_INFINITY,
    }),
    fs,
    transport: network.transport(identity.memberId),
    clock: systemClock,
    timers: systemTimers,
    prng: systemPrng(),
    log: createLogger({ level: 'silent' }),
    origin: randomId(),
    onFailure: (error) => {
      throw error
    },
  })
  await member.start()
  return member
}

test('a leader under load for many election timeouts stays the leader and applies each put once (F43)', async () => {
  const root = await mkdtemp(join(tmpdir(), 'raftbase-busy-'))
  const network = new MemoryNetwork({
    schedule: (deliver) => void setImmediate(deliver),
    nowMs: () => systemClock.monotonicMs(),
    encoded: true,
  })
  const members = await Promise.all(MEMBERS.map(({ name }) => startMember(name, network, root)))
  const leader = await eventually('a leader', () =>
    members.find((member) => member.status().role === 'leader' && member.isReady()),
  )
  const { term, revision } = leader.status()
  const startMs = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < PUTS) {
      const key = new TextEncoder().encode(`key-${next++ % 1000}`)
      await leader.put({ key, value: VALUE }, { timeoutMs: 30_000 })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  console.log(
    `F43: busy for ${Math.round(performance.now() - startMs)} ms, election timeout 500 ms`,
  )
  expect(leader.status().term).toBe(term)
  expect(leader.status().revision).toBe(revision + PUTS)
  for (const member of members) await member.stop(100)
  await rm(root, { recursive: true, force: true })
}, 60_000)
