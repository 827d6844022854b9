// PURE: the request target as it stood on the request line. Keys are bytes, not text: `%FF`, `%00`, `%2F` and a literal
// slash each stand for themselves, so the path is taken apart here and not by a router that expects UTF-8.

import { Buffer } from 'node:buffer'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Consistency } from '../node/member-node.ts'

/** A request target in two halves, undecoded. `query` is without its question mark; undefined when there is none. */
export interface Target {
  readonly path: string
  readonly query: string | undefined
}

const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i

/** Takes a request target apart; the absolute form (RFC 9112 §3.2.2) loses its authority. */
export function parseTarget(target: string): Target {
  const origin = target.startsWith('/') ? target : target.replace(ABSOLUTE_FORM, '')
  const mark = origin.indexOf('?')
  if (mark === -1) return { path: origin === '' ? '/' : origin, query: undefined }
  const path = origin.slice(0, mark)
  return { path: path === '' ? '/' : path, query: origin.slice(mark + 1) }
}

/**
 * The bytes that `text` stands for. Every character of a request line is one byte (Node.js reads it as Latin-1), so what
 * is not percent-encoded is taken as it is. Throws INVALID_ARGUMENT on a percent sign without two hex digits.
 */
export function percentDecode(text: string, field: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    let byte = text.charCodeAt(i)
    if (byte === 0x25) {
      const high = hexDigit(text.charCodeAt(i + 1))
      const low = hexDigit(text.charCodeAt(i + 2))
      if (high === -1 || low === -1) throw malformed(field, 'a percent sign and two hex digits')
      byte = high * 16 + low
      i += 2
    }
    if (byte > 0xff) throw malformed(field, 'bytes, percent-encoded where they are not ASCII')
    bytes[length] = byte
    length++
  }
  return bytes.subarray(0, length)
}

/**
 * The query's parameters, decoded as UTF-8. Throws INVALID_ARGUMENT naming the parameter when one is not among `names`,
 * comes twice, or is malformed. A parameter without an equals sign has the empty value.
 */
export function parseQuery(
  query: string | undefined,
  names: readonly string[],
): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>()
  if (query === undefined || query === '') return parameters
  for (const part of query.split('&')) {
    if (part === '') continue
    const mark = part.indexOf('=')
    const name = decodeText(mark === -1 ? part : part.slice(0, mark), 'query')
    if (!names.includes(name)) {
      const accepted = names.length === 0 ? 'no parameters' : names.join(', ')
      throw new RaftbaseError('INVALID_ARGUMENT', 'unknown query parameter', {
        details: { field: name.slice(0, 64), accepted },
      })
    }
    if (parameters.has(name)) {
      throw new RaftbaseError('INVALID_ARGUMENT', 'query parameter is repeated', {
        details: { field: name, accepted: 'the parameter once' },
      })
    }
    parameters.set(name, mark === -1 ? '' : decodeText(part.slice(mark + 1), name))
  }
  return parameters
}

/** Milliseconds from `500ms`, `5s` or `1m`. Throws INVALID_ARGUMENT when malformed or outside [min, max]. */
export function parseDuration(
  text: string,
  options: { readonly field: string; readonly minMs: number; readonly maxMs: number },
): number {
  const match = /^(\d{1,9})(ms|s|m)$/.exec(text)
  const unitMs = match === null ? 0 : { ms: 1, s: 1000, m: 60_000 }[match[2] as 'ms' | 's' | 'm']
  const durationMs = match === null ? -1 : Number(match[1]) * unitMs
  if (durationMs < options.minMs || durationMs > options.maxMs) {
    const accepted = `a duration like 500ms or 5s, from ${options.minMs}ms to ${options.maxMs}ms`
    throw malformed(options.field, accepted)
  }
  return durationMs
}

/** A positive safe integer in decimal. Throws INVALID_ARGUMENT otherwise. */
export function parsePositiveInteger(text: string, field: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0
  if (value < 1 || !Number.isSafeInteger(value)) {
    throw malformed(field, `an integer from 1 to ${Number.MAX_SAFE_INTEGER}`)
  }
  return value
}

function decodeText(text: string, field: string): string {
  return Buffer.from(percentDecode(text, field)).toString('utf8')
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

function malformed(field: string, accepted: string): RaftbaseError {
  return new RaftbaseError('INVALID_ARGUMENT', 'malformed request target', {
    details: { field, accepted },
  })
}

/** What `?consistency=` asks for. Throws INVALID_ARGUMENT. */
export function consistencyOf(query: ReadonlyMap<string, string>): Consistency {
  const text = query.get('consistency') ?? 'linearizable'
  if (text === 'linearizable' || text === 'serializable') return text
  throw new RaftbaseError('INVALID_ARGUMENT', 'unknown consistency', {
    details: { field: 'consistency', accepted: 'linearizable, serializable' },
  })
}
