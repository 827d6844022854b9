// How much room the disk of a member has, as it tells in /v1/status.

import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DiskSpace, roomOf } from '../../member/src/disk-space.ts'
import type { DiskRoom } from '../../member/src/node/member-node.ts'
import { ManualTimers } from '../support/manual-timers.ts'

const ROOM: DiskRoom = { sizeBytes: 1000, freeBytes: 400 }

test('a directory that does not exist yet has the room of the file system that it will be on', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'raftbase-room-'))
  try {
    const { blocks, bsize } = await statfs(directory)
    const room = await roomOf(join(directory, 'not', 'yet'))
    expect(room?.sizeBytes).toBe(blocks * bsize)
    expect(room?.freeBytes).toBeGreaterThan(0)
    expect(room!.freeBytes).toBeLessThanOrEqual(room!.sizeBytes)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('where it cannot be told, nothing is', async () => {
  // A file is no directory: ENOTDIR.
  expect(await roomOf(join(import.meta.filename, 'data'))).toBeUndefined()
})

test('it is looked at again while the member runs, and not after', async () => {
  const timers = new ManualTimers()
  let looks = 0
  const look = () => Promise.resolve({ ...ROOM, freeBytes: 400 - looks++ })
  const disk = new DiskSpace({ directory: 'data', timers, look })
  expect(disk.room).toBeUndefined()
  disk.start()
  await Promise.resolve()
  expect(disk.room).toEqual(ROOM)
  timers.advance(15_000)
  await Promise.resolve()
  expect(disk.room?.freeBytes).toBe(399)
  disk.stop()
  timers.advance(60_000)
  expect(looks).toBe(2)
})

test('a disk that hangs is asked once, and what was seen before is not told for ever', async () => {
  const timers = new ManualTimers()
  const hanging = Promise.withResolvers<DiskRoom>()
  const answers = [Promise.resolve(ROOM), hanging.promise, Promise.resolve(ROOM)]
  const left = [...answers]
  const disk = new DiskSpace({ directory: 'data', timers, look: () => left.shift()! })
  disk.start()
  await Promise.resolve()
  timers.advance(15_000)
  expect(disk.room).toEqual(ROOM)
  timers.advance(15_000)
  timers.advance(15_000)
  expect(disk.room).toBeUndefined()
  expect(left).toHaveLength(1)
  hanging.resolve({ ...ROOM, freeBytes: 1 })
  await hanging.promise
  await Promise.resolve()
  expect(disk.room?.freeBytes).toBe(1)
  disk.stop()
})
