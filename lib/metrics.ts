// A metric registry of our own: counters, gauges and histograms with fixed buckets, written as Prometheus text 0.0.4.
// Incrementing allocates nothing. Label values are bounded: a family that is full counts the rest under "other". Names are
// checked when they are registered, and docs/metrics.md lists each of them (test/docs.test.ts).

import { InvariantViolation, invariant } from './assert.ts'

export type MetricType = 'counter' | 'gauge' | 'histogram'

/** What a name may end in. Counters end in `_total` as well: `raftbase_wal_written_bytes_total`. */
const UNITS =
  'seconds|bytes|ratio|info|total|bool|index|term|revision|entries|requests|connections|messages|members|peers|keys|' +
  'files|segments|batches|reads|watchers|leases|snapshots|records'

/** Names every Prometheus dashboard expects of a process, taken as they are. */
const STANDARD_NAMES: readonly string[] = [
  'process_cpu_seconds_total',
  'process_open_fds',
  'process_resident_memory_bytes',
  'process_start_time_seconds',
]

/** Names of the operator's that are counts or states without a unit. */
const UNITLESS_NAMES: readonly string[] = [
  'raftbase_operator_cluster_condition',
  'raftbase_operator_cluster_out_of_date_pods',
  'raftbase_operator_cluster_phase',
  'raftbase_operator_cluster_quorum_margin',
  'raftbase_operator_informer_synced',
  'raftbase_operator_leader',
  'raftbase_operator_open_status_streams',
  'raftbase_operator_workqueue_depth',
]

const NAME_PATTERN = new RegExp(`^raftbase_[a-z]+(_[a-z0-9]+)+_(${UNITS})$`)
const LABEL_PATTERN = /^[a-z][a-z0-9_]*$/
const SERIES_MAX_DEFAULT = 128
const OTHER = 'other'

/** Whether `name` reads `raftbase_<module>_<thing>_<unit>`, with `_total` at the end of counters and of nothing else. */
export function isMetricName(name: string, type: MetricType): boolean {
  if (name.endsWith('_total') !== (type === 'counter')) return false
  if (STANDARD_NAMES.includes(name) || UNITLESS_NAMES.includes(name)) return true
  return NAME_PATTERN.test(name)
}

export class Counter {
  readonly #slot = new Float64Array(1)

  get value(): number {
    return this.#slot[0]!
  }

  /** Adds `by`, which is not negative. */
  increment(by = 1): void {
    if (!(by >= 0)) throw new InvariantViolation('counter would fall', { by })
    this.#slot[0]! += by
  }
}

export class Gauge {
  readonly #slot = new Float64Array(1)

  get value(): number {
    return this.#slot[0]!
  }

  set(value: number): void {
    this.#slot[0] = value
  }

  add(by: number): void {
    this.#slot[0]! += by
  }
}

export class Histogram {
  /** Upper bounds, ascending and inclusive; everything above the last one is counted under +Inf. */
  readonly bounds: readonly number[]
  readonly #counts: Float64Array
  readonly #sum = new Float64Array(1)

