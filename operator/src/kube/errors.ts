// What can go wrong between us and the API server, as a few codes that callers branch on. The HTTP status and the reason
// of the Status object that came with it decide; message texts never do.

export const KUBE_ERROR_CODES = [
  /** Somebody else changed it first, or a precondition (uid, resourceVersion, another field manager) does not hold. */
  'conflict',
  /** A create found the name taken. */
  'alreadyExists',
  /** The object, its kind or its namespace does not exist. */
  'notFound',
  /** Our ServiceAccount may not do this: the chart's RBAC rules, an admission policy or a quota. */
  'forbidden',
  /** The token or certificate is not accepted (any more). */
  'unauthorized',
  /** The object breaks its schema or a validation rule: trying again unchanged is useless. */
  'invalid',
  /** The resourceVersion or continue token is too old: list anew. */
  'expired',
  /** Asked to slow down; `retryAfterMs` says for how long. */
  'throttled',
  /** The server failed, or did not answer, or the connection broke: the request may have been carried out. */
  'unavailable',
  /** Our own deadline passed: the request may have been carried out. */
  'timeout',
  /** The caller's signal was aborted: the request may have been carried out. */
  'aborted',
  /** Nothing was sent: this process does not lead. */
  'notLeading',
  /** The answer is not what the API promises (not JSON, too large). */
  'malformed',
] as const

export type KubeErrorCode = (typeof KUBE_ERROR_CODES)[number]

/** One of the causes a Status object lists. */
export interface StatusCause {
  /** `FieldValueInvalid`, `NamespaceTerminating`, … */
  readonly reason: string
  /** `spec.replicas`, `metadata.uid`; empty when it is about no field. */
  readonly field: string
  readonly message: string
}

export interface KubeErrorOptions {
  /** HTTP status, when there was an answer. */
  readonly status?: number | undefined
  /** `reason` of the Status object: `Forbidden`, `NamespaceTerminating`, … */
  readonly reason?: string | undefined
  /** What the API server says, for people. */
  readonly serverMessage?: string | undefined
  readonly causes?: readonly StatusCause[] | undefined
  readonly retryAfterMs?: number | undefined
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** A failed request. Branch on `code`. */
export class KubeError extends Error {
  readonly code: KubeErrorCode
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly causes: readonly StatusCause[]
  readonly retryAfterMs: number | undefined
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'KubeError'
    // The stack of a failure of the world says nothing that code and details do not.
    this.stack = `${this.name}: ${message}`
    this.code = code
    this.status = options.status
    this.reason = options.reason
    this.causes = options.causes ?? []
    this.retryAfterMs = options.retryAfterMs
    const { serverMessage, details } = options
    this.details = {
      ...details,
      ...(options.status === undefined ? {} : { status: options.status }),
      ...(options.reason === undefined ? {} : { reason: options.reason }),
      ...(serverMessage === undefined ? {} : { serverMessage }),
    }
  }
}

/** Whether the request was refused because its namespace is being deleted: nothing can be created there any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    isKubeError(error, 'forbidden', 'conflict') &&
    error.causes.some(({ reason }) => reason === 'NamespaceTerminating')
  )
}

/** Whether `error` is a {@link KubeError} with one of these codes. */
export function isKubeError(
  error: unknown,
  ...codes: readonly KubeErrorCode[]
): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code))
}

/** In the words of the API server, where it answered. */
export function saidBy({ details, message }: KubeError): string {
  const said = details['serverMessage']
  return typeof said === 'string' ? said : message
}

/** Whether the same request may succeed later without anybody changing anything. */
export function isTransient(code: KubeErrorCode): boolean {
  return code === 'throttled' || code === 'unavailable' || code === 'timeout' || code === 'expired'
}
