// Snapshot files for tests: a small real state, and the file a member would hand out of it.

import { StateMachine } from '../../member/src/apply/state-machine.ts'
import { encodeRequest } from '../../member/src/apply/request.ts'
import { sealSnapshot } from '../../member/src/wal/portable-snapshot.ts'
import { encodeSnapshotStream } from '../../member/src/wal/snapshot-file.ts'
import { foundersOf } from '../../member/src/node/recovery.ts'
import type { MemoryFileSystem } from './memory-file-system.ts'

export const SOURCE_CLUSTER = '00000000000000c1'

/** A state of two members after these puts, and as many deletions of keys that are there. */
export function stateOf(puts: readonly (readonly [string, string])[]): StateMachine {
  const members = ['n1', 'n2'].map((name) => ({ name, peerUrls: [`http://${name}:2380`] }))
  const machine = new StateMachine(foundersOf('old', members))
  const encoder = new TextEncoder()
  let index = 0
  for (const [key, value] of puts) {
    index++
    const request = { type: 'put', key: encoder.encode(key), value: encoder.encode(value) } as const
    machine.applyNormal(
      index,
      2,
      encodeRequest({ origin: '1'.padStart(16, '0'), sequence: index, quotaBytes: 1e12, request }),
    )
  }
  return machine
}

export async function fileOf(machine: StateMachine): Promise<Buffer> {
  const capture = machine.capture()
  const header = { clusterId: SOURCE_CLUSTER, meta: capture.meta }
  const pieces: Uint8Array[] = []
  for await (const piece of sealSnapshot(encodeSnapshotStream(header, capture.chunks()))) {
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** Puts a durable file onto the disk. */
export async function place(fs: MemoryFileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf('/'))
  await fs.makeDirectory(directory)
  const file = await fs.open(path, 'create')
  await file.writeAndFlush([bytes], 0)
  await file.close()
  await fs.flushDirectory(directory)
}
