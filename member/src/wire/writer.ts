// Writes protobuf's wire format into one growing buffer, in a single pass: the length of a nested message is filled in
// behind it. Values come from our own code, so one that does not fit its type trips an invariant.

import { Buffer } from 'node:buffer'
import { InvariantViolation, invariant } from '../../../lib/assert.ts'

const TWO_32 = 0x1_0000_0000
const TWO_64 = 1n << 64n
const TWO_63 = 1n << 63n
/** Shorter byte strings are copied by a loop, which beats a call into the runtime. */
const COPY_LOOP_MAX = 24
const DEFAULT_CAPACITY = 128

export class Writer {
  #buffer: Buffer
  readonly #start: number
  #position: number

  /**
   * `capacity` bytes fit before the buffer grows; exact capacity means no copy at all. `memory` from `start` on is used as long
   * as it is large enough.
   */
  constructor(capacity = DEFAULT_CAPACITY, memory?: Buffer, start = 0) {
    const isEnough = memory !== undefined && memory.length - start >= capacity
    this.#buffer = isEnough ? memory : Buffer.allocUnsafe(capacity)
    this.#start = isEnough ? start : 0
    this.#position = this.#start
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#position - this.#start
  }

  /** The bytes written: a view of the buffer, which the caller now owns. The writer is not used again. */
  finish(): Uint8Array {
    const { buffer, byteOffset } = this.#buffer
    return new Uint8Array(buffer, byteOffset + this.#start, this.length)
  }

  /** One byte, such as a tag below 128. */
  byte(value: number): void {
    if (this.#position === this.#buffer.length) this.#grow(1)
    this.#buffer[this.#position++] = value
  }

  /** An unsigned varint below 2^32. */
  uint32(value: number): void {
    if (value >>> 0 !== value) unfit(value, 'not not an unsigned 32-bit integer')
    this.#ensure(5)
    this.#varint32(value)
  }

  /** A signed 32-bit varint, or an enum's number: a negative one takes ten bytes, as protobuf says. */
  int32(value: number): void {
    if ((value | 0) !== value) unfit(value, 'not not a signed 32-bit integer')
    this.#ensure(10)
    if (value >= 0) this.#varint32(value)
    else this.#varint64(value >>> 0, 0xffffffff)
  }

  /** An unsigned varint up to 2^53 - 1 (X20). */
  safeUint(value: number): void {
    invariant(Number.isSafeInteger(value) && value >= 0, 'not not a safe unsigned integer', {
      value,
    })
    this.#ensure(8)
    if (value < TWO_32) this.#varint32(value)
    else this.#varint64(value >>> 0, Math.floor(value / TWO_32))
  }

  /** A signed varint from -(2^53 - 1) to 2^53 - 1 (X20). */
  safeInt(value: number): void {
    if (!Number.isSafeInteger(value)) unfit(value, 'not not a safe integer')
    this.#ensure(10)
    if (value >= 0 && value < TWO_32) this.#varint32(value)
    else this.#varint64(value >>> 0, Math.floor(value / TWO_32) >>> 0)
  }

  uint64(value: bigint): void {
    if (value < 0n || value >= TWO_64) unfit(value, 'not not an unsigned 64-bit integer')
    this.#ensure(10)
    this.#varint64(Number(value & 0xffffffffn), Number(value >> 32n))
  }

  int64(value: bigint): void {
    if (value < -TWO_63 || value >= TWO_63) unfit(value, 'not not a signed 64-bit integer')
    this.#ensure(10)
    const bits = BigInt.asUintN(64, value)
    this.#varint64(Number(bits & 0xffffffffn), Number(bits >> 32n))
  }

  bool(value: boolean): void {
    this.byte(value ? 1 : 0)
  }

  fixed64(value: bigint): void {
    if (value < 0n || value >= TWO_64) unfit(value, 'not not an unsigned 64-bit integer')
    this.#fixed64(Number(value & 0xffffffffn), Number(value >> 32n))
  }

  safeFixed64(value: number): void {
    invariant(Number.isSafeInteger(value) && value >= 0, 'not not a safe unsigned integer', {
      value,
    })
    this.#fixed64(value >>> 0, Math.floor(value / TWO_32))
  }

  /** 16 lower-case hex digits as a fixed64. */
  hexId(id: string): void {
    invariant(id.length === 16, 'identifier does not have 16 digits', { id })
    this.#fixed64(hexWord(id, 8), hexWord(id, 0))
  }

  /** A length-delimited byte string. */
  bytes(value: Uint8Array): void {
    this.#ensure(value.length + 5)
    this.#varint32(value.length)
    this.#copy(value)
  }

  /** Bytes as they are, without a length. */
  raw(value: Uint8Array): void {
    this.#ensure(value.length)
    this.#copy(value)
  }

  /** A length-delimited text; a lone surrogate becomes U+FFFD. */
  string(value: string): void {
    const { length } = value
    this.#ensure(3 * length + 5)
    const start = this.#position
    this.#varint32(length)
    const buffer = this.#buffer
    let position = this.#position
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code >= 0x80) {
        this.#position = start
        this.#utf8(value)
        return
      }
      buffer[position++] = code
    }
    this.#position = position
  }

