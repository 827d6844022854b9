// Reads a stream of server-sent events of a real process: each event with the moment it arrived.

import { type ClientRequest, get } from 'node:http'

export interface ReceivedEvent<T> {
  readonly event: string
  readonly data: T
  /** Date.now() when its last byte came. */
  readonly atMs: number
}

export class EventReader<T> {
  readonly events: ReceivedEvent<T>[] = []
  comments = 0
  isEnded = false
  readonly #request: ClientRequest

  constructor(url: string) {
    this.#request = get(url, { agent: false }, (response) => {
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (chunk: string) => {
        text += chunk
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          this.#take(text.slice(0, end))
          text = text.slice(end + 2)
        }
      })
      response.on('close', () => {
        this.isEnded = true
      })
      // 'close' follows and says it all.
      response.on('error', () => {})
    })
    this.#request.on('error', () => {
      this.isEnded = true
    })
  }

  get newest(): T | undefined {
    return this.events.at(-1)?.data
  }

  close(): void {
    this.#request.destroy()
  }

  #take(block: string): void {
    if (block.startsWith(':')) this.comments++
    const fields = new Map(
      block.split('\n').map((line) => {
        const at = line.indexOf(':')
        return [line.slice(0, at), line.slice(at + 1).trim()] as const
      }),
    )
    const data = fields.get('data')
    if (data === undefined) return
    const event = fields.get('event') ?? ''
    this.events.push({ event, data: JSON.parse(data) as T, atMs: Date.now() })
  }
}
