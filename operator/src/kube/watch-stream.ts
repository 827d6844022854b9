// The body of a watch as events: one JSON document a line. A connection that says nothing for too long counts as dead; the
// API server sends a bookmark every minute.

import type { TimerHandle, Timers } from '../../../lib/clock.ts'
import { readWatchEvent } from './answer.ts'
import { KubeError } from './errors.ts'
import { broken, type HttpAnswer } from './http.ts'
import type { WatchEvent } from './kube-api.ts'

/** etcd takes 1.5 MiB for an object; its JSON can be twice that, and nothing honest is larger than this. */
const LINE_BYTES_MAX = 16 * 1024 * 1024
const NEWLINE = 10

export async function* readWatch(
  answer: HttpAnswer,
  options: { readonly timers: Timers; readonly inactivityMs: number },
): AsyncIterable<WatchEvent> {
  const { timers, inactivityMs } = options
  let silence: TimerHandle | undefined
  const restart = () => {
    silence?.cancel()
    silence = timers.after(inactivityMs, () =>
      answer.destroy(new KubeError('timeout', 'watch fell silent', { details: { inactivityMs } })),
    )
  }
  const lines = new LineSplitter()
  try {
    restart()
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      // While the consumer works on these events the connection is held back, and its silence means nothing.
      silence?.cancel()
      for (const line of lines.push(chunk)) yield readWatchEvent(line)
      restart()
    }
  } catch (cause) {
    throw broken(cause, false)
  } finally {
    silence?.cancel()
    answer.destroy()
  }
}

/** Chunks in, whole lines out; what follows the last newline waits for the next chunk. */
export class LineSplitter {
  #rest: Buffer[] = []
  #restBytes = 0

  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, start)) {
      this.#rest.push(chunk.subarray(start, at))
      const line = Buffer.concat(this.#rest).toString('utf8')
      this.#rest = []
      this.#restBytes = 0
      start = at + 1
      if (line.trim() !== '') lines.push(line)
    }
    if (start < chunk.length) {
      this.#rest.push(chunk.subarray(start))
      this.#restBytes += chunk.length - start
    }
    if (this.#restBytes > LINE_BYTES_MAX) {
      throw new KubeError('malformed', 'watch event is too large', {
        details: { bytes: this.#restBytes },
      })
    }
    return lines
  }
}
