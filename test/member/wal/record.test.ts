// One record by itself: what it gives back, and that it validates in its own place only.

import { describe, expect, test } from 'vitest'
import {
  decodePayload,
  encodeRecord,
  isPayloadValid,
  readRecordHeader,
  RECORD_HEADER_BYTES,
  type RecordPlace,
  sealRecord,
} from '../../../member/src/wal/record.ts'
import { entries, hardState, snapshotAt } from '../../support/log-harness.ts'

const PLACE: RecordPlace = { salt: 0x1234_5678, sequence: 7, offset: 12_288 }

function sealed(place: RecordPlace) {
  const record = encodeRecord({
    entries: entries(5, 3, 2),
    hardState: hardState(2, 4),
    snapshot: snapshotAt(4, 1),
  })
  sealRecord(record, place, place.offset)
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

  test('zeros are none, whatever the salt', () => {
    const zeros = Buffer.alloc(64)
    for (let salt = 0; salt < 1000; salt++) {
      expect(readRecordHeader(zeros, 0, { ...PLACE, salt })).toBeUndefined()
    }
  })
})
