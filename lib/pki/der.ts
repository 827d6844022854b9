// DER (X.690), as much of it as certificates and revocation lists need: writing values, and reading what others wrote. The
// reader checks every length against what is there and fails on anything else; it follows no pointer and builds no tree.

import { Buffer } from 'node:buffer'

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** A value with its tag: `content` without, `bytes` with header. */
export interface DerValue {
  readonly tag: number
  readonly content: Buffer
  readonly bytes: Buffer
}

/** `[n]`, constructed. */
export function contextTag(number: number): number {
  return 0xa0 | number
}

export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content])
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(TAG.sequence, ...parts)
}

/** A number that is not negative, from its big-endian bytes. */
export function unsigned(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.length === 0 ? Buffer.alloc(1) : bytes.subarray(start)
  return der(TAG.integer, (digits[0]! & 0x80) === 0 ? Buffer.alloc(0) : Buffer.alloc(1), digits)
}

/** `1.2.840.10045.2.1`. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift((left & 0x7f) | 0x80)
    }
    bytes.push(...digits)
  }
  return der(TAG.objectIdentifier, Buffer.from(bytes))
}

/** The form that RFC 5280 asks for: UTCTime until 2049, GeneralizedTime from then on; whole seconds. */
export function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  return ms < Date.UTC(2050, 0)
    ? der(TAG.utcTime, Buffer.from(text.slice(2)))
    : der(TAG.generalizedTime, Buffer.from(text))
}

/** The values in `content`, one after the other. Throws a TypeError for anything that is not DER. */
export function readAll(content: Uint8Array): DerValue[] {
  const values: DerValue[] = []
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  for (let at = 0; at < buffer.length; ) {
    const value = readAt(buffer, at)
    values.push(value)
    at += value.bytes.length
  }
  return values
}

/** The one value that `bytes` is. */
export function readOne(bytes: Uint8Array): DerValue {
  const [value, ...rest] = readAll(bytes)
  if (value === undefined || rest.length > 0) throw new TypeError('not one DER value')
  return value
}

/** The values inside a value that must have this tag. */
export function readInside(value: DerValue | undefined, tag: number): DerValue[] {
  if (value?.tag !== tag) throw new TypeError(`expected DER tag ${tag}, got ${value?.tag}`)
  return readAll(value.content)
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in RFC 5280's form. */
export function readTime(value: DerValue | undefined): number {
  const text = value?.content.toString('latin1') ?? ''
  const isShort = value?.tag === TAG.utcTime
  if (!isShort && value?.tag !== TAG.generalizedTime) throw new TypeError('not a DER time')
  // RFC 5280 4.1.2.5.1: two digits below 50 are of this century.
  const full = isShort ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full)
  if (parts === null) throw new TypeError('malformed DER time')
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1)
    .map(Number)
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const digits = Buffer.alloc(4)
  digits.writeUInt32BE(length)
  const start = digits.findIndex((digit) => digit !== 0)
  return Buffer.concat([Buffer.from([0x80 | (4 - start)]), digits.subarray(start)])
}

function readAt(buffer: Buffer, at: number): DerValue {
  const tag = buffer[at]!
  if ((tag & 0x1f) === 0x1f) throw new TypeError('DER tag of several bytes')
  let length = buffer[at + 1]
  let start = at + 2
  if (length === undefined) throw new TypeError('DER value cut short')
  if (length > 0x7f) {
    const digits = length & 0x7f
    if (digits === 0 || digits > 4 || start + digits > buffer.length) {
      throw new TypeError('malformed DER length')
    }
    length = buffer.readUIntBE(start, digits)
    start += digits
  }
  const end = start + length
  if (end > buffer.length) throw new TypeError('DER value cut short')
  return { tag, content: buffer.subarray(start, end), bytes: buffer.subarray(at, end) }
}