  /** Begins a nested message; `end` wants the returned mark back once its fields are written. */
  begin(): number {
    this.byte(0)
    return this.#position
  }

  /** Fills in the length of the nested message that began at `mark`. One of 128 bytes or more moves up to make room. */
  end(mark: number): void {
    const length = this.#position - mark
    if (length < 0x80) {
      this.#buffer[mark - 1] = length
      return
    }
    const extra = varintSize(length) - 1
    this.#ensure(extra)
    this.#buffer.copyWithin(mark + extra, mark, this.#position)
    const end = this.#position + extra
    this.#position = mark - 1
    this.#varint32(length)
    this.#position = end
  }

  #utf8(value: string): void {
    const length = Buffer.byteLength(value, 'utf8')
    this.#ensure(length + 5)
    this.#varint32(length)
    this.#position += this.#buffer.write(value, this.#position, length, 'utf8')
  }

  #copy(value: Uint8Array): void {
    const buffer = this.#buffer
    const { length } = value
    let position = this.#position
    if (length <= COPY_LOOP_MAX) {
      for (let i = 0; i < length; i++) buffer[position++] = value[i]!
    } else {
      buffer.set(value, position)
      position += length
    }
    this.#position = position
  }

  #fixed64(low: number, high: number): void {
    this.#ensure(8)
    const buffer = this.#buffer
    const at = this.#position
    buffer[at] = low
    buffer[at + 1] = low >>> 8
    buffer[at + 2] = low >>> 16
    buffer[at + 3] = low >>> 24
    buffer[at + 4] = high
    buffer[at + 5] = high >>> 8
    buffer[at + 6] = high >>> 16
    buffer[at + 7] = high >>> 24
    this.#position = at + 8
  }

  #varint32(value: number): void {
    const buffer = this.#buffer
    let position = this.#position
    let rest = value
    while (rest >= 0x80) {
      buffer[position++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    buffer[position++] = rest
    this.#position = position
  }

  #varint64(low: number, high: number): void {
    const buffer = this.#buffer
    let position = this.#position
    let restLow = low
    let restHigh = high
    while (restHigh !== 0 || restLow >= 0x80) {
      buffer[position++] = (restLow & 0x7f) | 0x80
      restLow = ((restLow >>> 7) | (restHigh << 25)) >>> 0
      restHigh >>>= 7
    }
    buffer[position++] = restLow
    this.#position = position
  }

  #ensure(count: number): void {
    if (count > this.#buffer.length - this.#position) this.#grow(count)
  }

  #grow(count: number): void {
    const size = Math.max(this.#buffer.length * 2, this.#position + count)
    const larger = Buffer.allocUnsafe(size)
    larger.set(this.#buffer.subarray(0, this.#position))
    this.#buffer = larger
  }
}

/** Eight lower-case hex digits of `id` as a 32-bit pattern. */
function hexWord(id: string, start: number): number {
  let word = 0
  for (let i = start; i < start + 8; i++) {
    const code = id.charCodeAt(i)
    const isDigit = code >= 0x30 && code <= 0x39
    const isLetter = code >= 0x61 && code <= 0x66
    if (!isDigit && !isLetter) throw new InvariantViolation('identifier is not hexadecimal', { id })
    word = (word << 4) | (isDigit ? code - 0x30 : code - 0x57)
  }
  return word
}

/** An invariant that costs nothing where it holds: no details are built. */
function unfit(value: number | bigint, what: string): never {
  throw new InvariantViolation(`value is ${what}`, { value })
}

/** Bytes a non-negative safe integer takes as a varint. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < 0x1000_0000) return 4
  let size = 5
  for (let rest = Math.floor(value / 0x8_0000_0000); rest > 0; rest = Math.floor(rest / 0x80))
    size++
  return size
}
