// The logger that members of a simulation write to: lines go to the run's trace, and to whoever checks what members say
// about themselves. Only what the member's code calls is there.

import type { Logger } from '../../lib/logger.ts'

export type LogLevelName = 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export type LogSink = (level: LogLevelName, fields: object, message: string) => void

export function simLogger(sink: LogSink): Logger {
  const method =
    (level: LogLevelName) =>
    (fields: object | string, message?: string): void => {
      if (typeof fields === 'string') sink(level, {}, fields)
      else sink(level, fields, message ?? '')
    }
  const logger = {
    level: 'debug',
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
    fatal: method('fatal'),
    child: () => logger,
  }
  return logger as unknown as Logger
}
