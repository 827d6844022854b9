// The metrics of this API. Labels are bounded by the route table: a path or a method that is not ours counts as "other",
// and every series exists from the start.

import type { Counter, Family, Histogram, Registry } from '../../../lib/metrics.ts'
import type { Route } from './route.ts'
import { ROUTES } from './routes.ts'

const OTHER = 'other'
const SERIES_MAX = 256

/** How requests end; `aborted` when the client had gone before its answer was written. */
const RESULTS = ['2xx', '3xx', '4xx', '5xx', 'aborted'] as const
type Result = (typeof RESULTS)[number]

const DURATION_BOUNDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
]

interface RouteMetrics {
  readonly requests: Readonly<Record<Result, Counter>>
  readonly duration: Histogram
}

/** Read when scraped. */
export interface RestGauges {
  readonly inFlight: () => number
  readonly heldBodyBytes: () => number
  readonly openConnections: () => number
}

export interface RestMetrics {
  readonly malformedRequests: Counter
  readonly droppedConnections: Counter
  /** Counts one finished request; undefined status: aborted. Undefined route: no route has this path and method. */
  readonly count: (request: FinishedRequest) => void
}

export interface FinishedRequest {
  readonly route: Route | undefined
  readonly method: string
  readonly status: number | undefined
  readonly durationMs: number
}

export function registerRestMetrics(registry: Registry, gauges: RestGauges): RestMetrics {
  const requests = registry.counterFamily({
    name: 'raftbase_rest_requests_total',
    help: 'Requests to the REST API by how they ended.',
    labelNames: ['route', 'method', 'result'],
    seriesMax: SERIES_MAX,
  })
  const durations = registry.histogramFamily({
    name: 'raftbase_rest_request_duration_seconds',
    help: 'From the headers of a request to the end of its answer.',
    labelNames: ['route', 'method'],
    seriesMax: SERIES_MAX,
    bounds: DURATION_BOUNDS,
  })
  registerGauges(registry, gauges)
  const table = routeTable(requests, durations)
  const unmatched = routeMetrics(requests, durations, [OTHER, OTHER])
  return {
    malformedRequests: registry.counter({
      name: 'raftbase_rest_malformed_requests_total',
      help: 'What came in and was not HTTP, or did not come in time.',
    }),
    droppedConnections: registry.counter({
      name: 'raftbase_rest_dropped_connections_total',
      help: 'Connections closed at once because there were too many.',
    }),
    count({ route, method, status, durationMs }) {
      const metrics = (route && table.get(route)?.get(method)) ?? unmatched
      metrics.requests[resultOf(status)].increment()
      metrics.duration.observe(durationMs / 1000)
    },
  }
}

function registerGauges(registry: Registry, gauges: RestGauges): void {
  registry.gaugeFrom(
    { name: 'raftbase_rest_in_flight_requests', help: 'Requests not yet answered.' },
    gauges.inFlight,
  )
  registry.gaugeFrom(
    { name: 'raftbase_rest_held_body_bytes', help: 'Memory of the bodies of requests in flight.' },
    gauges.heldBodyBytes,
  )
  registry.gaugeFrom(
    { name: 'raftbase_rest_open_connections', help: 'Connections to the REST API.' },
    gauges.openConnections,
  )
}

function routeTable(requests: Family<Counter>, durations: Family<Histogram>) {
  const table = new Map<Route, ReadonlyMap<string, RouteMetrics>>()
  for (const route of ROUTES) {
    const methods = route.methods.map(
      (method) => [method, routeMetrics(requests, durations, [route.path, method])] as const,
    )
    table.set(route, new Map(methods))
  }
  return table
}

function routeMetrics(
  requests: Family<Counter>,
  durations: Family<Histogram>,
  labels: readonly [route: string, method: string],
): RouteMetrics {
  const [ok, redirect, refused, failed, aborted] = RESULTS.map((result) =>
    requests.labelled(...labels, result),
  )
  return {
    requests: { '2xx': ok!, '3xx': redirect!, '4xx': refused!, '5xx': failed!, aborted: aborted! },
    duration: durations.labelled(...labels),
  }
}

function resultOf(status: number | undefined): Result {
  if (status === undefined) return 'aborted'
  if (status >= 500) return '5xx'
  if (status >= 400) return '4xx'
  return status >= 300 ? '3xx' : '2xx'
}
