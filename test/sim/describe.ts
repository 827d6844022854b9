// Messages and log lines as a reader of a timeline wants them.

import type { MemberId } from '../../member/src/raft/types.ts'
import { describeMessage } from '../../member/src/raft/describe.ts'
import { decodeNodeMessage, decodePeerMessage } from '../../member/src/wire/raft-codec.ts'

/** One message on the wires, encoded. */
export interface Parcel {
  readonly kind: 'raft' | 'node'
  readonly from: MemberId
  readonly to: MemberId
  readonly bytes: Uint8Array
}

export type NameOf = (id: MemberId) => string

export function describeWire({ kind, from, to, bytes }: Parcel, nameOf: NameOf): string {
  if (kind === 'raft') return describeMessage(decodePeerMessage(bytes, { from, to }), nameOf)
  const message = decodeNodeMessage(bytes)
  const sequences =
    message.type === 'Forward'
      ? message.requests.map(({ sequence }) => sequence)
      : message.sequences
  return `${message.type} term=${message.term} origin=${message.origin} [${sequences.join(' ')}]`
}

/** The fields of a log line, members by name. */
export function describeFields(fields: object, nameOf: NameOf): string {
  return Object.entries(fields)
    .map(([key, value]) => `${key}=${describeValue(value, nameOf)}`)
    .join(' ')
}

function describeValue(value: unknown, nameOf: NameOf): string {
  if (typeof value === 'string') return nameOf(value as MemberId)
  if (Array.isArray(value)) return `[${value.map((item) => describeValue(item, nameOf)).join(' ')}]`
  if (value instanceof Error) {
    const code = 'code' in value ? `${String(value.code)}: ` : ''
    return `(${code}${value.message})`
  }
  if (typeof value === 'number') return String(Math.round(value * 1000) / 1000)
  if (typeof value === 'object' && value !== null) return `{${describeFields(value, nameOf)}}`
  return String(value)
}
