// The metric registry and the metrics of a process: names, values, bounds and the text format.

import { describe, expect, test } from 'vitest'
import { Histogram, isMetricName, Registry } from '../../lib/metrics.ts'
import { registerProcessMetrics } from '../../lib/process-metrics.ts'

describe('names', () => {
  test.each([
    ['raftbase_wal_sync_duration_seconds', 'histogram', true],
    ['raftbase_wal_written_bytes_total', 'counter', true],
    ['raftbase_rest_requests_total', 'counter', true],
    ['process_open_fds', 'gauge', true],
    ['raftbase_rest_requests_total', 'gauge', false],
    ['raftbase_rest_requests', 'counter', false],
    ['raftbase_wal_sync_duration_ms', 'histogram', false],
    ['raftbase_wal_seconds', 'gauge', false],
    ['raftbase_Wal_sync_seconds', 'gauge', false],
    ['wal_sync_seconds', 'gauge', false],
    ['process_anything_seconds', 'gauge', false],
  ] as const)('%s as a %s follows the convention: %s (style section 7)', (name, type, follows) => {
    expect(isMetricName(name, type)).toBe(follows)
  })

  test('a name off the convention or taken already cannot be registered', () => {
    const registry = new Registry()
    registry.counter({ name: 'raftbase_test_things_total', help: 'Things.' })
    expect(() => registry.counter({ name: 'raftbase_test_things_total', help: 'Again.' })).toThrow(
      'registered twice',
    )
    expect(() => registry.gauge({ name: 'raftbase_test_things', help: 'No unit.' })).toThrow(
      'does not follow',
    )
  })
})

describe('values', () => {
  test('a counter adds up and refuses to fall', () => {
    const counter = new Registry().counter({ name: 'raftbase_test_things_total', help: 'Things.' })
    counter.increment()
    counter.increment(2.5)
    expect(counter.value).toBe(3.5)
    expect(() => counter.increment(-1)).toThrow('would fall')
    expect(() => counter.increment(Number.NaN)).toThrow('would fall')
    expect(counter.value).toBe(3.5)
  })

  test('a histogram counts a value that equals a bound below it, and all that is above under +Inf', () => {
    const histogram = new Histogram([1, 2])
    for (const value of [0.5, 1, 1.5, 2, 99]) histogram.observe(value)
    expect(histogram.cumulativeCounts()).toEqual([2, 4, 5])
    expect(histogram.sum).toBe(104)
  })

  test('bounds that do not ascend are a bug', () => {
    expect(() => new Histogram([1, 1])).toThrow('do not ascend')
    expect(() => new Histogram([1, Number.POSITIVE_INFINITY])).toThrow('do not ascend')
  })

  test('a family that is full counts the rest under other and never grows again', () => {
    const registry = new Registry()
    const family = registry.counterFamily({
      name: 'raftbase_test_things_total',
      help: 'Things.',
      labelNames: ['kind'],
      seriesMax: 2,
    })
    for (let i = 0; i < 100; i++) family.labelled(`kind-${i}`).increment()
    family.labelled('kind-1').increment()
    const lines = registry.render().split('\n')
    expect(lines.filter((line) => !line.startsWith('#') && line !== '')).toEqual([
      'raftbase_test_things_total{kind="kind-0"} 1',
      'raftbase_test_things_total{kind="kind-1"} 2',
      'raftbase_test_things_total{kind="other"} 98',
    ])
  })

  test('increments allocate nothing', () => {
    const registry = new Registry()
    const counter = registry.counter({ name: 'raftbase_test_things_total', help: 'Things.' })
    const histogram = registry.histogram({
      name: 'raftbase_test_wait_seconds',
      help: 'Waits.',
      bounds: [0.1, 1],
    })
    const run = (rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        counter.increment(0.5)
        histogram.observe(0.5)
      }
    }
    run(100_000)
    const before = process.memoryUsage().heapUsed
    run(1_000_000)
    // Sixteen bytes for each of two million numbers would be 32 MB; a collection in between makes this negative.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000)
  })
})

describe('Prometheus text 0.0.4', () => {
  test('every type is written in its own form, sorted by name, escaped', () => {
    const registry = new Registry()
    registry
      .counterFamily({
        name: 'raftbase_b_things_total',
        help: 'A \\ and\na line.',
        labelNames: ['x'],
      })
      .labelled('a "b" \\ c\nd')
      .increment(3)
    registry.gauge({ name: 'raftbase_c_size_bytes', help: 'Size.' }).set(-1.5)
    registry
      .histogramFamily({
        name: 'raftbase_a_wait_seconds',
        help: 'Waits.',
        bounds: [0.5],
        labelNames: ['x'],
      })
      .labelled('y')
      .observe(1)
    registry.gaugeFrom(
      { name: 'raftbase_d_level_ratio', help: 'Level.', labelNames: ['z'] },
      () => [
        { labels: ['q'], value: Number.POSITIVE_INFINITY },
        { labels: ['r'], value: Number.NaN },
      ],
    )
    expect(registry.render()).toBe(
      [
        '# HELP raftbase_a_wait_seconds Waits.',
        '# TYPE raftbase_a_wait_seconds histogram',
        'raftbase_a_wait_seconds_bucket{x="y",le="0.5"} 0',
        'raftbase_a_wait_seconds_bucket{x="y",le="+Inf"} 1',
        'raftbase_a_wait_seconds_sum{x="y"} 1',
        'raftbase_a_wait_seconds_count{x="y"} 1',
        '# HELP raftbase_b_things_total A \\\\ and\\na line.',
        '# TYPE raftbase_b_things_total counter',
        'raftbase_b_things_total{x="a \\"b\\" \\\\ c\\nd"} 3',
        '# HELP raftbase_c_size_bytes Size.',
        '# TYPE raftbase_c_size_bytes gauge',
        'raftbase_c_size_bytes -1.5',
        '# HELP raftbase_d_level_ratio Level.',
        '# TYPE raftbase_d_level_ratio gauge',
        'raftbase_d_level_ratio{z="q"} +Inf',
        'raftbase_d_level_ratio{z="r"} NaN',
        '',
      ].join('\n'),
    )
  })
})

const turn = () => new Promise((resolve) => setTimeout(resolve, 25))

describe('process metrics', () => {
  test('memory, CPU time, start and build are plausible', () => {
    const registry = new Registry()
    const stop = registerProcessMetrics(registry, { version: '1.2.3', startedAtMs: 1500 })
    const text = registry.render()
    stop()
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(value('process_start_time_seconds')).toBe(1.5)
    expect(text).toContain(
      `raftbase_process_build_info{version="1.2.3",node_version="${process.versions.node}"} 1`,
    )
  })

  test('a blocked event loop shows as delay, and only until it was scraped', async () => {
    const registry = new Registry()
    const stop = registerProcessMetrics(registry, { version: '1.2.3', startedAtMs: 0 })
    const worst = () => {
      const text = registry.render()
      return Number(/delay_seconds\{quantile="1"\} (\S+)/.exec(text)?.[1] ?? 0)
    }
    await turn()
    const end = performance.now() + 300
    while (performance.now() < end);
    let seen = 0
    while (seen < 0.2) {
      await turn()
      seen = Math.max(seen, worst())
    }
    expect(seen).toBeLessThan(5)
    await turn()
    expect(worst()).toBeLessThan(0.2)
    stop()
  })
})
