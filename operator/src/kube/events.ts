// Writes Events (events.k8s.io/v1) in the background: one at a time, each once in ten minutes for the same object, reason
// and member, and never in the way of anything. What cannot be written is counted and dropped.

import { BoundedQueue } from '../../../lib/bounded-queue.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import { randomId } from '../../../lib/prng.ts'
import type { KubeObject } from '../api/kube-object.ts'
import { apiVersionOf, EVENTS } from '../api/resource-types.ts'
import { isKubeError, isNamespaceTerminating } from './errors.ts'
import type { EventRecorder, RecordedEvent } from './event-recorder.ts'
import type { KubeApi } from './kube-api.ts'
import { microTime } from './micro-time.ts'

const REPEAT_MS = 10 * 60_000
const WAITING_MAX = 500
/** Told apart for the suppression of repeats; the oldest are forgotten. */
const REMEMBERED_MAX = 5000
/** The API server's limits. */
const NOTE_LENGTH_MAX = 1000
const NAME_LENGTH_MAX = 63

export interface EventWriterOptions {
  readonly api: KubeApi
  readonly clock: Clock
  readonly log: Logger
  /** Of this process: its pod's name. */
  readonly instance: string
  readonly onOutcome?: ((outcome: 'written' | 'dropped') => void) | undefined
}

export class EventWriter implements EventRecorder {
  readonly #options: EventWriterOptions
  readonly #waiting = new BoundedQueue<KubeObject>(WAITING_MAX)
  /** When the same thing was last told. */
  readonly #told = new Map<string, number>()
  #writing: Promise<void> | undefined
  #failureCode = ''

  constructor(options: EventWriterOptions) {
    this.#options = options
  }

  record(event: RecordedEvent): void {
    const { uid = '' } = event.regarding.metadata
    const same = [uid, event.reason, event.member ?? ''].join('\u0000')
    const nowMs = this.#options.clock.monotonicMs()
    const toldAtMs = this.#told.get(same)
    if (toldAtMs !== undefined && nowMs - toldAtMs < REPEAT_MS) return
    this.#told.delete(same)
    this.#told.set(same, nowMs)
    if (this.#told.size > REMEMBERED_MAX) this.#told.delete(this.#told.keys().next().value!)
    if (!this.#waiting.maybePush(this.#objectOf(event))) {
      this.#options.onOutcome?.('dropped')
      return
    }
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when everything that was recorded has been written or dropped. */
  async flush(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      await this.#write(event)
    }
    this.#writing = undefined
  }

  async #write(event: KubeObject): Promise<void> {
    const { api, log, onOutcome } = this.#options
    try {
      await api.create(EVENTS, event)
      this.#failureCode = ''
      onOutcome?.('written')
    } catch (error) {
      onOutcome?.('dropped')
      const code = isKubeError(error) ? error.code : 'unknown'
      const isExpected = isNamespaceTerminating(error) || code === 'notLeading'
      if (isExpected || code === this.#failureCode) return
      this.#failureCode = code
      log.warn({ err: error, reason: event['reason'] }, 'event cannot be written')
    }
  }

  #objectOf(event: RecordedEvent): KubeObject {
    const { regarding, type, reason, action } = event
    const { name, namespace = 'default', uid, resourceVersion } = regarding.metadata
    const { apiVersion, kind } = regarding
    return {
      apiVersion: apiVersionOf(EVENTS),
      kind: EVENTS.kind,
      metadata: { name: `${name.slice(0, NAME_LENGTH_MAX - 17)}.${randomId()}`, namespace },
      eventTime: microTime(this.#options.clock.wallMs()),
      reportingController: 'raftbase.io/operator',
      reportingInstance: this.#options.instance.slice(0, 128),
      regarding: {
        apiVersion,
        kind,
        namespace,
        name,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type,
      reason,
      action,
      note: noteOf(event),
    }
  }
}

function noteOf({ message, pointer }: RecordedEvent): string {
  const end = pointer === undefined ? '' : ` (see ${pointer})`
  const room = NOTE_LENGTH_MAX - end.length
  return message.length <= room ? `${message}${end}` : `${message.slice(0, room - 1)}…${end}`
}
