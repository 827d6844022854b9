// The faults of a run as data: what happens, to whom, when, for how long. Each run draws which kinds it knows at all and how
// often they come (swarm testing: runs that leave kinds out get further with the others).

import type { Prng } from '../../lib/prng.ts'

/** What a fault does; members are numbers from 0, taken modulo the number of members there are. */
export type FaultAction =
  | {
      readonly type: 'kill'
      readonly member: number
      readonly losesPower: 'no' | 'all' | 'none' | 'torn'
      readonly downMs: number
    }
  | {
      readonly type: 'killAll'
      readonly losesPower: 'no' | 'all' | 'none' | 'torn'
      readonly downMs: number
    }
  | { readonly type: 'stop'; readonly member: number; readonly downMs: number }
  | { readonly type: 'pause'; readonly member: number; readonly ms: number }
  /** Whoever leads, at that moment. */
  | { readonly type: 'pauseLeader'; readonly ms: number }
  | { readonly type: 'killLeader'; readonly losesPower: 'no' | 'torn'; readonly downMs: number }
  /** A bit a member: the two sides hear nothing of each other. */
  | { readonly type: 'partition'; readonly sides: number; readonly ms: number }
  | {
      readonly type: 'isolate'
      readonly member: number
      readonly direction: 'both' | 'in' | 'out'
      readonly ms: number
    }
  | {
      readonly type: 'isolateLeader'
      readonly direction: 'both' | 'in' | 'out'
      readonly ms: number
    }
  | { readonly type: 'cutLink'; readonly from: number; readonly to: number; readonly ms: number }
  /** All links of some members are cut one after the other, and healed in another order. */
  | { readonly type: 'swizzle'; readonly order: number; readonly ms: number }
  | { readonly type: 'reset'; readonly from: number; readonly to: number }
  | { readonly type: 'storm'; readonly lost: number; readonly delayMs: number; readonly ms: number }
  | {
      readonly type: 'slowDisk'
      readonly member: number
      readonly times: number
      readonly ms: number
    }
  | { readonly type: 'hangDisk'; readonly member: number; readonly ms: number }
  | {
      readonly type: 'armDisk'
      readonly member: number
      readonly fault: 'crash' | 'powerLoss' | 'error' | 'flushError'
      readonly countdown: number
      readonly keptOf256: number
    }
  | { readonly type: 'fillDisk'; readonly member: number; readonly ms: number }
  | { readonly type: 'rot'; readonly member: number; readonly file: number; readonly at: number }
  | { readonly type: 'jumpClock'; readonly member: number; readonly byMs: number }
  | { readonly type: 'transfer'; readonly target: number }
  /** It dies and comes back with a blank disk under the name and id that it had. */
  | { readonly type: 'wipe'; readonly member: number; readonly downMs: number }
  /** One that was removed is started again, with its old data. */
  | { readonly type: 'startRemoved'; readonly member: number }
  /** A change of membership asked of whoever leads; `stale` with an epoch that is not the present one. */
  | { readonly type: 'membership'; readonly change: MembershipAction; readonly which: number }
  /** Its configuration file has other limits from now on; undefined: those of the plan again. */
  | {
      readonly type: 'configure'
      readonly member: number
      readonly limit: 'quotaBytes' | 'snapshotLogBytes' | 'requestBytesMax'
      readonly value: number | undefined
    }
  /** Its program is exchanged for one that knows so high a feature level. */
  | {
      readonly type: 'exchange'
      readonly member: number
      readonly level: number
      readonly downMs: number
    }
  /** The feature level is raised through some member; 0: as far as all know. */
  | { readonly type: 'finalize'; readonly level: number; readonly which: number }
  /** It is started under another peer URL, of which the cluster is told before or not. */
  | {
      readonly type: 'move'
      readonly member: number
      readonly isTold: boolean
      readonly waitMs: number
      readonly downMs: number
    }

export type MembershipAction =
  | 'add'
  /** Under a name that was there before. */
  | 'addAgain'
  /** With the id of a member that was removed. */
  | 'removedId'
  | 'promote'
  | 'promoteAll'
  | 'remove'
  | 'replace'
  | 'stale'