  constructor(bounds: readonly number[]) {
    for (let i = 0; i < bounds.length; i++) {
      const isAscending = Number.isFinite(bounds[i]) && (i === 0 || bounds[i]! > bounds[i - 1]!)
      invariant(isAscending, 'histogram bounds do not ascend', { bounds })
    }
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  get sum(): number {
    return this.#sum[0]!
  }

  observe(value: number): void {
    const bounds = this.bounds
    let bucket = 0
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++
    this.#counts[bucket]! += 1
    this.#sum[0]! += value
  }

  /** How many values were at most each bound, then how many there were at all. */
  cumulativeCounts(): number[] {
    let count = 0
    return Array.from(this.#counts, (inBucket) => (count += inBucket))
  }
}

/** One metric per combination of label values, at most `seriesMax` of them and one more for the rest. */
export class Family<Metric> {
  readonly labelNames: readonly string[]
  readonly #seriesMax: number
  readonly #create: () => Metric
  readonly #series = new Map<string, { readonly labels: string; readonly metric: Metric }>()

  constructor(options: FamilyOptions, create: () => Metric) {
    for (const label of options.labelNames) {
      invariant(LABEL_PATTERN.test(label), 'label name is malformed', { label })
    }
    this.labelNames = options.labelNames
    this.#seriesMax = options.seriesMax ?? SERIES_MAX_DEFAULT
    this.#create = create
  }

  /**
   * The metric with these label values, in the order of `labelNames`. Hot paths keep what this returns. A combination
   * that finds the family full shares the one whose every label reads "other".
   */
  labelled(...values: readonly string[]): Metric {
    const count = this.labelNames.length
    invariant(values.length === count, 'label values do not match names', { values, count })
    const known = this.#series.get(values.join('\u0000'))
    if (known !== undefined) return known.metric
    if (this.#series.size < this.#seriesMax) return this.#add(values)
    const other = this.labelNames.map(() => OTHER)
    return this.#series.get(other.join('\u0000'))?.metric ?? this.#add(other)
  }

  *series(): Iterable<{ readonly labels: string; readonly metric: Metric }> {
    yield* this.#series.values()
  }

  #add(values: readonly string[]): Metric {
    const metric = this.#create()
    const labels = renderLabels(this.labelNames, values)
    this.#series.set(values.join('\u0000'), { labels, metric })
    return metric
  }
}

export interface MetricOptions {
  /** `raftbase_<module>_<thing>_<unit>`. */
  readonly name: string
  /** One sentence for people, also found in docs/metrics.md. */
  readonly help: string
}

export interface FamilyOptions extends MetricOptions {
  readonly labelNames: readonly string[]
  /** How many combinations of label values are told apart; 128 if left out. */
  readonly seriesMax?: number
}

/** One value of a metric that is read when it is scraped; `labels` in the order of the label names. */
export interface Sample {
  readonly labels: readonly string[]
  readonly value: number
}

/** What is read when scraped: it returns at once. No samples means that there is nothing to report. */
export type ReadSamples = () => number | readonly Sample[]

interface Registered {
  readonly name: string
  readonly type: MetricType
  readonly help: string
  readonly lines: (out: string[]) => void
}

/** Every metric of a process. Names are unique; a second registration of one is a bug. */
export class Registry {
  readonly #metrics = new Map<string, Registered>()

  /** The registered names, sorted. */
  get names(): readonly string[] {
    return [...this.#metrics.keys()].sort()
  }

  typeOf(name: string): MetricType | undefined {
    return this.#metrics.get(name)?.type
  }

  counter(options: MetricOptions): Counter {
    return this.counterFamily({ ...options, labelNames: [] }).labelled()
  }

  counterFamily(options: FamilyOptions): Family<Counter> {
    return this.#family('counter', options, () => new Counter(), valueLines)
  }

  gauge(options: MetricOptions): Gauge {
    return this.gaugeFamily({ ...options, labelNames: [] }).labelled()
  }

  gaugeFamily(options: FamilyOptions): Family<Gauge> {
    return this.#family('gauge', options, () => new Gauge(), valueLines)
  }

  histogram(options: MetricOptions & { readonly bounds: readonly number[] }): Histogram {
    return this.histogramFamily({ ...options, labelNames: [] }).labelled()
  }

  histogramFamily(
    options: FamilyOptions & { readonly bounds: readonly number[] },
  ): Family<Histogram> {
    return this.#family('histogram', options, () => new Histogram(options.bounds), histogramLines)
  }

  /** A gauge whose value is asked for when it is scraped. */
  gaugeFrom(options: MetricOptions & Partial<FamilyOptions>, read: ReadSamples): void {
    this.#callback('gauge', options, read)
  }

  /** A counter that something else counts; what `read` returns never falls. */
  counterFrom(options: MetricOptions & Partial<FamilyOptions>, read: ReadSamples): void {
    this.#callback('counter', options, read)
  }

  /** Everything in Prometheus text format 0.0.4, sorted by name. */
  render(): string {
    const out: string[] = []
    for (const name of this.names) {
      const metric = this.#metrics.get(name)!
      out.push(`# HELP ${name} ${metric.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`)
      out.push(`# TYPE ${name} ${metric.type}`)
      metric.lines(out)
    }
    return `${out.join('\n')}\n`
  }

  #family<Metric>(
    type: MetricType,
    options: FamilyOptions,
    create: () => Metric,
    lines: (out: string[], name: string, labels: string, metric: Metric) => void,
  ): Family<Metric> {
    const family = new Family(options, create)
    this.#register(type, options, (out) => {
      for (const { labels, metric } of family.series()) lines(out, options.name, labels, metric)
    })
    return family
  }

  #callback(
    type: MetricType,
    options: MetricOptions & Partial<FamilyOptions>,
    read: ReadSamples,
  ): void {
    const labelNames = options.labelNames ?? []
    this.#register(type, options, (out) => {
      const samples = read()
      if (typeof samples === 'number') {
        out.push(line(options.name, '', samples))
        return
      }
      for (const { labels, value } of samples.slice(0, options.seriesMax ?? SERIES_MAX_DEFAULT)) {
        out.push(line(options.name, renderLabels(labelNames, labels), value))
      }
    })
  }

  #register(type: MetricType, options: MetricOptions, lines: (out: string[]) => void): void {
    const { name, help } = options
    invariant(isMetricName(name, type), 'metric name does not follow the convention', {
      name,
      type,
    })
    invariant(!this.#metrics.has(name), 'metric is registered twice', { name })
    this.#metrics.set(name, { name, type, help, lines })
  }
}

function valueLines(
  out: string[],
  name: string,
  labels: string,
  metric: { readonly value: number },
): void {
  out.push(line(name, labels, metric.value))
}

function histogramLines(out: string[], name: string, labels: string, metric: Histogram): void {
  const counts = metric.cumulativeCounts()
  const prefix = labels === '' ? '' : `${labels},`
  for (let i = 0; i < counts.length; i++) {
    const bound = metric.bounds[i] ?? Number.POSITIVE_INFINITY
    out.push(line(`${name}_bucket`, `${prefix}le="${renderNumber(bound)}"`, counts[i]!))
  }
  out.push(line(`${name}_sum`, labels, metric.sum))
  out.push(line(`${name}_count`, labels, counts.at(-1)!))
}

function line(name: string, labels: string, value: number): string {
  return `${name}${labels === '' ? '' : `{${labels}}`} ${renderNumber(value)}`
}

function renderLabels(names: readonly string[], values: readonly string[]): string {
  return names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',')
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function renderNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}
