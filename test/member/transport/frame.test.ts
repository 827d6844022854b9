// Framing: what is packed comes out again however it is cut, and nothing else does.

import { Buffer } from 'node:buffer'
import { expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import {
  FRAME_TYPE,
  type Frame,
  type FrameFault,
  FrameParser,
  frameBytes,
  frameOf,
  packFrames,
} from '../../../member/src/transport/frame.ts'

interface Parsed {
  readonly frames: readonly string[]
  readonly fault: FrameFault | undefined
}

function parse(chunks: readonly Buffer[], maxFrameBytes = 1_000_000): Parsed {
  const frames: string[] = []
  const parser = new FrameParser({
    maxFrameBytes,
    onFrame: (type, payload) => {
      frames.push(`${type}:${Buffer.from(payload).toString('hex')}`)
      return true
    },
  })
  for (const chunk of chunks) {
    const fault = parser.push(chunk)
    if (fault !== undefined) return { frames, fault }
  }
  return { frames, fault: undefined }
}

function describe(frame: Frame): string {
  return `${frame.type}:${Buffer.from(frame.payload).toString('hex')}`
}

function pack(frames: readonly Frame[]): Buffer {
  return Buffer.concat(packFrames(frames))
}

const THREE = [
  frameOf(FRAME_TYPE.raft, Buffer.from('first')),
  frameOf(FRAME_TYPE.node, new Uint8Array(0)),
  frameOf(FRAME_TYPE.ping, Buffer.from([0, 0, 0, 9])),
]

test('the layout is length, checksum, type, payload, in network byte order', () => {
  // crc32 of 01 61 by an independent implementation (Python's zlib.crc32).
  expect(pack([frameOf(FRAME_TYPE.raft, Buffer.from('a'))]).toString('hex')).toBe(
    '00000002627772700161',
  )
})

test('frames cut at any two places come out whole and in order', () => {
  const bytes = pack(THREE)
  const expected = { frames: THREE.map((frame) => describe(frame)), fault: undefined }
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const cut = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]
      expect(parse(cut.map((chunk) => Buffer.from(chunk)))).toEqual(expected)
    }
  }
})

test('random frames in random chunks come out as they went in', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new SeededPrng(seed)
    const types = Object.values(FRAME_TYPE)
    const frames = Array.from({ length: 1 + prng.next(20) }, () => {
      const payload = new Uint8Array(prng.next(prng.next(4) === 0 ? 20_000 : 60))
      for (let i = 0; i < payload.length; i++) payload[i] = prng.next(256)
      return frameOf(types[prng.next(types.length)]!, payload)
    })
    const bytes = pack(frames)
    expect(bytes.length).toBe(frames.reduce((sum, frame) => sum + frameBytes(frame), 0))
    const chunks: Buffer[] = []
    for (let position = 0; position < bytes.length; ) {
      const size = 1 + prng.next(prng.next(3) === 0 ? 9000 : 12)
      chunks.push(Buffer.from(bytes.subarray(position, position + size)))
      position += size
    }
    expect(parse(chunks), `seed ${seed}`).toEqual({
      frames: frames.map((frame) => describe(frame)),
      fault: undefined,
    })
  }
})

test('any single flipped bit is found, or leaves a frame that is not complete', () => {
  const bytes = pack([frameOf(FRAME_TYPE.raft, Buffer.from('payload'))])
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    expect(parse([damaged]).frames, `bit ${bit}`).toEqual([])
  }
})

test('a length is accepted at the limit and refused one above, before anything is allocated (X5)', () => {
  const limit = 1000
  const atLimit = frameOf(FRAME_TYPE.raft, new Uint8Array(limit - 1))
  const above = frameOf(FRAME_TYPE.raft, new Uint8Array(limit))
  expect(parse([pack([atLimit])], limit).frames.length).toBe(1)
  expect(parse([pack([above])], limit)).toEqual({ frames: [], fault: 'frameLength' })
  for (const length of [0, limit + 1, 0x7fff_ffff, 0xffff_ffff]) {
    const prefix = Buffer.alloc(8)
    prefix.writeUInt32BE(length)
    expect([length, parse([prefix], limit).fault]).toEqual([length, 'frameLength'])
  }
})

test('large payloads are handed on without a copy, small ones share one buffer', () => {
  const large = new Uint8Array(100_000)
  const small = Array.from({ length: 50 }, () => frameOf(FRAME_TYPE.raft, new Uint8Array(100)))
  expect(packFrames(small).length).toBe(1)
  const chunks = packFrames([...small, frameOf(FRAME_TYPE.raft, large), ...small])
  expect(chunks.length).toBe(3)
  expect(chunks[1]).toBe(large)
})

test('parsing stops where the consumer says so', () => {
  const seen: number[] = []
  const parser = new FrameParser({
    maxFrameBytes: 1000,
    onFrame: (type) => {
      seen.push(type)
      return seen.length < 2
    },
  })
  expect(parser.push(pack(THREE))).toBeUndefined()
  expect(seen).toEqual([FRAME_TYPE.raft, FRAME_TYPE.node])
})