export interface Fault {
  readonly atMs: number
  readonly action: FaultAction
}

type Draw = (prng: Prng) => FaultAction

const member = (prng: Prng): number => prng.next(64)
const losesPower = (prng: Prng) => (['no', 'all', 'none', 'torn', 'torn'] as const)[prng.next(5)]!
const direction = (prng: Prng) => (['both', 'in', 'out'] as const)[prng.next(3)]!

type Kind = Exclude<
  FaultAction['type'],
  'membership' | 'wipe' | 'startRemoved' | 'configure' | 'exchange' | 'finalize' | 'move'
>

function kinds(electionMs: number): Record<Kind, Draw> {
  /** Mostly shorter than anybody's patience, sometimes far longer. */
  const ms = (prng: Prng): number =>
    prng.next([electionMs / 4, 2 * electionMs, 8000][prng.next(3)]!)
  return {
    kill: (p) => ({ type: 'kill', member: member(p), losesPower: losesPower(p), downMs: ms(p) }),
    killAll: (p) => ({ type: 'killAll', losesPower: losesPower(p), downMs: ms(p) }),
    stop: (p) => ({ type: 'stop', member: member(p), downMs: ms(p) }),
    pause: (p) => ({ type: 'pause', member: member(p), ms: ms(p) }),
    pauseLeader: (p) => ({ type: 'pauseLeader', ms: ms(p) }),
    killLeader: (p) => ({
      type: 'killLeader',
      losesPower: p.next(2) === 0 ? 'no' : 'torn',
      downMs: ms(p),
    }),
    partition: (p) => ({ type: 'partition', sides: p.next(64), ms: ms(p) }),
    isolate: (p) => ({ type: 'isolate', member: member(p), direction: direction(p), ms: ms(p) }),
    isolateLeader: (p) => ({ type: 'isolateLeader', direction: direction(p), ms: ms(p) }),
    cutLink: (p) => ({ type: 'cutLink', from: member(p), to: member(p), ms: ms(p) }),
    swizzle: (p) => ({ type: 'swizzle', order: p.next(2 ** 32), ms: ms(p) }),
    reset: (p) => ({ type: 'reset', from: member(p), to: member(p) }),
    storm: (p) => ({ type: 'storm', lost: p.next(600), delayMs: p.next(400), ms: ms(p) }),
    slowDisk: (p) => ({
      type: 'slowDisk',
      member: member(p),
      times: [5, 30, 200][p.next(3)]!,
      ms: ms(p),
    }),
    hangDisk: (p) => ({ type: 'hangDisk', member: member(p), ms: ms(p) * 2 }),
    armDisk: (p) => ({
      type: 'armDisk',
      member: member(p),
      fault: (['crash', 'powerLoss', 'powerLoss', 'error', 'flushError'] as const)[p.next(5)]!,
      countdown: 1 + p.next(12),
      keptOf256: p.next(257),
    }),
    fillDisk: (p) => ({ type: 'fillDisk', member: member(p), ms: ms(p) }),
    rot: (p) => ({ type: 'rot', member: member(p), file: p.next(64), at: p.next(2 ** 32) }),
    jumpClock: (p) => ({
      type: 'jumpClock',
      member: member(p),
      byMs: (p.next(2) === 0 ? -1 : 1) * 3_600_000,
    }),
    transfer: (p) => ({ type: 'transfer', target: member(p) }),
  }
}

export function drawFaults(
  prng: Prng,
  options: { readonly members: number; readonly chaosMs: number; readonly electionMs: number },
): readonly Fault[] {
  const { chaosMs, electionMs } = options
  const all = Object.values(kinds(electionMs))
  const known = all.filter(() => prng.next(3) === 0)
  const draws = known.length === 0 ? all : known
  const meanMs = [500, 1500, 4000, 10_000][prng.next(4)]!
  const faults: Fault[] = []
  for (let atMs = 1000; ; ) {
    atMs += prng.next(2 * meanMs)
    if (atMs >= chaosMs) return faults
    faults.push({ atMs, action: draws[prng.next(draws.length)]!(prng) })
  }
}

