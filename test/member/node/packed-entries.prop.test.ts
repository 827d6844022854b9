// Entries as bytes against a plain list of them: any order of appending, cutting and forgetting; and the memory they pass
// through stays the same however many there are.

import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { PackedEntries } from '../../../member/src/node/packed-entries.ts'
import type { Entry } from '../../../member/src/raft/types.ts'
import { memberId } from '../raft/cluster.ts'

const SIZES = [0, 1, 300, 4000, 70_000, 300_000]

const same = (a: Entry, b: Entry): boolean =>
  Buffer.compare(a.data, b.data) === 0 &&
  JSON.stringify({ ...a, data: 0 }) === JSON.stringify({ ...b, data: 0 })

function entry(index: number, term: number, size: number): Entry {
  const data = new Uint8Array(size).fill((index * 7 + term) % 251)
  return { index, term, type: 'normal', data, change: undefined }
}

function change(index: number, term: number): Entry {
  const context = new Uint8Array(20).fill(index % 251)
  return {
    index,
    term,
    type: 'confChange',
    data: new Uint8Array(0),
    change: {
      transition: 'auto',
      changes: [{ type: 'addLearner', memberId: memberId(index) }],
      context,
    },
  }
}

test.each([1, 2, 3, 4])('what is kept is what a list of entries keeps (seed %i)', (seed) => {
  const prng = new SeededPrng(seed)
  const packed = new PackedEntries({ index: 10, term: 1 })
  let start = 10
  let term = 1
  let startTerm = 1
  let list: Entry[] = []
  for (let step = 0; step < 1000; step++) {
    const kind = prng.next(20)
    if (kind === 0) {
      const index = start + prng.next(list.length + 3)
      packed.cutAfter(index)
      list = list.filter((kept) => kept.index <= index)
    } else if (kind === 1 && list.length > 0) {
      const index = start + 1 + prng.next(list.length)
      packed.dropThrough(index)
      startTerm = list[index - start - 1]!.term
      list = list.filter((kept) => kept.index > index)
      start = index
    } else {
      if (prng.next(50) === 0) term++
      const index = start + list.length + 1
      const next = kind === 2 ? change(index, term) : entry(index, term, SIZES[prng.next(6)]!)
      list.push(next)
      // The memory is the caller's again.
      const lent = { ...next, data: next.data.slice() }
      packed.push(lent)
      lent.data.fill(255)
    }
    expect(packed.count).toBe(list.length)
    expect(packed.lastIndex).toBe(start + list.length)
    expect(packed.dataBytes).toBe(list.reduce((sum, { data }) => sum + data.length, 0))
    expect(packed.start).toEqual({ index: start, term: startTerm })
    const probes = list.length === 0 ? [] : [list[prng.next(list.length)]!]
    expect(probes.every((probe) => same(packed.at(probe.index), probe))).toBe(true)
    expect(probes.map(({ index }) => packed.lengthAt(index))).toEqual(
      probes.map(({ data }) => data.length),
    )
  }
  const unpacked = packed.unpack()
  expect(unpacked.length).toBe(list.length)
  expect(unpacked.every((one, i) => same(one, list[i]!))).toBe(true)
})

test('any number of entries passes through a few blocks of memory', () => {
  const packed = new PackedEntries({ index: 0, term: 0 })
  const memories = new Set<ArrayBufferLike>()
  for (let index = 1; index <= 100_000; index++) {
    packed.push(entry(index, 1, 300))
    memories.add(packed.at(index).data.buffer)
    if (packed.dataBytes > 1_000_000) packed.dropThrough(index - 2000)
  }
  expect([...memories].reduce((sum, memory) => sum + memory.byteLength, 0)).toBeLessThan(2_000_000)
})

const PACKED_ENTRIES = new URL('../../../member/src/node/packed-entries.ts', import.meta.url).href

test('entries that are forgotten hold on to no memory, before their rows are reclaimed too', () => {
  // Two entries share a block here, and the rows of a thousand are not worth a reclaim yet.
  const program = `
    const { PackedEntries } = await import('${PACKED_ENTRIES}')
    const packed = new PackedEntries({ index: 0, term: 0 })
    const data = new Uint8Array(100_000)
    for (let index = 1; index <= 1000; index++) {
      packed.push({ index, term: 1, type: 'normal', data, change: undefined })
      if (packed.count === 40) packed.dropThrough(index - 10)
    }
    packed.dropThrough(990)
    // What is not referred to is freed beside the program, and counted when that is done.
    let bytes
    for (let i = 0; i < 200; i++) {
      gc()
      bytes = process.memoryUsage().arrayBuffers
      if (bytes < 10_000_000) break
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    console.log(bytes, packed.count)`
  const argv = ['--expose-gc', '--input-type=module', '-e', program]
  const stdout = execFileSync(process.execPath, argv, { encoding: 'utf8' })
  const [bytes, count] = stdout.trim().split(' ').map(Number)
  expect(count).toBe(10)
  expect(bytes).toBeLessThan(10_000_000)
})
