// Why a process of ours ended, for whoever looks after it: one line of JSON where Kubernetes reads it. Written at the very
// end, so nothing here may throw or wait.

import { accessSync, constants, writeFileSync } from 'node:fs'
import { RaftbaseError } from './errors.ts'

/** Kubernetes makes this file; elsewhere it does not exist, and nothing is written. */
const SYSTEM_FILE = '/dev/termination-log'
/** Kubernetes reads 4096 bytes. */
const DETAIL_LENGTH_MAX = 1024
const DETAILS_LENGTH_MAX = 2048

export interface TerminationMessage {
  /** An ErrorCode, or INTERNAL for a bug. */
  readonly code: string
  /** One sentence. */
  readonly detail: string
  /** What the error says besides. */
  readonly details?: Readonly<Record<string, unknown>>
}

export function terminationMessage(error: unknown): TerminationMessage {
  if (error instanceof RaftbaseError) {
    const { code, message, details } = error
    const isShort = JSON.stringify(details).length <= DETAILS_LENGTH_MAX
    const detail = message.slice(0, DETAIL_LENGTH_MAX)
    return { code, detail, ...(isShort && Object.keys(details).length > 0 ? { details } : {}) }
  }
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return { code: 'INTERNAL', detail: detail.slice(0, DETAIL_LENGTH_MAX) }
}

/** Returns the error of the system when it could not be written; nothing where there is nowhere to write. */
export function writeTerminationMessage(
  message: TerminationMessage,
  path: string | undefined,
): Error | undefined {
  if (path === undefined && !isWritable(SYSTEM_FILE)) return undefined
  try {
    writeFileSync(path ?? SYSTEM_FILE, `${JSON.stringify(message)}\n`)
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    // Not under Kubernetes.
    return false
  }
}
