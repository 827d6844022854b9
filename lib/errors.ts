// The failures of the world, one code each. Branch on `code`, never on the message. Every code has a paragraph in
// docs/errors.md (a test keeps the two in step), and each edge maps the union with `satisfies Record<ErrorCode, …>`.

export const ERROR_CODES = [
  // Requests
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ROUTE_NOT_FOUND',
  'METHOD_NOT_ALLOWED',
  'REQUEST_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'ORIGIN_REFUSED',
  'REVISION_COMPACTED',
  'REVISION_FUTURE',
  'NO_LEADER',
  'NOT_LEADER',
  'NOT_READY',
  'OVERLOADED',
  'TIMEOUT',
  'OUTCOME_UNKNOWN',
  'SHUTTING_DOWN',
  'NO_SPACE',
  // Start and configuration
  'CONFIG_INVALID',
  'ADDRESS_IN_USE',
  'DATA_DIR_UNUSABLE',
  'DATA_DIR_LOCKED',
  'DATA_DIR_FOREIGN',
  'AWAITING_REPLACEMENT',
  // Disk
  'WAL_CORRUPT',
  'SNAPSHOT_CORRUPT',
  'METADATA_CORRUPT',
  'DISK_FAILED',
  // Peers
  'CLUSTER_MISMATCH',
  'MEMBER_MISMATCH',
  'PROTOCOL_MISMATCH',
  'MEMBER_REMOVED',
  'MEMBERSHIP_CONFLICT',
  'MEMBERSHIP_UNSAFE',
  'LEVEL_UNSUPPORTED',
  'CERTIFICATE_REFUSED',
  'PEER_UNREACHABLE',
  'SNAPSHOT_REFUSED',
  'WIRE_MALFORMED',
  // Bugs, as seen from an edge
  'INTERNAL',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

export interface ErrorOptionsWithDetails {
  /** What varies: the sentence stays constant. Never keys, values, tokens or private keys. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** A failure of the world. `message` is a lower-case fragment; everything that varies is in `details`. */
export class RaftbaseError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RaftbaseError'
    this.code = code
    this.details = options.details ?? {}
  }
}

/** Whether `error` is a {@link RaftbaseError} with this code. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof RaftbaseError && error.code === code
}
