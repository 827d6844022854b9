// Refusals as RFC 9457 problem documents: written by the member that refuses, read by the one that is refused.

import { Buffer } from 'node:buffer'
import { type ErrorCode, ERROR_CODES, RaftbaseError } from '../../../lib/errors.ts'
import type { Refusal } from './handshake.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** Bound of a problem document that is read. */
export const PROBLEM_BYTES_MAX = 16 * 1024

const TITLE: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  421: 'Misdirected Request',
  426: 'Upgrade Required',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

export function titleOf(status: number): string {
  return TITLE[status] ?? 'Error'
}

export function encodeProblem(refusal: Refusal): Buffer {
  const { status, code, reason, detail, expected, got, initialCluster } = refusal
  const type = `urn:raftbase:error:${code}`
  const problem = { type, title: titleOf(status), status, code, reason, detail, expected, got }
  return Buffer.from(JSON.stringify({ ...problem, initialCluster }))
}

/** What a refused member learns. Fields the other side left out or garbled are undefined. */
export interface Problem {
  readonly status: number
  readonly code: ErrorCode | undefined
  readonly reason: string | undefined
  readonly detail: string | undefined
  readonly expected: string | undefined
  readonly got: string | undefined
  readonly initialCluster: string | undefined
}

/** Reads an answer that may come from anybody; whatever it is, it is a problem. */
export function decodeProblem(status: number, body: Uint8Array): Problem {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(body).toString())
  } catch {
    // Not ours: a proxy or another program answers at this address. The status is all there is.
    parsed = undefined
  }
  const fields = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<
    string,
    unknown
  >
  const field = (name: string): string | undefined => {
    const value = Object.hasOwn(fields, name) ? fields[name] : undefined
    return typeof value === 'string' ? value.slice(0, PROBLEM_BYTES_MAX) : undefined
  }
  const code = ERROR_CODES.find((known) => known === field('code'))
  return {
    status,
    code,
    reason: field('reason'),
    detail: field('detail'),
    expected: field('expected'),
    got: field('got'),
    initialCluster: field('initialCluster'),
  }
}

/** The error of the one who was refused. `expected` is what the other side wanted, `got` what it was given. */
export function problemError(problem: Problem, details: Record<string, unknown>): RaftbaseError {
  const { status, code, reason, detail, expected, got, initialCluster } = problem
  const all = { ...details, status, reason, detail, expected, got, initialCluster }
  return new RaftbaseError(code ?? 'PEER_UNREACHABLE', 'peer refused the connection', {
    details: all,
  })
}
