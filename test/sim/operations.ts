// What an operator does beside changing the membership: limits in the configuration file of one member after the other, programs
// that are exchanged, the feature level, and members that are started under another peer URL. Answers get lost, and calls are
// made again, through another member.

import { RaftbaseError } from '../../lib/errors.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { SimCluster } from './cluster.ts'
import type { FaultAction } from './fault-plan.ts'
import { type SimLimit, type SimMember, urlOf } from './member.ts'
import { updatePeerUrl } from './membership.ts'

export type Operation = Extract<
  FaultAction,
  { type: 'configure' | 'exchange' | 'finalize' | 'move' }
>

const LIMITS: readonly SimLimit[] = ['quotaBytes', 'snapshotLogBytes', 'requestBytesMax']
const TIMEOUT_MS = 3000
/** Between two attempts whose outcome is not known. */
const RETRY_MS = 700
const ATTEMPTS_MAX = 8

interface Finalize {
  /** Undefined: as far as all know. */
  readonly level: number | undefined
  readonly expectedEpoch: number | undefined
  lostAnswers: number
  attempts: number
  via: number
}

export class Operations {
  readonly #cluster: SimCluster
  /** Runs something later in the life of a member that faults may still touch then. */
  readonly #after: (ms: number, member: SimMember, run: () => void) => void
  #moveCount = 0
  /** A move is under way. */
  #isMoving = false

  constructor(
    cluster: SimCluster,
    after: (ms: number, member: SimMember, run: () => void) => void,
  ) {
    this.#cluster = cluster
    this.#after = after
  }

  happen(action: Operation): void {
    const { members } = this.#cluster
    switch (action.type) {
      case 'configure':
        return members[action.member % members.length]!.configure(action.limit, action.value)
      case 'exchange':
        return this.#exchange(members[action.member % members.length]!, action)
      case 'finalize':
        return this.#finalize({
          level: action.level === 0 ? undefined : action.level,
          // Some mean a membership, and not all of those the present one.
          expectedEpoch: [undefined, undefined, 0, this.#cluster.newest?.epoch][action.which % 4],
          lostAnswers: [0, 0, 1, 2][action.which % 4]!,
          attempts: 0,
          via: action.which,
        })
      default:
        return this.#move(members[action.member % members.length]!, action)
    }
  }

  /** Nothing keeps it from its part: the limits of the plan, a program that knows every level, its move at an end. */
  settle(member: SimMember): void {
    for (const limit of LIMITS) member.configure(limit, undefined)
    const { knownLevel } = this.#cluster.plan.settings
    if (member.knownLevel === knownLevel && member.peerUrl === member.listensAt) return
    // What runs is exchanged with its process.
    member.crash(undefined)
    member.exchange(knownLevel)
  }

  #exchange(member: SimMember, { level, downMs }: Extract<Operation, { type: 'exchange' }>): void {
    if (!member.isUp || member.isBuried || member.isGone) return
    member.crash(undefined)
    member.exchange(level)
    this.#cluster.trace.tell(member.name, `is exchanged for a program of level ${level}`)
    this.#after(downMs, member, () => member.start())
  }

  #finalize(asked: Finalize): void {
    const { members, world, trace } = this.#cluster
    if (asked.attempts++ >= ATTEMPTS_MAX) return
    const via = members[asked.via++ % members.length]!
    const { member, process } = via
    const later = (): void => {
      world.schedule({ delayMs: RETRY_MS, run: () => world.act(() => this.#finalize(asked)) })
    }
    if (member === undefined || process === undefined) return later()
    let isOver = false
    const again = (): void => {
      if (isOver) return
      isOver = true
      forget()
      later()
    }
    const forget = process.onKill(again)
    const { level, expectedEpoch } = asked
    const request = {
      ...(level === undefined ? {} : { level }),
      ...(expectedEpoch === undefined ? {} : { expectedEpoch }),
    }
    const run = async (): Promise<void> => {
      try {
        const done = await member.finalize(request, { timeoutMs: TIMEOUT_MS })
        // What was raised is raised, whether or not somebody hears of it.
        this.#cluster.onFinalized(done.level)
        if (asked.lostAnswers-- > 0) return again()
        isOver = true
        forget()
        trace.tell(via.name, `finalized: level ${done.level}`)
      } catch (error) {
        if (!(error instanceof RaftbaseError)) return world.fail(error)
        const isUnknown = error.code === 'OUTCOME_UNKNOWN' || error.code === 'SHUTTING_DOWN'
        if (isUnknown) return again()
        isOver = true
        forget()
        trace.tell(via.name, `finalize: ${error.code}`)
      }
    }
    void run()
  }

  // Addresses

  /** One at a time, and only while the cluster knows where everybody is: several at once would lose each other. */
  #move(member: SimMember, { isTold, waitMs, downMs }: Extract<Operation, { type: 'move' }>): void {
    const cluster = this.#cluster
    if (this.#isMoving || !isMovable(cluster, member) || !isEverybodyWhereTheyAre(cluster)) return
    this.#isMoving = true
    const { name, incarnation } = member.identity
    const url = urlOf({ name: `${name}-m${++this.#moveCount}`, incarnation })
    const before = member.peerUrl
    member.peerUrl = url
    cluster.trace.tell(
      member.name,
      `is to be reached at ${url}${isTold ? '' : ', which nobody is told'}`,
    )
    const restart = (): void => {
      this.#isMoving = false
      if (member.listensAt === url || !member.isUp) return
      member.crash(undefined)
      this.#after(downMs, member, () => member.start())
    }
    if (!isTold) return restart()
    updatePeerUrl(cluster, {
      id: member.id,
      peerUrl: url,
      lostAnswers: this.#moveCount % 3,
      onEnd: (end) => {
        if (end === 'refused') {
          this.#isMoving = false
          // It stays where it is, unless it was started there meanwhile.
          if (member.listensAt !== url) member.peerUrl = before
          return
        }
        cluster.onAddress({ member, index: end.index, url })
        // The address of one that runs is still the one before: what it holds open stays open.
        this.#after(waitMs, member, restart)
      },
    })
  }
}

/** It takes part, and has told where it is reached. */
function isMovable({ current }: SimCluster, member: SimMember): boolean {
  if (!current.includes(member) || member.member === undefined || member.isPaused) return false
  return member.member.isReady() && recordedUrl(member, member.id) === member.listensAt
}

function isEverybodyWhereTheyAre({ leader, current }: SimCluster): boolean {
  if (leader?.member === undefined) return false
  return current.every(
    (member) =>
      member.peerUrl === member.listensAt && recordedUrl(leader, member.id) === member.peerUrl,
  )
}

function recordedUrl({ member }: SimMember, id: MemberId): string | undefined {
  return member?.stateMachine.members.get(id)?.peerUrls.join()
}
