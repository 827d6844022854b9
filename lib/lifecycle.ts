// How a process of ours lives: parts start in order and stop in reverse order; a signal stops everything once, a second
// one ends the process at once; whatever nobody caught is logged and ends it too. Only this file listens to signals.

import { systemClock, type Timers } from './clock.ts'
import { exitAtOnce, readyToExit } from './end-at-once.ts'
import { hasCode, RaftbaseError } from './errors.ts'
import { EXIT_CLEAN, EXIT_FAILED } from './exit-codes.ts'
import type { Logger } from './logger.ts'

/** Ctrl-C under npx arrives twice, from the terminal and from npm: repeats within this time are one signal. */
const SIGNAL_REPEAT_MS = 500

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const
type StopSignal = keyof typeof SIGNAL_NUMBERS

/** Parts of a process in the order they were started. */
export class Lifecycle {
  readonly #log: Logger
  readonly #closers: { readonly name: string; readonly close: () => Promise<void> }[] = []
  #stopping: Promise<void> | undefined

  constructor(options: { readonly log: Logger }) {
    this.#log = options.log
  }

  /** Opens a part and returns it. When `open` rejects the caller stops what was started before, through {@link stop}. */
  async start<T>(part: {
    readonly name: string
    readonly open: () => Promise<T>
    readonly close: (opened: T) => Promise<void>
  }): Promise<T> {
    this.#refuseWhenStopping(part.name)
    const opened = await part.open()
    if (this.#stopping !== undefined) {
      await part.close(opened)
      this.#refuseWhenStopping(part.name)
    }
    this.#closers.push({ name: part.name, close: () => part.close(opened) })
    return opened
  }

  /** Closes every part once, last first. One that fails to close does not keep the others; the first error is thrown. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    const failures: unknown[] = []
    for (const { name, close } of this.#closers.toReversed()) {
      try {
        await close()
      } catch (err) {
        this.#log.error({ err, part: name }, 'part failed to stop')
        failures.push(err)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  #refuseWhenStopping(part: string): void {
    if (this.#stopping === undefined) return
    throw new RaftbaseError('SHUTTING_DOWN', 'stopping before it had started', {
      details: { part },
    })
  }
}

/** What runs in the process. */
export interface Running {
  stop(): Promise<void>
  /** Resolves when it must end by itself; never rejects. */
  readonly failed: Promise<Error>
}

export interface RunOptions {
  readonly log: Logger
  readonly timers: Timers
  /** `signal` aborts when a stop is wanted: a start that has not ended may give up with SHUTTING_DOWN. */
  readonly start: (signal: AbortSignal) => Promise<Running>
  /** A stop that takes longer ends the process without it, with EXIT_FAILED. */
  readonly stopTimeoutMs: number
  /** Resolves with a reason when something else than a signal wants a stop. */
  readonly stopRequested?: Promise<string> | undefined
  /** Whether this failure is the intended end of the process: stop in order, EXIT_CLEAN. */
  readonly isIntendedEnd?: (error: Error) => boolean
  /** What the process ends of, if not of a stop that was wanted. Must not throw. */
  readonly onFailure?: (error: unknown) => void
}

/**
 * Runs until a signal, a request to stop or a failure; returns the exit code, which the caller passes to `process.exit`.
 * A failure ends without stopping: what failed may be what a stop would wait for.
 */
export async function runProcess(options: RunOptions): Promise<number> {
  const { log, isIntendedEnd } = options
  exitOnUncaught(options)
  keepDebuggerClosed(log)
  const wishes = [
    stopSignal((exitCode) => {
      log.warn('second signal: ending at once')
      void readyToExit(options.timers).then(() => process.exit(exitCode))
    }),
  ]
  if (options.stopRequested !== undefined) wishes.push(options.stopRequested)
  const stopWanted = Promise.race(wishes)
  const stopping = new AbortController()
  const starting = options.start(stopping.signal)
  let ending: string | Error
  try {
    const failed = starting.then((running) => running.failed)
    ending = await Promise.race([stopWanted, failed])
  } catch (error) {
    return failInTime(options, error, 'start failed')
  }
  if (ending instanceof Error) {
    if (isIntendedEnd?.(ending) !== true) return failInTime(options, ending, 'failed')
    options.onFailure?.(ending)
    log.info({ err: ending }, 'stopping')
  } else {
    log.info({ reason: ending }, 'stopping')
  }
  stopping.abort()
  return stopInTime(options, starting)
}

/** Stops what runs, or what is about to: a start that does not give up by itself is waited for. */
async function stopInTime(options: RunOptions, starting: Promise<Running>): Promise<number> {
  const { log, timers, stopTimeoutMs } = options
  const timedOut = Promise.withResolvers<number>()
  const timer = timers.after(stopTimeoutMs, () => {
    log.error({ stopTimeoutMs }, 'stop took too long')
    const details = { stopTimeoutMs }
    options.onFailure?.(new RaftbaseError('TIMEOUT', 'stop took too long', { details }))
    timedOut.resolve(EXIT_FAILED)
  })
  const stopped = starting
    .then((running) => running.stop())
    .then(
      () => {
        log.info('stopped')
        return EXIT_CLEAN
      },
      (error: unknown) => {
        if (!hasCode(error, 'SHUTTING_DOWN')) return fail(options, error, 'stop failed')
        log.info('stopped')
        return EXIT_CLEAN
      },
    )
  const code = await Promise.race([stopped, timedOut.promise])
  timer.cancel()
  // A stop takes too long where a disk hangs, and there an exit takes as long.
  if (code !== EXIT_CLEAN) await readyToExit(timers)
  return code
}

/** The disk may hang beside whatever failed, and then an exit would never come. */
async function failInTime(
  options: RunOptions,
  err: unknown,
  message: 'start failed' | 'failed',
): Promise<number> {
  const code = fail(options, err, message)
  await readyToExit(options.timers)
  return code
}

function fail(
  { log, onFailure }: RunOptions,
  err: unknown,
  message: 'start failed' | 'stop failed' | 'failed',
): number {
  log.fatal({ err }, message)
  onFailure?.(err)
  return EXIT_FAILED
}

/** Resolves with the name of the first SIGINT or SIGTERM; a second one, but for an immediate repeat, calls `onSecond`. */
export function stopSignal(onSecond: (exitCode: number) => void): Promise<string> {
  const first = Promise.withResolvers<string>()
  let firstMs: number | undefined
  for (const signal of Object.keys(SIGNAL_NUMBERS) as StopSignal[]) {
    process.on(signal, () => {
      const nowMs = systemClock.monotonicMs()
      if (firstMs === undefined) {
        firstMs = nowMs
        first.resolve(signal)
      } else if (nowMs - firstMs >= SIGNAL_REPEAT_MS) {
        onSecond(128 + SIGNAL_NUMBERS[signal])
      }
    })
  }
  return first.promise
}

/** A bug: the line says which, the process ends, and whoever started it starts it again. */
function exitOnUncaught({ log, onFailure }: RunOptions): void {
  process.on('uncaughtException', (err, origin) => {
    log.fatal({ err, origin }, 'uncaught error')
    onFailure?.(err)
    // Nothing of it runs on after a bug, not even until a write has come back.
    exitAtOnce(EXIT_FAILED)
  })
}

/** Node.js opens its inspector on SIGUSR1, and with it everything in memory, unless somebody listens (X14). */
function keepDebuggerClosed(log: Logger): void {
  process.on('SIGUSR1', () => {
    log.warn('SIGUSR1 ignored: the debugger opens only with --inspect at the start')
  })
}