/** Changes of membership at any time, more of those that let others follow. */
export function drawMembership(prng: Prng, chaosMs: number): readonly Fault[] {
  const changes = [
    'add',
    'add',
    'add',
    'promote',
    'promote',
    'promoteAll',
    'remove',
    'replace',
    'stale',
    'addAgain',
    'removedId',
    'wipe',
    'startRemoved',
  ] as const
  const meanMs = [1000, 3000, 6000][prng.next(3)]!
  const faults: Fault[] = []
  for (let atMs = 1500; ; ) {
    atMs += prng.next(2 * meanMs)
    if (atMs >= chaosMs) return faults
    const change = changes[prng.next(changes.length)]!
    const number = prng.next(64)
    if (change === 'wipe') {
      const downMs = prng.next([300, 5000][prng.next(2)]!)
      faults.push({ atMs, action: { type: 'wipe', member: number, downMs } })
    } else if (change === 'startRemoved') {
      faults.push({ atMs, action: { type: 'startRemoved', member: number } })
    } else faults.push({ atMs, action: { type: 'membership', change, which: number } })
  }
}

/** Disks that are exchanged for blank ones, where the membership stays. */
export function drawWipes(prng: Prng, chaosMs: number): readonly Fault[] {
  return Array.from({ length: 1 + prng.next(3) }, () => {
    const action = { type: 'wipe', member: member(prng), downMs: prng.next(5000) } as const
    return { atMs: 2000 + prng.next(chaosMs - 2000), action }
  })
}

/** The highest feature level that a program knows in runs in which the cluster's is raised. */
export const LEVEL_MAX = 3

const LIMITS = {
  quotaBytes: [300, 300, 600, 1200, undefined],
  snapshotLogBytes: [2048, 16_384, 131_072],
  requestBytesMax: [150, 500, 65_536, undefined],
} as const

/** What an operator does beside changing the membership: limits, versions, the feature level, and where members are. */
export function drawOperations(
  prng: Prng,
  { chaosMs, moves }: { readonly chaosMs: number; readonly moves: boolean },
): readonly Fault[] {
  const kinds = ['configure', 'configure', 'exchange', 'finalize', 'finalize'] as const
  const choices = moves ? ([...kinds, 'move', 'move', 'move'] as const) : kinds
  const meanMs = [1000, 3000, 6000][prng.next(3)]!
  const faults: Fault[] = []
  for (let atMs = 1500; ; ) {
    atMs += prng.next(2 * meanMs)
    if (atMs >= chaosMs) return faults.toSorted((a, b) => a.atMs - b.atMs)
    const type = choices[prng.next(choices.length)]!
    switch (type) {
      case 'configure':
        faults.push(...drawConfigure(prng, atMs))
        break
      case 'exchange': {
        const level = prng.next(3) === 0 ? prng.next(LEVEL_MAX) : LEVEL_MAX
        faults.push({
          atMs,
          action: { type, member: member(prng), level, downMs: prng.next(2000) },
        })
        break
      }
      case 'finalize':
        faults.push({
          atMs,
          action: { type, level: prng.next(LEVEL_MAX + 1), which: prng.next(64) },
        })
        break
      default: {
        const [waitMs, downMs] = [prng.next(3000), prng.next([300, 4000][prng.next(2)]!)]
        const isTold = prng.next(4) !== 0
        faults.push({ atMs, action: { type, member: member(prng), isTold, waitMs, downMs } })
      }
    }
  }
}

/** A file that reaches every member, each at another moment. */
function drawConfigure(prng: Prng, atMs: number): readonly Fault[] {
  const limit = (['quotaBytes', 'snapshotLogBytes', 'requestBytesMax'] as const)[prng.next(3)]!
  const values = LIMITS[limit]
  const value = values[prng.next(values.length)]
  return Array.from({ length: 5 }, (_, i) => ({
    atMs: atMs + prng.next(4000),
    action: { type: 'configure', member: i, limit, value } as const,
  }))
}

/** One line for people. */
export function describeFault({ action }: Fault): string {
  const { type, ...fields } = action
  const text = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`)
  return [type, ...text].join(' ')
}
