// Writes a large file from small pieces, in few writes, and flushes what has been written as it goes.

import type { FileHandle } from './file-system.ts'
import { flushed } from './files.ts'

const WRITE_BYTES = 1024 * 1024
/** Flushed so often: one flush of everything at the end would keep the log's flushes waiting behind it. */
const FLUSH_BYTES = 8 * 1024 * 1024

/** Turns many small pieces into few large writes, without copying them; each is left alone until it is written. */
export class Gatherer {
  readonly #file: FileHandle
  #position = 0
  #unflushedBytes = 0
  #pending: Uint8Array[] = []
  #pendingBytes = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  async add(chunk: Uint8Array): Promise<void> {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes >= WRITE_BYTES) await this.#drain()
  }

  /** Everything added is durable when this resolves. */
  async finish(): Promise<void> {
    await this.#drain()
    await this.#flush()
  }

  async #drain(): Promise<void> {
    if (this.#pendingBytes === 0) return
    const buffers = this.#pending
    const position = this.#position
    this.#position += this.#pendingBytes
    this.#unflushedBytes += this.#pendingBytes
    this.#pending = []
    this.#pendingBytes = 0
    await this.#file.write(buffers, position)
    if (this.#unflushedBytes >= FLUSH_BYTES) await this.#flush()
  }

  async #flush(): Promise<void> {
    this.#unflushedBytes = 0
    await flushed(() => this.#file.flush())
  }
}
