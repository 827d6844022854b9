// Files that somebody else replaces while we run: certificates, settings. They are looked at every second rather than
// watched, because a mounted Secret or ConfigMap changes by an exchange of symbolic links, and an editor by a rename, which
// no watch of one file sees. Whether what was read makes sense, and what to do if not, is the reader's business.

import { type BigIntStats, constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { Clock, TimerHandle, Timers } from './clock.ts'

export const WATCH_PERIOD_MS = 1000

/** A time stamp is no finer than this: what was written so shortly before it was read may have changed unseen since. */
const STAMP_MS = 2000
/** Files that change between the first and the last one read are read again, so often within one look. */
const ATTEMPTS_MAX = 3

/** What is no regular file has no content that stays: a pipe gives its bytes once, and may keep a reader waiting for ever. */
export const NOT_A_FILE = 'not a file'

/** Bytes of a file, or the code of the error with which it could not be read (`ENOENT`, `EFBIG`, …), or NOT_A_FILE. */
export type FileContent =
  | { readonly bytes: Buffer; readonly error?: undefined }
  | { readonly error: string; readonly bytes?: undefined }

/** By path. */
export type FileContents = ReadonlyMap<string, FileContent>

export interface WatchedFilesOptions {
  readonly paths: readonly string[]
  /** A larger file is not read (`EFBIG`). */
  readonly bytesMax: number
  readonly clock: Clock
  readonly timers: Timers
  readonly periodMs?: number
  /** Called with all of them whenever one reads differently than before; not for the first look. Must not throw. */
  readonly onChange: (contents: FileContents) => void
}

export class WatchedFiles {
  readonly #options: WatchedFilesOptions
  #contents: FileContents = new Map()
  /** What told the state of the files apart when they were read; undefined when they must be read in any case. */
  #stamp: string | undefined
  #timer: TimerHandle | undefined
  #isLooking = false
  #isStopped = false

  constructor(options: WatchedFilesOptions) {
    this.#options = options
  }

  /** As they were read last. */
  get contents(): FileContents {
    return this.#contents
  }

  /** Reads them for the first time and goes on looking until `stop`. Never rejects. */
  async start(): Promise<FileContents> {
    await this.#read()
    if (this.#isStopped) return this.#contents
    const { timers, periodMs = WATCH_PERIOD_MS } = this.#options
    this.#timer = timers.every(periodMs, () => {
      // A volume that hangs holds one look, not one for each second.
      if (!this.#isLooking) void this.look()
    })
    return this.#contents
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /** Looks now. Resolves when `onChange` has been called, if there was a reason. */
  async look(): Promise<void> {
    this.#isLooking = true
    try {
      const stamp = await this.#stampNow()
      if (stamp.text === this.#stamp) return
      const isChanged = await this.#read()
      if (isChanged && !this.#isStopped) this.#options.onChange(this.#contents)
    } finally {
      this.#isLooking = false
    }
  }

  /** Returns whether anything differs from what was read before. */
  async #read(): Promise<boolean> {
    const { paths, bytesMax } = this.#options
    let contents = new Map<string, FileContent>()
    let before = await this.#stampNow()
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      contents = new Map()
      for (const path of paths) contents.set(path, await readFileContent(path, bytesMax))
      const after = await this.#stampNow()
      if (after.text === before.text) break
      before = after
    }
    // What is still changing, or changed a moment ago, is read again at the next look.
    const isSettled = this.#options.clock.wallMs() - before.newestMs > STAMP_MS
    this.#stamp = isSettled ? before.text : undefined
    const isChanged = paths.some((path) => !isSame(contents.get(path), this.#contents.get(path)))
    this.#contents = contents
    return isChanged
  }

  async #stampNow(): Promise<{ readonly text: string; readonly newestMs: number }> {
    const stamps: string[] = []
    let newestMs = 0
    for (const path of this.#options.paths) {
      try {
        const found: BigIntStats = await stat(path, { bigint: true })
        const { dev, ino, size, mtimeNs, ctimeNs } = found
        stamps.push([dev, ino, size, mtimeNs, ctimeNs].join(':'))
        newestMs = Math.max(newestMs, Number(found.mtimeMs), Number(found.ctimeMs))
      } catch (error) {
        stamps.push(codeOf(error))
      }
    }
    return { text: stamps.join(' '), newestMs }
  }
}

/** Never rejects and never reads more than `bytesMax`. */
export async function readFileContent(path: string, bytesMax: number): Promise<FileContent> {
  try {
    // Opened as any file, a pipe that nobody writes to would hold a thread of the pool, and the end of the process with it.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const found = await file.stat()
      if (!found.isFile()) return { error: found.isDirectory() ? 'EISDIR' : NOT_A_FILE }
      if (found.size > bytesMax) return { error: 'EFBIG' }
      const bytes = await file.readFile()
      return bytes.length > bytesMax ? { error: 'EFBIG' } : { bytes }
    } finally {
      await file.close()
    }
  } catch (error) {
    return { error: codeOf(error) }
  }
}

function isSame(a: FileContent | undefined, b: FileContent | undefined): boolean {
  if (a?.bytes !== undefined && b?.bytes !== undefined) return a.bytes.equals(b.bytes)
  return a?.error === b?.error && (a?.bytes === undefined) === (b?.bytes === undefined)
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown'
}
