// Every bound of the REST API. The timeouts relate to each other: a request may wait 60 s for the cluster, so a connection
// is called idle only after that.

import { invariant } from '../../../lib/assert.ts'

export interface RestLimits {
  /** Key and value of one request together, in bytes. */
  readonly requestBytesMax: number
  /** A key after percent-decoding; three times this, and the other headers, fit `headerBytesMax`. */
  readonly keyBytesMax: number
  /** A JSON body. */
  readonly jsonBytesMax: number
  /** Request line and headers together. */
  readonly headerBytesMax: number
  /** Bodies that are being received or carried out, all requests together. */
  readonly bodyBytesInFlightMax: number
  /** Requests being received, waiting or carried out; beyond, what is admitted (node/admission.ts) is refused at once. */
  readonly requestsInFlightMax: number
  /** Requests of one connection that are not answered yet; one that pipelines more is answered no further, and closed. */
  readonly pipelinedMax: number
  readonly connectionsMax: number
  /** Watchers of /v1/status/stream at the same time. */
  readonly statusStreamsMax: number
  /** How long a piece of a snapshot may wait for its client to read on, and how long the whole may take. */
  readonly snapshotStallMs: number
  readonly snapshotMsMax: number
  /** From the first byte, or from the connection's start, to the end of the headers. */
  readonly headersTimeoutMs: number
  /** From the first byte to the end of the body. */
  readonly requestTimeoutMs: number
  /** Between requests on a connection. */
  readonly keepAliveTimeoutMs: number
  /** Without a byte in either direction, also while an answer waits to be read. */
  readonly idleTimeoutMs: number
  /** How often the first two timeouts are looked at. */
  readonly timeoutCheckMs: number
  /** After a stop: how long requests in flight may still take before their connections are closed. */
  readonly closeGraceMs: number
  /** `?timeout=`: without it, and the range of what it may say. */
  readonly deadlineMsDefault: number
  readonly deadlineMsMin: number
  readonly deadlineMsMax: number
}

export const REST_LIMITS: RestLimits = {
  requestBytesMax: 1_572_864,
  keyBytesMax: 8_192,
  jsonBytesMax: 16_384,
  headerBytesMax: 32_768,
  bodyBytesInFlightMax: 67_108_864,
  requestsInFlightMax: 10_000,
  pipelinedMax: 64,
  connectionsMax: 10_000,
  statusStreamsMax: 64,
  snapshotStallMs: 30_000,
  snapshotMsMax: 3_600_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 65_000,
  idleTimeoutMs: 75_000,
  timeoutCheckMs: 1_000,
  closeGraceMs: 3_000,
  deadlineMsDefault: 5_000,
  deadlineMsMin: 1,
  deadlineMsMax: 60_000,
}

/** Throws unless the bounds fit each other. */
export function checkRestLimits(limits: RestLimits): void {
  const { keyBytesMax, headerBytesMax, requestBytesMax } = limits
  invariant(keyBytesMax * 3 < headerBytesMax, 'longest key does not fit the headers', {
    keyBytesMax,
    headerBytesMax,
  })
  invariant(limits.bodyBytesInFlightMax >= requestBytesMax, 'no room for one body', {
    requestBytesMax,
  })
  const { deadlineMsMin, deadlineMsDefault, deadlineMsMax, idleTimeoutMs } = limits
  invariant(
    deadlineMsMin <= deadlineMsDefault && deadlineMsDefault <= deadlineMsMax,
    'default deadline is out of range',
    { deadlineMsMin, deadlineMsDefault, deadlineMsMax },
  )
  invariant(deadlineMsMax < idleTimeoutMs, 'a waiting request would be cut off as idle', {
    deadlineMsMax,
    idleTimeoutMs,
  })
}
