// What any of our processes tells about itself: memory, CPU, descriptors, event-loop delay, start and build. Everything is
// read when it is scraped, except the delay, which Node.js samples by itself.

import { readdirSync } from 'node:fs'
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { Registry, Sample } from './metrics.ts'

/** How often the delay of the event loop is sampled, and what Node.js adds to every sample of it. */
const DELAY_RESOLUTION_MS = 20
const DELAY_QUANTILES = ['0.5', '0.99', '1'] as const
const DESCRIPTOR_DIRECTORY = '/proc/self/fd'

export interface ProcessMetricsOptions {
  /** Of raftbase, as in package.json. */
  readonly version: string
  /** When the process started, in milliseconds since the Unix epoch. */
  readonly startedAtMs: number
}

/** Registers the metrics of this process. The returned function ends the sampling. */
export function registerProcessMetrics(
  registry: Registry,
  options: ProcessMetricsOptions,
): () => void {
  registry.gaugeFrom(
    { name: 'process_resident_memory_bytes', help: 'Resident memory of the process.' },
    () => process.memoryUsage.rss(),
  )
  registry.counterFrom(
    { name: 'process_cpu_seconds_total', help: 'User and system CPU time spent.' },
    () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
  )
  registry.gaugeFrom(
    { name: 'process_open_fds', help: 'Open file descriptors, where the system tells.' },
    countDescriptors,
  )
  registry.gaugeFrom(
    { name: 'process_start_time_seconds', help: 'Start of the process since the Unix epoch.' },
    () => options.startedAtMs / 1000,
  )
  registry.gaugeFrom(
    {
      name: 'raftbase_process_build_info',
      help: 'Always 1; the labels say what is running.',
      labelNames: ['version', 'node_version'],
    },
    () => [{ labels: [options.version, process.versions.node], value: 1 }],
  )
  return registerEventLoopDelay(registry)
}

function registerEventLoopDelay(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  delay.enable()
  registry.gaugeFrom(
    {
      name: 'raftbase_process_event_loop_delay_seconds',
      help: 'How late the event loop was since the previous scrape.',
      labelNames: ['quantile'],
    },
    () => {
      if (delay.count === 0) return []
      const samples = DELAY_QUANTILES.map((quantile): Sample => {
        const lateMs = delay.percentile(Number(quantile) * 100) / 1e6 - DELAY_RESOLUTION_MS
        return { labels: [quantile], value: Math.max(0, lateMs) / 1000 }
      })
      delay.reset()
      return samples
    },
  )
  return () => delay.disable()
}

/** The descriptor that reads the directory is not counted. No samples where there is no such directory (macOS). */
function countDescriptors(): number | readonly Sample[] {
  try {
    return readdirSync(DESCRIPTOR_DIRECTORY).length - 1
  } catch {
    // Not Linux, or out of descriptors: the one value that cannot be told is left out, the others are still served.
    return []
  }
}

/** How much of the time since the last call the event loop of this process was busy, 0 to 1; at first since the start. */
export function busyShareMeter(): () => number {
  let before: EventLoopUtilization | undefined
  return () => {
    const now = performance.eventLoopUtilization()
    const share =
      before === undefined
        ? now.utilization
        : performance.eventLoopUtilization(now, before).utilization
    before = now
    return share
  }
}
