// Reads protobuf's wire format out of bytes that may come from anyone. Promises: nothing outside the given bytes is read,
// nothing is allocated before its length is checked, nesting is bounded, and whatever is wrong throws WIRE_MALFORMED.
// Byte fields are views into the input: whoever keeps one keeps the input alive, and nobody may write to it.

import { Buffer } from 'node:buffer'
import { RaftbaseError, hasCode } from '../../../lib/errors.ts'

/** Messages (and unknown groups) inside messages go no deeper than this. */
export const NESTING_MAX = 64

/** The identifier that protobuf leaves out. */
export const ZERO_ID = '0000000000000000'

const TWO_32 = 0x1_0000_0000
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Whether `error` says that decoded bytes were malformed; anything else is not about the bytes. */
export function isMalformed(error: unknown): error is RaftbaseError {
  return hasCode(error, 'WIRE_MALFORMED')
}

export function malformed(what: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new RaftbaseError('WIRE_MALFORMED', what, { details })
}

/**
 * A cursor over one message. A loop over `tag()` visits its fields; 0 ends it. `enter` and `leave` bracket a nested
 * message, whose fields end where its length says.
 */
export class Reader {
  readonly #bytes: Uint8Array
  /** Invariant: position <= end <= bytes.length. */
  #position: number
  #end: number
  #depth = 0
  /** Halves of the 64-bit varint read last. */
  #low = 0
  #high = 0

  /** Reads `[start, end)` of `bytes`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    if (start < 0 || start > end || end > bytes.length)
      malformed('range outside the input', { start, end })
    this.#bytes = bytes
    this.#position = start
    this.#end = end
  }

  /** Offset of the next byte in the input. */
  get position(): number {
    return this.#position
  }

  /** Bytes left in the current message. */
  get remaining(): number {
    return this.#end - this.#position
  }

