// PURE: what each error code means over HTTP, as an RFC 9457 problem document. Two promises: a client always learns
// whether a write certainly did not happen or may have happened, and nothing but whitelisted details leaves the process.

import { type ErrorCode, RaftbaseError } from '../../../lib/errors.ts'
import type { Problem } from './contract.ts'

/** What a handler gives back; app.ts writes it. Header names are lower-case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

interface Meaning {
  readonly status: number
  readonly title: string
  /** `notApplied`: it did not happen and will not. `unknown`: it may have. Absent where a write cannot meet the code. */
  readonly outcome?: 'notApplied' | 'unknown'
  /** Worth another try after this many seconds, unchanged. */
  readonly retryAfterSeconds?: number
}

/** Failures that end the process, or of peers and disks: a request that meets one cannot know how far it got. */
const BROKEN: Meaning = { status: 500, title: 'Member failed', outcome: 'unknown' }

const MEANINGS = {
  INVALID_ARGUMENT: { status: 400, title: 'Invalid argument', outcome: 'notApplied' },
  NOT_FOUND: { status: 404, title: 'Key not found' },
  ROUTE_NOT_FOUND: { status: 404, title: 'No such path' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed', outcome: 'notApplied' },
  REQUEST_TOO_LARGE: { status: 413, title: 'Request too large', outcome: 'notApplied' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type', outcome: 'notApplied' },
  ORIGIN_REFUSED: { status: 403, title: 'Origin refused', outcome: 'notApplied' },
  REVISION_COMPACTED: { status: 410, title: 'Revision compacted', outcome: 'notApplied' },
  REVISION_FUTURE: { status: 400, title: 'Revision in the future', outcome: 'notApplied' },
  NO_LEADER: { status: 503, title: 'No leader', outcome: 'notApplied', retryAfterSeconds: 1 },
  NOT_LEADER: { status: 409, title: 'Not the leader', outcome: 'notApplied' },
  NOT_READY: { status: 503, title: 'Not ready', outcome: 'notApplied', retryAfterSeconds: 1 },
  OVERLOADED: { status: 503, title: 'Overloaded', outcome: 'notApplied', retryAfterSeconds: 1 },
  TIMEOUT: { status: 504, title: 'Deadline passed', outcome: 'notApplied', retryAfterSeconds: 1 },
  OUTCOME_UNKNOWN: { status: 504, title: 'Outcome unknown', outcome: 'unknown' },
  SHUTTING_DOWN: {
    status: 503,
    title: 'Shutting down',
    outcome: 'notApplied',
    retryAfterSeconds: 1,
  },
  NO_SPACE: { status: 507, title: 'No space', outcome: 'notApplied' },
  CONFIG_INVALID: BROKEN,
  ADDRESS_IN_USE: BROKEN,
  DATA_DIR_UNUSABLE: BROKEN,
  DATA_DIR_LOCKED: BROKEN,
  DATA_DIR_FOREIGN: BROKEN,
  AWAITING_REPLACEMENT: BROKEN,
  WAL_CORRUPT: BROKEN,
  SNAPSHOT_CORRUPT: BROKEN,
  METADATA_CORRUPT: BROKEN,
  DISK_FAILED: BROKEN,
  CLUSTER_MISMATCH: BROKEN,
  MEMBER_MISMATCH: BROKEN,
  PROTOCOL_MISMATCH: BROKEN,
  MEMBER_REMOVED: BROKEN,
  MEMBERSHIP_CONFLICT: { status: 409, title: 'Membership conflict', outcome: 'notApplied' },
  MEMBERSHIP_UNSAFE: { status: 409, title: 'Membership change is unsafe', outcome: 'notApplied' },
  LEVEL_UNSUPPORTED: { status: 409, title: 'Feature level not supported', outcome: 'notApplied' },
  CERTIFICATE_REFUSED: { status: 403, title: 'Certificate refused', outcome: 'notApplied' },
  PEER_UNREACHABLE: BROKEN,
  SNAPSHOT_REFUSED: BROKEN,
  WIRE_MALFORMED: BROKEN,
  INTERNAL: { status: 500, title: 'Internal error', outcome: 'unknown' },
} satisfies Record<ErrorCode, Meaning>

/** The details that may leave the process, wherever an error comes from. */
const PUBLIC_DETAILS = [
  'field',
  'accepted',
  'limitBytes',
  'reason',
  'revision',
  'compactRevision',
  'epoch',
  'expectedEpoch',
  'member',
  'match',
  'lastIndex',
  'lagMax',
  'voters',
  'level',
  'members',
  'answering',
  'silent',
  'instead',
  'leader',
  'leaderName',
  'leaderApiUrls',
] as const

export interface ProblemOptions {
  /** Instead of the code's own status: 408 and 431 have no code of their own. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** The answer to a request that ends with `error`. Anything but a RaftbaseError becomes INTERNAL, its text kept back. */
export function problemAnswer(error: unknown, options: ProblemOptions = {}): Answer {
  const known =
    error instanceof RaftbaseError ? error : new RaftbaseError('INTERNAL', 'internal error')
  const meaning: Meaning = MEANINGS[known.code]
  const status = options.status ?? meaning.status
  const isOurs = meaning === BROKEN || known.code === 'INTERNAL'
  const problem: Problem = {
    type: `docs/errors.md#${known.code.toLowerCase()}`,
    title: meaning.title,
    status,
    detail: isOurs ? 'the member met a failure of its own; its log says more' : known.message,
    code: known.code,
    ...(meaning.outcome === undefined ? {} : { outcome: meaning.outcome }),
    ...(isOurs ? {} : publicDetails(known.details)),
  }
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' }
  if (meaning.retryAfterSeconds !== undefined) {
    headers['retry-after'] = String(meaning.retryAfterSeconds)
  }
  return { status, headers: { ...headers, ...options.headers }, body: JSON.stringify(problem) }
}

/** Whether the member itself is at fault, so that a person should look. */
export function isFault(error: unknown): boolean {
  if (!(error instanceof RaftbaseError)) return true
  return error.code === 'INTERNAL' || MEANINGS[error.code] === BROKEN
}

export function jsonAnswer(value: object, status = 200): Answer {
  const headers = { 'content-type': 'application/json' }
  return { status, headers, body: JSON.stringify(value) }
}

export function textAnswer(text: string, contentType = 'text/plain; charset=utf-8'): Answer {
  return { status: 200, headers: { 'content-type': contentType }, body: text }
}

function publicDetails(details: Readonly<Record<string, unknown>>): Record<string, PublicValue> {
  const result: Record<string, PublicValue> = {}
  for (const name of PUBLIC_DETAILS) {
    const value = Object.hasOwn(details, name) ? details[name] : undefined
    if (isPublicValue(value)) result[name] = value
  }
  return result
}

type PublicValue = string | number | readonly string[]

function isPublicValue(value: unknown): value is PublicValue {
  if (Array.isArray(value)) return value.every((item) => typeof item === 'string')
  return typeof value === 'string' || typeof value === 'number'
}
