// JSON bodies, taken apart by hand: a schema compiler would cost more memory than everything else here. Pure.

import { RaftbaseError } from '../../../lib/errors.ts'
import type { NodeInfo } from '../node/member-node.ts'

const JSON_TYPE = /^application\/json\s*(;|$)/i

/**
 * The properties of a body that is one JSON object, or nothing at all. Throws UNSUPPORTED_MEDIA_TYPE or INVALID_ARGUMENT,
 * also for a property that is not among `names`.
 */
export function jsonBody(
  bytes: Uint8Array,
  contentType: string | undefined,
  names: readonly string[],
): Readonly<Record<string, unknown>> {
  if (bytes.length === 0) return {}
  if (contentType === undefined || !JSON_TYPE.test(contentType)) {
    throw new RaftbaseError('UNSUPPORTED_MEDIA_TYPE', 'body is not application/json', {
      details: { field: 'content-type', accepted: 'application/json' },
    })
  }
  const value = parseJson(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('body', 'a JSON object')
  }
  const unknown = Object.keys(value).find((name) => !names.includes(name))
  if (unknown !== undefined) {
    throw invalid(unknown.slice(0, 64), `no property but ${names.join(', ')}`)
  }
  return { ...value }
}

export function isMemberId(value: unknown): value is NodeInfo['id'] {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)
}

export function invalid(field: string, accepted: string): RaftbaseError {
  return new RaftbaseError('INVALID_ARGUMENT', 'body is not what is expected', {
    details: { field, accepted },
  })
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new RaftbaseError('INVALID_ARGUMENT', 'body is not JSON', {
      details: { field: 'body', accepted: 'JSON in UTF-8' },
      cause,
    })
  }
}
