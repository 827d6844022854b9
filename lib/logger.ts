// The root logger: one JSON object a line on standard error, nothing on standard output. Keys are `level` (a word), `ts`
// (ISO 8601, UTC), `msg`, and the error, if any, under `err`. Lines are written at once, so that the last one before the
// process ends is never lost; there are few of them, one for each change of state. The only importer of pino.

import { type DestinationStream, destination, type Logger, pino } from 'pino'
import { systemClock } from './clock.ts'
import type { LogLevel } from './log-level.ts'
import { RaftbaseError } from './errors.ts'

export type { Logger } from 'pino'

const STDERR_FD = 2
const CAUSES_MAX = 5

/** Never logged, at the top of a line and one level below: what users store, and what lets somebody in. */
const REDACTED = [
  'key',
  'value',
  'keys',
  'values',
  'password',
  'secret',
  'token',
  'authorization',
  'privateKey',
]

export interface LoggerOptions {
  readonly level: LogLevel | 'silent'
  /** Can change the level of this logger and of all that come from it. */
  readonly levels?: LogLevels
  /** Receives one line at a time; standard error unless given. */
  readonly destination?: DestinationStream
}

/** One level for a logger and all its children, which otherwise keep the one they were made with. */
export class LogLevels {
  /** A child whose part has ended is forgotten. */
  #loggers: WeakRef<Logger>[] = []

  add(logger: Logger): void {
    this.#loggers = this.#loggers.filter((known) => known.deref() !== undefined)
    this.#loggers.push(new WeakRef(logger))
  }

  set(level: LogLevel): void {
    for (const known of this.#loggers) {
      const logger = known.deref()
      if (logger !== undefined) logger.level = level
    }
  }
}

/** Bind `memberId` and `cluster` with `.child` as soon as they are known. */
export function createLogger(options: LoggerOptions): Logger {
  const { levels } = options
  const logger = pino(
    {
      level: options.level,
      ...(levels === undefined ? {} : { onChild: (child: Logger) => levels.add(child) }),
      base: null,
      timestamp: () => `,"ts":"${new Date(systemClock.wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error) },
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    options.destination ?? destination({ fd: STDERR_FD, sync: true }),
  )
  levels?.add(logger)
  return logger
}

/** An error as data: code, details and causes of ours, name and stack of any. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, stack, cause } = error
  const details = 'details' in error ? error.details : undefined
  const code = 'code' in error ? error.code : undefined
  return {
    type: name,
    ...(code === undefined ? {} : { code }),
    message,
    ...(details === undefined ? {} : { details }),
    // The stack of a failure of the world says nothing that code and details do not.
    ...(error instanceof RaftbaseError ? {} : { stack }),
    ...(cause === undefined || depth >= CAUSES_MAX
      ? {}
      : { cause: describeError(cause, depth + 1) }),
  }
}
