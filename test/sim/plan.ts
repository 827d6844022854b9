// What one run is made of, all of it drawn from its seed before it begins: the cluster, how its disks and wires behave, its
// clients, and the faults with their times. A run with some of the faults left out is another run of the same plan: that is
// how a failure is shrunk.

import { type Prng, SeededPrng } from '../../lib/prng.ts'
import type { AutoCompaction } from '../../member/src/node/member-node.ts'
import { type NodeSettings, nodeSettings } from '../../member/src/node/settings.ts'
import type { DiskSpeed } from './disk.ts'
import {
  drawFaults,
  drawMembership,
  drawOperations,
  drawWipes,
  type Fault,
  LEVEL_MAX,
} from './fault-plan.ts'
import type { NetworkProfile } from './network.ts'
import type { WorkloadProfile } from './workload.ts'

export interface Plan {
  readonly seed: number
  readonly members: number
  readonly settings: NodeSettings
  readonly electionMs: number
  readonly diskSpeed: DiskSpeed
  readonly turnMs: number
  readonly network: NetworkProfile
  readonly workload: WorkloadProfile
  /** How long faults come and go. */
  readonly chaosMs: number
  /** Whether history is compacted, by leaders and by somebody who asks for it. */
  readonly compacts: boolean
  /** Whether the membership changes. */
  readonly reconfigures: boolean
  /** Whether limits, versions, the feature level and, where the membership changes, addresses do. */
  readonly operates: boolean
  /** By time. */
  readonly faults: readonly Fault[]
  /** Whether its members have a membership file, and not their settings alone. */
  readonly isOperated: boolean
  /** How late that file reaches them. */
  readonly fileLagMs: number
  /** Whether clocks run at different speeds. */
  readonly clocksDiffer: boolean
}

const KIB = 1024

/** Of the stream of operations: such that the seeds of seeds.txt have none, and still mean the runs that they were kept for. */
const OPERATIONS_STREAM = 2 ** 42 + 13

interface Forced {
  readonly reconfigures?: boolean
  readonly compacts?: boolean
  readonly operates?: boolean
}

/** What is forced is so instead of what the seed would have. */
export function planOf(seed: number, forced: Forced = {}): Plan {
  const prng = new SeededPrng(seed)
  const members = pick(prng, [3, 3, 3, 3, 5, 5, 1])
  const heartbeatMs = pick(prng, [100, 100, 100, 50, 200])
  const electionMs = 10 * heartbeatMs
  const chaosMs = 40_000 + prng.next(80_000)
  const settings = drawSettings(prng, heartbeatMs, electionMs)
  const history = new SeededPrng(seed + 2 ** 44)
  const drawsCompaction = history.next(3) === 0
  const compacts = forced.compacts ?? drawsCompaction
  const others = new SeededPrng(seed + 2 ** 40)
  const reconfigures = others.next(3) === 0 || forced.reconfigures === true
  const operated = new SeededPrng(seed + 2 ** 41)
  const isOperated = operated.next(reconfigures ? 4 : 2) !== 0
  const fileLagMs = pick(operated, [0, 300, 3000, 30_000])
  const wipes = isOperated && operated.next(3) === 0 ? drawWipes(operated, chaosMs) : []
  const operations = new SeededPrng(seed + OPERATIONS_STREAM)
  const drawsOperations = operations.next(4) === 0
  const operates = forced.operates ?? drawsOperations
  return {
    seed,
    members,
    // Where limits of requests change they count as they are, whatever the encoding adds.
    settings: {
      ...settings,
      ...(compacts ? { autoCompaction: drawCompaction(history) } : {}),
      ...(operates ? { knownLevel: LEVEL_MAX, requestOverheadBytes: 100 } : {}),
    },
    compacts,
    electionMs,
    diskSpeed: {
      flushMs: pick(prng, [0.2, 1, 1, 5, 20]),
      changeMs: pick(prng, [0.05, 0.5, 2]),
    },
    turnMs: pick(prng, [0, 0.01, 0.1, 1]),
    network: drawNetwork(prng),
    workload: drawWorkload(prng),
    chaosMs,
    reconfigures,
    operates,
    isOperated,
    fileLagMs,
    faults: [
      ...drawAllFaults(prng, { members, chaosMs, electionMs }, reconfigures ? others : undefined),
      ...wipes,
      ...(operates ? drawOperations(operations, { chaosMs, moves: reconfigures }) : []),
    ].toSorted((a, b) => a.atMs - b.atMs),
    clocksDiffer: prng.next(3) === 0,
  }
}

