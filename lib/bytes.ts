// Byte strings: comparison in unsigned lexicographic order, prefix ends, hex.

import { Buffer } from 'node:buffer'

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0)

/** Negative, zero or positive as `a` sorts before, equal to or after `b` in unsigned lexicographic order. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** The end of the range of all keys that start with `prefix`; the single byte 0x00 ("to the end") if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i]!
    if (byte < 0xff) {
      const end = prefix.slice(0, i + 1)
      end[i] = byte + 1
      return end
    }
  }
  return new Uint8Array(1)
}

/** A Buffer over the same memory: no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
