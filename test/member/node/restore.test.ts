// Data directories made from a snapshot file: one new cluster whatever the members are called, nothing touched before all is
// known to be good, and all or nothing at every crash (faults.md F25, F54).

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { identityOf } from '../../../member/src/node/identity.ts'
import { openDataDirectory } from '../../../member/src/node/data-directory.ts'
import {
  loadSnapshot,
  restoreDirectory,
  type RestoredMember,
  type RestoreOptions,
} from '../../../member/src/node/restore.ts'
import { sealSnapshot } from '../../../member/src/wal/portable-snapshot.ts'
import { encodeSnapshotStream } from '../../../member/src/wal/snapshot-file.ts'
import { isChange, MemoryFileSystem } from '../../support/memory-file-system.ts'
import { MemberCluster, put, valueAt } from '../../support/member-cluster.ts'
import { fileOf, place, SOURCE_CLUSTER, stateOf } from '../../support/snapshot-files.ts'

const FILE = '/backups/a.snap'
const DIRECTORY = '/data'
const TOKEN = 'story'
const MEMBERS = ['n1', 'n2', 'n3'].map((name) => ({ name, peerUrls: [`http://${name}:2380`] }))
const SMALL_STATE = stateOf([
  ['k1', 'a'],
  ['k2', 'b'],
  ['k1', 'c'],
])
const SMALL = await fileOf(SMALL_STATE)

async function diskWith(bytes: Uint8Array): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem()
  await place(fs, FILE, bytes)
  return fs
}

function restore(fs: MemoryFileSystem, changed: Partial<RestoreOptions> = {}) {
  return restoreDirectory({
    fs,
    file: FILE,
    directory: DIRECTORY,
    name: 'n1',
    token: TOKEN,
    members: MEMBERS,
    raiseRevisionBy: 0,
    compacts: false,
    freeBytes: () => Promise.resolve(undefined),
    ...changed,
  })
}

/** What a member that is started on the directory finds: `restored`, `blank`, or the code that keeps it from starting. */
async function found(fs: MemoryFileSystem, members = MEMBERS): Promise<string> {
  const identity = identityOf({ token: TOKEN, name: 'n1', members })
  try {
    const directory = await openDataDirectory({ fs, path: DIRECTORY, identity, isNewCluster: true })
    await directory.release()
    return directory.isRestored ? 'restored' : 'blank'
  } catch (error) {
    return (error as { code: string }).code
  }
}

/** Every file with its bytes. */
function picture(fs: MemoryFileSystem): Record<string, string> {
  const files = ['/data', '/data/snap', '/backups'].flatMap((directory) =>
    fs.names(directory).map((name) => `${directory}/${name}`),
  )
  return Object.fromEntries(
    files.map((path) => [path, Buffer.from(fs.contents(path)).toString('latin1')]),
  )
}

async function snapshotOf(cluster: MemberCluster, host = cluster.leader): Promise<Buffer> {
  const pending = host.member!.exportSnapshot({ consistency: 'linearizable' }, { timeoutMs: 5000 })
  let isOpen = false
  void pending.then(() => (isOpen = true))
  await cluster.until('the snapshot', () => isOpen)
  const snapshot = await pending
  const pieces: Uint8Array[] = []
  for await (const piece of snapshot.chunks()) pieces.push(piece)
  snapshot.release()
  return Buffer.concat(pieces)
}