/** Small bounds, so that a short run meets them: segments end, snapshots are due, windows fill. */
function drawSettings(prng: Prng, heartbeatMs: number, electionMs: number): NodeSettings {
  const base = nodeSettings({
    heartbeatMs,
    electionMs,
    requestBytesMax: 64 * KIB,
    snapshotLogBytes: pick(prng, [2, 8, 32, 128]) * KIB,
    quotaBytes: Number.POSITIVE_INFINITY,
  })
  const tailBytes = pick(prng, [0, 128, 512]) * KIB
  return {
    ...base,
    segmentBytes: pick(prng, [16, 32, 64]) * KIB,
    tailBytesMax: () => tailBytes,
    batchBytesMax: pick(prng, [256, 4 * KIB, 1024 * KIB]),
    raft: {
      ...base.raft,
      maxBytesPerMessage: pick(prng, [200, 2 * KIB, 1024 * KIB]),
      maxInflightMessages: pick(prng, [1, 4, 256]),
      maxInflightBytes: pick(prng, [1, 64, 8192]) * KIB,
      maxCommittedBytesPerReady: pick(prng, [300, 4 * KIB, 4096 * KIB]),
      maxUncommittedBytes: pick(prng, [2, 64, 65_536]) * KIB,
      maxPendingReads: pick(prng, [2, 10_000]),
    },
  }
}

/** Of a run of a minute or two some history is left at its end, for the checkers that look back. */
function drawCompaction(prng: Prng): AutoCompaction {
  return { mode: 'periodic', retentionMs: pick(prng, [0, 2000, 10_000, 30_000]) }
}

function drawNetwork(prng: Prng): NetworkProfile {
  const delayMinMs = pick(prng, [0.05, 0.2, 1, 5])
  return {
    delayMinMs,
    delayMaxMs: delayMinMs + pick(prng, [0.1, 1, 10, 60]),
    lost: pick(prng, [0, 0, 2, 20, 100]),
    doubled: pick(prng, [0, 0, 10, 100]),
    reorders: prng.next(3) === 0,
    doubleLateMs: pick(prng, [10, 1000, 30_000]),
    holds: prng.next(2) === 0,
  }
}

function drawWorkload(prng: Prng): WorkloadProfile {
  const clients = pick(prng, [2, 4, 8])
  return {
    clients,
    keys: pick(prng, [1, 3, 10]),
    thinkMs: clients * pick(prng, [50, 150, 400]),
    timeoutMs: pick(prng, [500, 2000, 5000]),
    puts: pick(prng, [30, 50, 80]),
    deletes: pick(prng, [0, 5, 15]),
    serializable: 5,
    valueBytes: pick(prng, [0, 64, 600]),
  }
}

function drawAllFaults(
  prng: Prng,
  options: Parameters<typeof drawFaults>[1],
  others: Prng | undefined,
): readonly Fault[] {
  const faults = drawFaults(prng, options)
  return others === undefined ? faults : mixed(faults, drawMembership(others, options.chaosMs))
}

/** Damage at rest is left out: what a majority of disks is changes under way. */
function mixed(faults: readonly Fault[], changes: readonly Fault[]): readonly Fault[] {
  const harmless = faults.filter(({ action }) => action.type !== 'rot')
  return [...harmless, ...changes].toSorted((a, b) => a.atMs - b.atMs)
}

export function pick<T>(prng: Prng, choices: readonly T[]): T {
  return choices[prng.next(choices.length)]!
}
