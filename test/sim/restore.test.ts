// A snapshot of a living cluster restored beside it, under the same names, token, addresses and so the same member ids
// (faults.md F54, promise 6): two clusters from then on, in one time, neither of which listens to the other.

import { expect, test, vi } from 'vitest'
import { restoreDirectory } from '../../member/src/node/restore.ts'
import { MemoryFileSystem } from '../support/memory-file-system.ts'
import { place } from '../support/snapshot-files.ts'
import { foundersOf, TOKEN } from './cluster.ts'
import type { SimMember } from './member.ts'
import { Scenario } from './scenario.ts'

vi.setConfig({ testTimeout: 60_000 })

const FILE = '/backups/a.snap'
const SEEDS = [1, 2, 3, 4, 5]

/** As a client of this member saves it, under load. */
async function saved(scenario: Scenario, via: SimMember): Promise<Uint8Array> {
  let file: Uint8Array | undefined
  const save = async (): Promise<void> => {
    const options = { timeoutMs: 3000 }
    const snapshot = await via.member!.exportSnapshot({ consistency: 'linearizable' }, options)
    const pieces: Uint8Array[] = []
    for await (const piece of snapshot.chunks()) pieces.push(piece)
    snapshot.release()
    file = Buffer.concat(pieces)
  }
  void save()
  await scenario.until('a snapshot', () => file !== undefined, 3000)
  return file!
}

/** A disk that begins with the file, and the id of the cluster that it makes. */
async function restored(
  file: Uint8Array,
  name: string,
): Promise<{ readonly fs: MemoryFileSystem; readonly clusterId: string }> {
  const fs = new MemoryFileSystem()
  await place(fs, FILE, file)
  const { identity } = await restoreDirectory({
    fs,
    file: FILE,
    directory: '/data',
    name,
    token: TOKEN,
    members: foundersOf(3),
    raiseRevisionBy: 1000,
    compacts: true,
    freeBytes: () => Promise.resolve(undefined),
  })
  return { fs, clusterId: identity.clusterId }
}

function valueIn(member: SimMember, key: string): string | undefined {
  const { store } = member.member!.stateMachine
  const read = store.range({ key: new TextEncoder().encode(key) })
  return read.ok && read.kvs.length > 0 ? Buffer.from(read.kvs.at(0).value).toString() : undefined
}

test('a restored cluster and the living one it came from are two, whatever their members are called (F54)', async () => {
  for (const seed of SEEDS) {
    const old = await Scenario.started({ seed, clients: 4, isAlone: true })
    await old.pass(3000)
    const marked = old.put(old.leader)
    await old.until('a write', () => marked.outcome?.type === 'done', 1000)
    const file = await saved(old, old.followers[0]!)

    const disks = await Promise.all(foundersOf(3).map(({ name }) => restored(file, name)))
    expect(new Set(disks.map(({ clusterId }) => clusterId)).size).toBe(1)
    const { clusterId } = disks[0]!
    expect(clusterId).not.toBe(old.leader.identity.clusterId)
    const { world } = old.cluster
    const beside = { world, clusterId }
    const made = new Scenario({ seed: seed + 100, isAlone: true, beside })
    for (const [i, member] of made.members.entries()) {
      expect(member.id).toBe(old.members[i]!.id)
      member.disk.exchange(disks[i]!.fs)
      member.start()
    }
    await made.agreed()
    const { revision } = made.leader.member!.status()
    expect(revision).toBeGreaterThan(1000)
    expect(valueIn(made.leader, 'probe-story')).toBe(valueIn(old.leader, 'probe-story'))

    // Each goes on by itself, through the death of both leaders.
    for (const { leader } of [old, made]) {
      leader.crash(old.prng)
      world.schedule({ delayMs: 500, run: () => world.act(() => leader.start()) })
    }
    await made.until(
      'two leaders again',
      () => old.cluster.leader !== undefined && made.cluster.leader !== undefined,
      5000,
    )
    await made.pass(2000)
    await made.agreed()
    await old.agreed()
    // Who reaches the other cluster by an old address is told so, in both directions and under any id.
    for (const here of old.members) {
      for (const there of made.members) {
        for (const judged of [here.judges(there), there.judges(here)]) {
          expect(judged).toMatchObject({ accepted: false, refusal: { reason: 'cluster' } })
        }
      }
    }
    const write = made.put(made.leader, 1000, 'restored')
    await made.until('a write', () => write.outcome?.type === 'done', 1000)
    await old.end()
    await made.end()
    const [here, there] = [old, made].map(({ leader }) => valueIn(leader, 'probe-restored'))
    expect([here, there]).toEqual([undefined, 'restored.1'])
  }
})
