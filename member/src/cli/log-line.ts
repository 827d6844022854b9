// Readable renderings of a member's JSON log lines.

import { escapeControls } from '../../../lib/config.ts'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

const TEXT_LENGTH_MAX = 500
/** Bound by every line of a member: what they say is in the prefix. */
const BOUND_FIELDS = new Set(['level', 'ts', 'msg', 'memberId', 'cluster', 'err'])

/** A line that is no JSON object (a crash of the runtime, say) is a message of level `error`. */
export function parseLogLine(line: string): LogLine {
  try {
    const fields: unknown = JSON.parse(line)
    if (typeof fields === 'object' && fields !== null && 'level' in fields && 'msg' in fields) {
      return {
        level: String(fields.level),
        message: String(fields.msg),
        fields: { ...fields },
      }
    }
  } catch {
    // Not JSON: shown as it is.
  }
  return { level: 'error', message: line, fields: {} }
}

/** `message: error (code) key=value …` on one line. */
export function renderLogLine(line: LogLine): string {
  const { err } = line.fields
  const rest = Object.entries(line.fields)
    .filter(([name]) => !BOUND_FIELDS.has(name))
    .map(([name, value]) => ` ${name}=${renderValue(value)}`)
  const text = `${line.message}${err === undefined ? '' : `: ${renderError(err)}`}${rest.join('')}`
  return escapeControls(cut(text))
}

/** The message of an error of ours with its details and causes, without stacks. */
function renderError(err: unknown): string {
  if (typeof err !== 'object' || err === null) return String(err)
  const { message, details, cause } = err as Record<string, unknown>
  const fields =
    typeof details === 'object' && details !== null
      ? Object.entries(details).map(([name, value]) => ` ${name}=${renderValue(value)}`)
      : []
  const because = cause === undefined ? '' : ` (${renderError(cause)})`
  return `${String(message)}${fields.join('')}${because}`
}

function renderValue(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}

function cut(text: string): string {
  return text.length <= TEXT_LENGTH_MAX ? text : `${text.slice(0, TEXT_LENGTH_MAX)}…`
}
