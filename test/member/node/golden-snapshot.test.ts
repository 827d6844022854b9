// A snapshot file of the first format, byte for byte: every later version restores it, or users lose their backups. The file is
// never written anew; a format that changes gets a file of its own beside it.

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { loadSnapshot } from '../../../member/src/node/restore.ts'
import { MemoryFileSystem } from '../../support/memory-file-system.ts'
import { place } from '../../support/snapshot-files.ts'

const GOLDEN = readFileSync(new URL('testdata/snapshot-file-format-1.snap', import.meta.url))

test('a file of the first format is read whole: keys, versions, position and members (F55)', async () => {
  const fs = new MemoryFileSystem()
  await place(fs, '/a.snap', GOLDEN)
  const { stateMachine, description } = await loadSnapshot(fs, '/a.snap')
  expect(description).toEqual({
    bytes: 3616,
    digest: 'd4da6e9e3a97d992674094041df605f6ee63bad0aaf11944e79b68524c19d4eb',
    clusterId: '00000000000000c1',
    index: 4,
    term: 2,
    revision: 5,
    compactRevision: 0,
    keyCount: 3,
    hash: 'ab588fe8',
    members: ['n1', 'n2'],
    membershipEpoch: 0,
  })
  const valueOf = (key: string, revision?: number): string | undefined => {
    const kv = stateMachine.store.get(Buffer.from(key), revision)
    return kv === undefined ? undefined : Buffer.from(kv.value).toString()
  }
  expect(['k1', 'k2', 'large'].map((key) => valueOf(key))).toEqual(['c', 'b', 'x'.repeat(3000)])
  expect(valueOf('k1', 2)).toBe('a')
})
