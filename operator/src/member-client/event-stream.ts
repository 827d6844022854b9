// Server-sent events out of a stream of bytes, as far as we need them: event names and data; comments only show that the
// other side lives.

/** An event is a status without its lists; whatever is larger is none. */
const EVENT_BYTES_MAX = 64 * 1024

export interface ServerEvent {
  /** `message` when the server names none. */
  readonly name: string
  readonly data: string
}

export class EventParser {
  readonly #decoder = new TextDecoder()
  #rest = ''
  #name = ''
  #data: string[] = []

  /** The events that are complete with this chunk; undefined when the stream makes no sense. */
  push(chunk: Uint8Array): readonly ServerEvent[] | undefined {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r/)
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > EVENT_BYTES_MAX) return undefined
    const events: ServerEvent[] = []
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) {
          events.push({ name: this.#name || 'message', data: this.#data.join('\n') })
        }
        this.#name = ''
        this.#data = []
        continue
      }
      const [, field = '', value = ''] = /^([^:]*):? ?([^]*)$/.exec(line) ?? []
      if (field === 'event') this.#name = value
      if (field === 'data') this.#data.push(value)
      if (this.#data.join('').length > EVENT_BYTES_MAX) return undefined
    }
    return events
  }
}