describe('a cluster restored from a snapshot', () => {
  test('has the state of the old one and is another cluster, all of its members the same one (F54)', async () => {
    const old = await MemberCluster.started({ count: 3 })
    for (let i = 0; i < 20; i++) {
      const write = put(old.leader, `k${i % 7}`, `v${i}`)
      await old.until('an answer', () => write.outcome !== 'pending')
    }
    // From a follower, with everything that was acknowledged before.
    const file = await snapshotOf(old, old.followers[0])
    const source = await loadSnapshot(await diskWith(file), FILE)
    const before = old.leader.member!.status()
    expect(source.description).toMatchObject({
      clusterId: before.clusterId,
      index: before.applied,
      revision: before.revision,
      keyCount: 7,
      members: ['n1', 'n2', 'n3'],
    })

    const made = new MemberCluster({ count: 3 })
    for (const host of made.hosts) {
      await place(host.fs, FILE, file)
      await restore(host.fs, { name: host.name })
    }
    await Promise.all(made.hosts.map((host) => made.start(host)))
    await made.agreedLeader()
    const ids = new Set(made.hosts.map((host) => host.member!.identity.clusterId))
    expect(ids.size).toBe(1)
    // The same token, names and URLs, and yet not the old cluster.
    expect(ids.has(before.clusterId)).toBe(false)
    for (const host of made.hosts) {
      expect(await valueAt(host, 'k6')).toBe('v13')
      expect(host.member!.status()).toMatchObject({ revision: before.revision, membershipEpoch: 0 })
    }
    const write = put(made.leader, 'k6', 'new')
    await made.until('an answer', () => write.outcome !== 'pending')
    expect(write.outcome).toBe('done')
    const { applied } = made.leader.member!.status()
    await made.until('all to have it', () =>
      made.hosts.every((host) => host.member!.status().applied >= applied),
    )
    await made.pass(3000)
    const hashes = made.hosts.map((host) => host.member!.stateMachine.hash())
    expect(new Set(hashes).size).toBe(1)
    // And it restarts as any other.
    for (const host of made.hosts) made.kill(host)
    await Promise.all(made.hosts.map((host) => made.start(host)))
    await made.agreedLeader()
    expect(await valueAt(made.leader, 'k6')).toBe('new')
  })

  test('is another one for another file, another token, other members or another revision', async () => {
    const other = await fileOf(stateOf([['k1', 'a']]))
    const variants = [
      await restore(await diskWith(SMALL)),
      await restore(await diskWith(other)),
      await restore(await diskWith(SMALL), { token: 'another' }),
      await restore(await diskWith(SMALL), { members: MEMBERS.slice(0, 1) }),
      await restore(await diskWith(SMALL), { raiseRevisionBy: 1 }),
      await restore(await diskWith(SMALL), { compacts: true }),
    ]
    expect(new Set(variants.map(({ identity }) => identity.clusterId)).size).toBe(variants.length)
    const again = await restore(await diskWith(SMALL), { name: 'n2' })
    expect(again.identity.clusterId).toBe(variants[0]!.identity.clusterId)
  })

  test('goes on at a revision nobody has seen, when told to, and lets nobody read before it', async () => {
    const made = new MemberCluster({ count: 1 })
    const [host] = made.hosts
    await place(host!.fs, FILE, SMALL)
    const members = MEMBERS.slice(0, 1)
    const restored = await restore(host!.fs, {
      members,
      raiseRevisionBy: 1_000_000,
      compacts: true,
    })
    expect(restored).toMatchObject({ source: { revision: 4 }, revision: 1_000_004 })
    await made.start(host!)
    await made.agreedLeader()
    expect(host!.member!.status()).toMatchObject({
      revision: 1_000_004,
      compactRevision: 1_000_004,
    })
    expect(await valueAt(host!, 'k1')).toBe('c')
    const write = put(host!, 'k1', 'd')
    await made.until('an answer', () => write.outcome !== 'pending')
    expect(host!.member!.status().revision).toBe(1_000_005)
    await expect(
      restore(await diskWith(SMALL), { raiseRevisionBy: Number.MAX_SAFE_INTEGER }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('a restore', () => {
  test('refuses a damaged file before it has touched anything (F54)', async () => {
    for (let at = 0; at < SMALL.length; at += 13) {
      const fs = await diskWith(SMALL)
      fs.damage(FILE, at, 1)
      const before = fs.operationCount
      let changes = 0
      fs.fault = (operation) => {
        if (isChange(operation)) changes++
        return undefined
      }
      const error = await restore(fs).catch((reason: unknown) => reason)
      expect(['SNAPSHOT_CORRUPT', 'SNAPSHOT_REFUSED']).toContain((error as { code: string }).code)
      expect(fs.operationCount).toBeGreaterThan(before)
      expect(changes).toBe(0)
    }
  })

  test('refuses a directory that is not empty before it has touched anything (F54)', async () => {
    for (const name of [
      'member.json',
      'restored.json',
      'removed.json',
      'notes.txt',
      'snap/1.snap',
    ]) {
      const fs = await diskWith(SMALL)
      await place(fs, `${DIRECTORY}/${name}`, Buffer.from('precious'))
      const before = picture(fs)
      await expect(restore(fs)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
      expect(picture(fs)).toEqual(before)
    }
    const fs = await diskWith(SMALL)
    await restore(fs)
    const before = picture(fs)
    await expect(restore(fs)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' })
    expect(picture(fs)).toEqual(before)
  })

  test('refuses a disk without room for twice the snapshot, and gives back what it took of one that fills up', async () => {
    const small = await diskWith(SMALL)
    const before = picture(small)
    const tooSmall = { freeBytes: () => Promise.resolve(2 * SMALL.length - 1) }
    await expect(restore(small, tooSmall)).rejects.toMatchObject({ code: 'NO_SPACE' })
    expect(picture(small)).toEqual(before)
    const enough = { freeBytes: () => Promise.resolve(2 * SMALL.length) }
    for (let room = 0; room < 700; room += 50) {
      const fs = await diskWith(SMALL)
      fs.capacityBytes = SMALL.length + room
      await expect(restore(fs, enough)).rejects.toMatchObject({ code: 'NO_SPACE' })
      expect(await found(fs)).toBe('blank')
      fs.capacityBytes = Number.POSITIVE_INFINITY
      await restore(fs)
      expect(await found(fs)).toBe('restored')
    }
  })

  test('is durable when it resolves', async () => {
    const fs = await diskWith(SMALL)
    await restore(fs)
    fs.losePower('none')
    expect(await found(fs)).toBe('restored')
    expect(fs.names('/data/snap')).toHaveLength(1)
  })

  test('refuses a directory that somebody else has filled while the file was read', async () => {
    const fs = await diskWith(SMALL)
    let before: Record<string, string> = {}
    const other = async (): Promise<undefined> => {
      await restore(fs, { token: 'faster' })
      before = picture(fs)
      return undefined
    }
    await expect(restore(fs, { freeBytes: other })).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
    })
    expect(picture(fs)).toEqual(before)
  })

  test('whose snapshot is gone by the first start is damage, not an empty cluster', async () => {
    const made = new MemberCluster({ count: 1 })
    const [host] = made.hosts
    await place(host!.fs, FILE, SMALL)
    await restore(host!.fs, { members: MEMBERS.slice(0, 1) })
    await host!.fs.unlink(`/data/snap/${host!.fs.names('/data/snap')[0]}`)
    await expect(made.start(host!)).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' })
    expect(host!.fs.names('/data')).not.toContain('member.json')
  })

  test('of a file that somebody made up, with checksums that fit, ends with a code or a cluster (X5, X6)', async () => {
    const prng = new SeededPrng(54)
    const capture = SMALL_STATE.capture()
    const data = Buffer.concat([...capture.chunks()])
    const outcomes = new Set<string>()
    for (let trial = 0; trial < 400; trial++) {
      const forged = Buffer.from(data)
      for (let i = prng.next(3); i >= 0; i--) forged[prng.next(data.length)] = prng.next(256)
      const cut = prng.next(8) === 0 ? forged.subarray(0, prng.next(data.length)) : forged
      const header = { clusterId: SOURCE_CLUSTER, meta: capture.meta }
      const pieces: Uint8Array[] = []
      for await (const piece of sealSnapshot(encodeSnapshotStream(header, [cut])))
        pieces.push(piece)
      const error = await restore(await diskWith(Buffer.concat(pieces))).catch((e: unknown) => e)
      outcomes.add((error as { code?: string }).code ?? (error as RestoredMember).identity.name)
    }
    expect([...outcomes].toSorted()).toEqual(['SNAPSHOT_CORRUPT', 'SNAPSHOT_REFUSED', 'n1'])
  })

  test('leaves the directory to one of two that come at the same time', async () => {
    const fs = await diskWith(SMALL)
    const outcomes = await Promise.allSettled([restore(fs), restore(fs), restore(fs)])
    const done = outcomes.filter(({ status }) => status === 'fulfilled')
    const codes = outcomes
      .filter((outcome) => outcome.status === 'rejected')
      .map(({ reason }) => (reason as { code: string }).code)
    expect(done).toHaveLength(1)
    expect(codes.every((code) => code === 'DATA_DIR_LOCKED' || code === 'DATA_DIR_UNUSABLE')).toBe(
      true,
    )
    expect(await found(fs)).toBe('restored')
  })

  test('is all or nothing at every operation it may be killed in, and the same again completes it (F54)', async () => {
    const alone = { members: MEMBERS.slice(0, 1) }
    const trial = await diskWith(SMALL)
    const first = trial.operationCount
    await restore(trial, alone)
    const count = trial.operationCount - first
    const seen = new Set<string>()
    for (let number = 1; number <= count; number++) {
      for (const survival of ['all', 'none'] as const) {
        const fs = await diskWith(SMALL)
        const start = fs.operationCount
        fs.fault = (operation) =>
          operation.number === start + number ? { type: 'crash', keptBytes: 77 } : undefined
        await restore(fs, alone).catch(() => undefined)
        fs.fault = undefined
        fs.losePower(survival)
        const state = await found(fs, alone.members)
        seen.add(state)
        expect(['blank', 'restored', 'DATA_DIR_UNUSABLE']).toContain(state)
        if (state !== 'restored') await restore(fs, alone)
        const made = new MemberCluster({ count: 1 })
        const [host] = made.hosts
        Object.assign(host!, { fs })
        await made.start(host!)
        await made.agreedLeader()
        expect(await valueAt(host!, 'k1')).toBe('c')
      }
    }
    expect([...seen].toSorted()).toEqual(['DATA_DIR_UNUSABLE', 'blank', 'restored'])
  })
})
