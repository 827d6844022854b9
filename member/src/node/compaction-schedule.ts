// When history is compacted, and to which revision (CPT-8, CPT-9). Pure: the time is an argument. Every member remembers which
// revision its state had when, so that whoever leads next can go on where the leader before has stopped.

/** What is kept of the history; 0 keeps all of it. */
export type AutoCompaction =
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retentionRevisions: number }

export const KEEP_EVERYTHING: AutoCompaction = { mode: 'periodic', retentionMs: 0 }

const HOUR_MS = 3_600_000
const REVISION_PERIOD_MS = 300_000
/** Revisions are recorded so many times in a period of retention, of which an hour counts at the most. */
const RECORDS_PER_PERIOD = 10
/** Of a retention of more than a hundred hours, no more than so many are kept in memory. */
const RECORDS_MAX = 1000
/** The longest between two looks: a changed setting is seen by then. */
const LOOK_MS_MAX = 1000

export interface Compactable {
  readonly revision: number
  /** -1 while never compacted. */
  readonly compactRevision: number
}

export class CompactionSchedule {
  /** The first time each revision was seen; oldest first, both rising. */
  #records: { readonly atMs: number; readonly revision: number }[] = []
  #recordedMs = Number.NEGATIVE_INFINITY
  /** When history was compacted last, or, at first, since when it is looked at. */
  #compactedMs: number | undefined
  #attemptedMs = Number.NEGATIVE_INFINITY
  #setting = KEEP_EVERYTHING

  /** How many revisions are remembered. */
  get recordCount(): number {
    return this.#records.length
  }

  /** The revision to compact to now, if there is one; its outcome is told by `done` or `failed`. */
  due(options: {
    readonly nowMs: number
    readonly setting: AutoCompaction
    readonly store: Compactable
    readonly isLeader: boolean
  }): number | undefined {
    const { nowMs, setting, store, isLeader } = options
    this.#take(setting, nowMs)
    if (isOff(setting)) return undefined
    const isPeriodic = setting.mode === 'periodic'
    if (isPeriodic) this.#record(nowMs, setting.retentionMs, store.revision)
    const periodMs = periodOf(setting)
    if (!isLeader || nowMs - this.#attemptedMs < periodMs / RECORDS_PER_PERIOD) return undefined
    if (nowMs - this.#compactedMs! < periodMs) return undefined
    const revision = isPeriodic
      ? this.#revisionBefore(nowMs - setting.retentionMs)
      : store.revision - setting.retentionRevisions
    // A store begins at revision 1: nothing is older.
    if (revision === undefined || revision <= Math.max(1, store.compactRevision)) return undefined
    this.#attemptedMs = nowMs
    return revision
  }

  /** What was due has been compacted, by whomever. */
  done(nowMs: number): void {
    this.#compactedMs = nowMs
  }

  /** A changed setting takes effect at once. */
  #take(setting: AutoCompaction, nowMs: number): void {
    if (this.#compactedMs === undefined) {
      // The first revision that is old enough is that of now, when the period is over.
      this.#compactedMs = setting.mode === 'revision' ? nowMs : Number.NEGATIVE_INFINITY
    } else if (
      setting !== this.#setting &&
      JSON.stringify(setting) !== JSON.stringify(this.#setting)
    ) {
      this.#compactedMs = Number.NEGATIVE_INFINITY
      this.#attemptedMs = Number.NEGATIVE_INFINITY
    }
    this.#setting = setting
    if (isOff(setting) || setting.mode === 'revision') this.#records = []
  }

  #record(nowMs: number, retentionMs: number, revision: number): void {
    const records = this.#records
    if (records.length > 0 && nowMs - this.#recordedMs < recordPeriodMs(retentionMs)) return
    this.#recordedMs = nowMs
    if (records.at(-1)?.revision !== revision) records.push({ atMs: nowMs, revision })
    // The newest of those that are old enough is needed, and all after it.
    const needed = records.findLastIndex(({ atMs }) => atMs <= nowMs - retentionMs)
    if (needed > 0) records.splice(0, needed)
  }

  #revisionBefore(atMs: number): number | undefined {
    return this.#records.findLast((record) => record.atMs <= atMs)?.revision
  }
}

/** How long nobody need look at the schedule. */
export function lookAgainMs(setting: AutoCompaction): number {
  if (isOff(setting) || setting.mode === 'revision') return LOOK_MS_MAX
  return Math.min(LOOK_MS_MAX, recordPeriodMs(setting.retentionMs))
}

function isOff(setting: AutoCompaction): boolean {
  return (setting.mode === 'periodic' ? setting.retentionMs : setting.retentionRevisions) === 0
}

function periodOf(setting: AutoCompaction): number {
  return setting.mode === 'periodic' ? Math.min(setting.retentionMs, HOUR_MS) : REVISION_PERIOD_MS
}

function recordPeriodMs(retentionMs: number): number {
  const period = Math.min(retentionMs, HOUR_MS) / RECORDS_PER_PERIOD
  return Math.max(period, retentionMs / RECORDS_MAX)
}
