// How much room the disk of a data directory has: looked at now and then, and told from memory. It decides nothing: a write
// that does not fit is refused when it is tried, by what the disk says then.

import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { TimerHandle, Timers } from '../../lib/clock.ts'
import type { DiskRoom } from './node/member-node.ts'

/** Volumes fill up in minutes, and a look costs a thread for a moment. */
const PERIOD_MS = 15_000

export interface DiskSpaceOptions {
  readonly directory: string
  readonly timers: Timers
  /** Never rejects. */
  readonly look?: (directory: string) => Promise<DiskRoom | undefined>
}

export class DiskSpace {
  readonly #options: DiskSpaceOptions
  #timer: TimerHandle | undefined
  #room: DiskRoom | undefined
  #looking: Promise<void> | undefined

  constructor(options: DiskSpaceOptions) {
    this.#options = options
  }

  /** As it was last seen; undefined until then, while the disk does not answer, and where it cannot be told. */
  get room(): DiskRoom | undefined {
    return this.#room
  }

  /** Does not wait for the first look: a disk may hang. */
  start(): void {
    this.#again()
    this.#timer = this.#options.timers.every(PERIOD_MS, () => this.#again())
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** One look at a time: where one hangs, no more threads are given to it, and what was seen before is old. */
  #again(): void {
    if (this.#looking !== undefined) {
      this.#room = undefined
      return
    }
    this.#looking = this.#look()
  }

  async #look(): Promise<void> {
    const { directory, look = roomOf } = this.#options
    this.#room = await look(directory)
    this.#looking = undefined
  }
}

/** Of the file system that the directory is on, or will be on once it is made. Undefined where it cannot be told; never rejects. */
export async function roomOf(directory: string): Promise<DiskRoom | undefined> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const { bavail, blocks, bsize } = await statfs(path)
      return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize }
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isMissing || path === dirname(path)) return undefined
    }
  }
}
