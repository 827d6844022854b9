// One record by itself: what it gives back, and that it validates in its own place only.

import { describe, expect, test } from 'vitest'
import {
  decodePayload,
  isPayloadValid,
  type LogRecord,
  readRecordHeader,
  RECORD_HEADER_BYTES,
  RecordEncoder,
  type RecordPlace,
  sealRecord,
} from '../../../member/src/wal/record.ts'
import { entries, hardState, snapshotAt } from '../../support/log-harness.ts'

const PLACE: RecordPlace = { salt: 0x1234_5678, sequence: 7, offset: 12_288 }

function sealed(place: RecordPlace) {
  const record = new RecordEncoder().encode({
    entries: entries(5, 3, 2),
    hardState: hardState(2, 4),
    snapshot: snapshotAt(4, 1),
  })
  sealRecord(record, place, place.offset)
  return record
}

function fresh(batch: LogRecord): Buffer {
  const record = new RecordEncoder().encode(batch)
  sealRecord(record, PLACE, PLACE.offset)
  return record
}

function validates(record: Buffer, place: RecordPlace): boolean {
  const header = readRecordHeader(record, 0, place)
  if (header === undefined) return false
  return isPayloadValid(record.subarray(RECORD_HEADER_BYTES), header, place)
}

describe('a record', () => {
  test('gives back what was stored in it', () => {
    const record = sealed(PLACE)
    const header = readRecordHeader(record, 0, PLACE)
    expect(header).toMatchObject({ flushedThrough: PLACE.offset })
    expect(decodePayload(record.subarray(RECORD_HEADER_BYTES), header!.flags)).toEqual({
      entries: entries(5, 3, 2),
      hardState: hardState(2, 4),
      snapshot: snapshotAt(4, 1),
    })
  })

  test('validates in its own place only: this segment, this file, this offset', () => {
    const record = sealed(PLACE)
    expect(validates(record, PLACE)).toBe(true)
    expect(validates(record, { ...PLACE, sequence: 8 })).toBe(false)
    expect(validates(record, { ...PLACE, salt: 0x1234_5679 })).toBe(false)
    expect(validates(record, { ...PLACE, offset: 12_296 })).toBe(false)
  })

  test('does not validate with any bit changed', () => {
    const record = sealed(PLACE)
    for (let bit = 0; bit < record.length * 8; bit++) {
      record[bit >> 3]! ^= 1 << (bit & 7)
      expect(validates(record, PLACE), `bit ${bit}`).toBe(false)
      record[bit >> 3]! ^= 1 << (bit & 7)
    }
  })

  test('encoded into the memory of others before it holds nothing of them', () => {
    const encoder = new RecordEncoder()
    // Of every remainder modulo 8, around the memory kept at first and around all that is ever kept.
    const sizes = [900_000, 1, 2, 3, 4, 5, 6, 7, 8, 16_300, 16_400, 1_048_500, 1_048_600, 9]
    for (const [i, size] of sizes.entries()) {
      const entry = { index: i + 1, term: 1, type: 'normal', change: undefined } as const
      const data = new Uint8Array(size).fill(i + 1)
      const batch = { entries: [{ ...entry, data }], hardState: undefined, snapshot: undefined }
      const record = encoder.encode(batch)
      sealRecord(record, PLACE, PLACE.offset)
      expect(validates(record, PLACE)).toBe(true)
      expect(record.equals(fresh(batch)), `${size} bytes`).toBe(true)
    }
  })

  test('zeros are none, whatever the salt', () => {
    const zeros = Buffer.alloc(64)
    for (let salt = 0; salt < 1000; salt++) {
      expect(readRecordHeader(zeros, 0, { ...PLACE, salt })).toBeUndefined()
    }
  })
})
