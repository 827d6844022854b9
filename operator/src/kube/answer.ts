// Reads answers of the API server: objects, lists, watch events, and the Status objects that say what went wrong.

import type { KubeObject, ResourceType } from '../api/kube-object.ts'
import { apiVersionOf } from '../api/resource-types.ts'
import { KubeError, type KubeErrorCode, type StatusCause } from './errors.ts'
import type { ListPage, WatchEvent } from './kube-api.ts'

const SERVER_MESSAGE_LENGTH_MAX = 2000

/** The failure that an answer with `status` and `body` describes. `retryAfter` is the header. */
export function failureOf(status: number, body: string, retryAfter?: string): KubeError {
  let content: unknown
  try {
    content = JSON.parse(body)
  } catch {
    // A proxy or an overloaded server answers with text: the status says enough, the text helps a person.
    content = { message: body }
  }
  return failureOfStatus(status, content, retryAfter)
}

function failureOfStatus(status: number, content: unknown, retryAfter?: string): KubeError {
  const body = isRecord(content) ? content : {}
  const details = isRecord(body['details']) ? body['details'] : {}
  const reason = textOf(body['reason'])
  const causes = (Array.isArray(details['causes']) ? details['causes'] : []).map(causeOf)
  const code = codeOf(status, reason, causes)
  const seconds = Number(retryAfter ?? details['retryAfterSeconds'])
  return new KubeError(code, MESSAGES[code], {
    status,
    reason,
    serverMessage: textOf(body['message'])?.slice(0, SERVER_MESSAGE_LENGTH_MAX),
    causes,
    retryAfterMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined,
  })
}

function codeOf(
  status: number,
  reason: string | undefined,
  causes: readonly StatusCause[],
): KubeErrorCode {
  switch (status) {
    case 401:
      return 'unauthorized'
    case 403:
      return 'forbidden'
    case 404:
      return 'notFound'
    case 409:
      return reason === 'AlreadyExists' ? 'alreadyExists' : 'conflict'
    case 410:
      return 'expired'
    case 422:
      // A patch that names a uid is refused this way when the object is another one of the same name.
      return causes.some(({ field }) => field === 'metadata.uid') ? 'conflict' : 'invalid'
    case 429:
      return 'throttled'
    default:
      return status >= 500 ? 'unavailable' : 'invalid'
  }
}

const MESSAGES: Readonly<Record<KubeErrorCode, string>> = {
  conflict: 'changed by somebody else',
  alreadyExists: 'exists already',
  notFound: 'does not exist',
  forbidden: 'not allowed',
  unauthorized: 'credentials are not accepted',
  invalid: 'refused as invalid',
  expired: 'position is too old',
  throttled: 'asked to slow down',
  unavailable: 'API server failed',
  timeout: 'no answer in time',
  aborted: 'given up',
  notLeading: 'this process does not lead',
  malformed: 'answer makes no sense',
}

/** One object. */
export function readObject(text: string): KubeObject {
  const content = parse(text)
  if (!isKubeObject(content)) throw malformed('answer is not an object of the API')
  return content
}

/** One page. Items of a list carry no kind and apiVersion of their own; they get those of `type`. */
export function readListPage(text: string, type: ResourceType): ListPage {
  const content = parse(text)
  const metadata = isRecord(content) ? content['metadata'] : undefined
  const items = isRecord(content) ? (content['items'] ?? []) : undefined
  if (!isRecord(metadata) || !Array.isArray(items)) throw malformed('answer is not a list')
  const resourceVersion = textOf(metadata['resourceVersion'])
  if (resourceVersion === undefined) throw malformed('list has no resourceVersion')
  const kind = { apiVersion: apiVersionOf(type), kind: type.kind }
  return {
    items: items.map((item: unknown) => {
      const object = isRecord(item) ? { ...kind, ...item } : undefined
      if (!isKubeObject(object)) throw malformed('list has an item that is not an object')
      return object
    }),
    resourceVersion,
    continueToken: textOf(metadata['continue']),
  }
}

/** One line of a watch. An ERROR event is thrown as the failure it describes. */
export function readWatchEvent(line: string): WatchEvent {
  const content = parse(line)
  const object = isRecord(content) ? content['object'] : undefined
  const type = isRecord(content) ? content['type'] : undefined
  if (!isRecord(object)) throw malformed('watch event has no object')
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED': {
      if (!isKubeObject(object)) throw malformed('watch event is about no object')
      return { type: EVENT_TYPES[type], object }
    }
    case 'BOOKMARK': {
      const metadata = isRecord(object['metadata']) ? object['metadata'] : {}
      const resourceVersion = textOf(metadata['resourceVersion'])
      if (resourceVersion === undefined) throw malformed('bookmark has no resourceVersion')
      return { type: 'bookmark', resourceVersion }
    }
    case 'ERROR':
      throw failureOfStatus(Number(object['code'] ?? 500), object)
    default:
      throw malformed('watch event has an unknown type')
  }
}

const EVENT_TYPES = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new KubeError('malformed', 'answer is not JSON', { cause })
  }
}

function malformed(message: string): KubeError {
  return new KubeError('malformed', message)
}

function isKubeObject(value: unknown): value is KubeObject {
  if (!isRecord(value) || !isRecord(value['metadata'])) return false
  return typeof value['kind'] === 'string' && typeof value['metadata']['name'] === 'string'
}

function causeOf(value: unknown): StatusCause {
  const cause = isRecord(value) ? value : {}
  return {
    reason: textOf(cause['reason']) ?? '',
    field: textOf(cause['field']) ?? '',
    message: textOf(cause['message']) ?? '',
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
