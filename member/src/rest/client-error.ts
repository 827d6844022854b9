// PURE: what is written to a bare socket when the HTTP parser gives up: a problem document like any other, then the end.

import { Buffer } from 'node:buffer'
import { STATUS_CODES } from 'node:http'
import { RaftbaseError } from '../../../lib/errors.ts'
import { type Answer, problemAnswer } from './errors.ts'

/** A whole HTTP/1.1 response for one of Node.js' parser errors; anything unknown is a malformed request. */
export function clientErrorText(code: string | undefined): string {
  const { status, headers, body } = clientErrorAnswer(code)
  const text = String(body)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = `content-length: ${Buffer.byteLength(text)}\r\n`
  const statusLine = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`
  return `${statusLine}${lines.join('')}${length}connection: close\r\n\r\n${text}`
}

function clientErrorAnswer(code: string | undefined): Answer {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problemAnswer(new RaftbaseError('TIMEOUT', 'request did not arrive in time'), {
        status: 408,
      })
    case 'HPE_HEADER_OVERFLOW':
      return problemAnswer(new RaftbaseError('REQUEST_TOO_LARGE', 'headers exceed the limit'), {
        status: 431,
      })
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return problemAnswer(new RaftbaseError('REQUEST_TOO_LARGE', 'chunk extensions are too long'))
    default:
      return problemAnswer(new RaftbaseError('INVALID_ARGUMENT', 'request is not HTTP/1.1'))
  }
}