  /** The next field's number << 3 | wire type, or 0 at the end of the current message. */
  tag(): number {
    if (this.#position === this.#end) return 0
    const byte = this.#bytes[this.#position]!
    const tag = byte < 0x80 ? byte : this.#wideTag()
    if (byte < 0x80) this.#position++
    if (tag >>> 3 === 0) malformed('field number is zero', { position: this.#position })
    return tag
  }

  #wideTag(): number {
    this.#varint()
    if (this.#high !== 0) malformed('field number is too large', { position: this.#position })
    return this.#low
  }

  /** An unsigned 64-bit varint as a number: at most 2^53 - 1 (X20). */
  safeUint(): number {
    const position = this.#position
    if (position < this.#end) {
      const byte = this.#bytes[position]!
      if (byte < 0x80) {
        this.#position = position + 1
        return byte
      }
    }
    this.#varint()
    if (this.#high > 0x1fffff) malformed('integer is not safe', { position })
    return this.#high * TWO_32 + this.#low
  }

  /** A signed 64-bit varint (two's complement) as a number: from -(2^53 - 1) to 2^53 - 1 (X20). */
  safeInt(): number {
    const position = this.#position
    if (position < this.#end) {
      const byte = this.#bytes[position]!
      if (byte < 0x80) {
        this.#position = position + 1
        return byte
      }
    }
    this.#varint()
    const value = (this.#high | 0) * TWO_32 + this.#low
    if (!Number.isSafeInteger(value)) malformed('integer is not safe', { position })
    return value
  }

  uint64(): bigint {
    this.#varint()
    return (BigInt(this.#high) << 32n) | BigInt(this.#low)
  }

  int64(): bigint {
    this.#varint()
    return (BigInt(this.#high | 0) << 32n) | BigInt(this.#low)
  }

  /** An unsigned 32-bit varint; of a wider one the low half counts, as protobuf says. */
  uint32(): number {
    this.#varint()
    return this.#low
  }

  /** A signed 32-bit varint, or an enum's number; of a wider one the low half counts, as protobuf says. */
  int32(): number {
    this.#varint()
    return this.#low | 0
  }

  bool(): boolean {
    this.#varint()
    return (this.#low | this.#high) !== 0
  }

  fixed64(): bigint {
    this.#fixed64()
    return (BigInt(this.#high) << 32n) | BigInt(this.#low)
  }

  safeFixed64(): number {
    this.#fixed64()
    if (this.#high > 0x1fffff) malformed('integer is not safe', { position: this.#position - 8 })
    return this.#high * TWO_32 + this.#low
  }

  /** A fixed64 as 16 lower-case hex digits: how identifiers look inside. */
  hexId(): string {
    this.#fixed64()
    return hexText(this.#high, this.#low)
  }

  /** The bytes of a length-delimited field: a view. */
  bytes(): Uint8Array {
    const length = this.length()
    const { buffer, byteOffset } = this.#bytes
    const view = new Uint8Array(buffer, byteOffset + this.#position, length)
    this.#position += length
    return view
  }

  string(): string {
    const length = this.length()
    const start = this.#position
    const end = start + length
    this.#position = end
    const bytes = this.#bytes
    let ascii = 0
    for (let i = start; i < end; i++) ascii |= bytes[i]!
    if (ascii < 0x80) return asciiText(bytes, start, end)
    try {
      return utf8.decode(bytes.subarray(start, end))
    } catch (cause) {
      throw new RaftbaseError('WIRE_MALFORMED', 'text is not UTF-8', { cause })
    }
  }

  /** The length of a length-delimited field, checked against what is left; its bytes come next. */
  length(): number {
    const length = this.safeUint()
    if (length > this.#end - this.#position) malformed('length runs past the end', { length })
    return length
  }

  /** Begins a nested message (or a packed field); returns what `leave` wants back. */
  enter(): number {
    const length = this.length()
    if (++this.#depth > NESTING_MAX) malformed('messages are nested too deep')
    const outerEnd = this.#end
    this.#end = this.#position + length
    return outerEnd
  }

  /** Ends the nested message; all of it must have been read. */
  leave(outerEnd: number): void {
    if (this.#position !== this.#end) malformed('nested message was not read to its end')
    this.#end = outerEnd
    this.#depth--
  }

  /** Passes over the value of a field this version does not know. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint()
        return
      case 1:
        this.#advance(8)
        return
      case 2:
        this.#advance(this.length())
        return
      case 3:
        this.#skipGroup(tag >>> 3)
        return
      case 5:
        this.#advance(4)
        return
      default:
        malformed('wire type is unknown', { tag })
    }
  }

  /** Everything of the current message that has not been read, as a view; it counts as read. */
  rest(): Uint8Array {
    const view = this.#bytes.subarray(this.#position, this.#end)
    this.#position = this.#end
    return view
  }

  #skipGroup(field: number): void {
    if (++this.#depth > NESTING_MAX) malformed('groups are nested too deep')
    for (;;) {
      const tag = this.tag()
      if (tag === 0) malformed('group has no end', { field })
      if ((tag & 7) === 4) {
        if (tag >>> 3 !== field) malformed('group ends as another', { field })
        break
      }
      this.skip(tag)
    }
    this.#depth--
  }

  #advance(count: number): void {
    if (count > this.#end - this.#position) malformed('field runs past the end', { count })
    this.#position += count
  }

  #fixed64(): void {
    const at = this.#position
    this.#advance(8)
    const b = this.#bytes
    this.#low = (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0
    this.#high = (b[at + 4]! | (b[at + 5]! << 8) | (b[at + 6]! << 16) | (b[at + 7]! << 24)) >>> 0
  }

  /** Ten bytes at most; the tenth carries one bit. */
  #varint(): void {
    const position = this.#position
    if (this.#end - position < 4) return this.#longVarint()
    // Four bytes at most, without a loop: nearly every index, revision and length.
    const bytes = this.#bytes
    let byte = bytes[position]!
    let low = byte & 0x7f
    let length = 1
    if (byte >= 0x80) {
      byte = bytes[position + 1]!
      low |= (byte & 0x7f) << 7
      length = 2
      if (byte >= 0x80) {
        byte = bytes[position + 2]!
        low |= (byte & 0x7f) << 14
        length = 3
        if (byte >= 0x80) {
          byte = bytes[position + 3]!
          low |= (byte & 0x7f) << 21
          length = 4
          if (byte >= 0x80) return this.#longVarint()
        }
      }
    }
    this.#position = position + length
    this.#low = low
    this.#high = 0
  }

  #longVarint(): void {
    const bytes = this.#bytes
    const end = this.#end
    let position = this.#position
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (position === end) malformed('integer runs past the end')
      const byte = bytes[position++]!
      const bits = byte & 0x7f
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high = bits >>> 4
      } else if (shift < 63) high |= bits << (shift - 32)
      else if (byte > 1) malformed('integer has more than 64 bits')
      else high |= bits << 31
      if (byte < 0x80) {
        this.#position = position
        this.#low = low >>> 0
        this.#high = high >>> 0
        return
      }
    }
    malformed('integer has more than ten bytes')
  }
}

/** Short texts character by character, which beats a call into the runtime. */
function asciiText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > 24) {
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
  }
  let text = ''
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]!)
  return text
}

/** Two 32-bit patterns as 16 lower-case hex digits, in one string of its own. */
function hexText(high: number, low: number): string {
  return String.fromCharCode(
    hexCode(high >>> 28),
    hexCode(high >>> 24),
    hexCode(high >>> 20),
    hexCode(high >>> 16),
    hexCode(high >>> 12),
    hexCode(high >>> 8),
    hexCode(high >>> 4),
    hexCode(high),
    hexCode(low >>> 28),
    hexCode(low >>> 24),
    hexCode(low >>> 20),
    hexCode(low >>> 16),
    hexCode(low >>> 12),
    hexCode(low >>> 8),
    hexCode(low >>> 4),
    hexCode(low),
  )
}

function hexCode(bits: number): number {
  const digit = bits & 15
  return digit < 10 ? 0x30 + digit : 0x57 + digit
}
