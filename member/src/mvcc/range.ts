// Reads: which keys an interval holds, and the order, limit and filters of a range request (RGE-*, RNG-*).

import { compareBytes } from '../../../lib/bytes.ts'
import type { Place } from './key-index.ts'
import type { Location } from './record-log.ts'
import { Records } from './records.ts'
import { type Refusal, refuse } from './refusal.ts'
import { type Interval, intervalKind, type RangeQuery, type SortTarget } from './requests.ts'
import type { State } from './state.ts'

export interface RangeResult {
  readonly ok: true
  /** The store's revision at evaluation, not the one read at. */
  readonly revision: number
  readonly kvs: Records
  /** Keys in the interval before limit and filters. */
  readonly count: number
  /** Whether the limit cut rows off. */
  readonly more: boolean
}

/** Places of the keys in the interval, from inclusive, to exclusive; `to <= from` if there are none. */
export function placesOf(state: State, interval: Interval): { from: Place; to: Place } {
  const { index } = state
  const kind = intervalKind(interval)
  const from = index.seek(interval.key)
  if (kind === 'point') return { from, to: index.hit ? from + 1 : from }
  return { from, to: kind === 'from' ? index.end : index.seek(interval.rangeEnd!) }
}

/** Why a read at `revision` is refused, if it is; the future is checked first (RNG-11, RNG-13). */
export function refuseRevision(
  revision: number | undefined,
  at: { readonly revision: number; readonly compactRevision: number },
): Refusal | undefined {
  if (revision === undefined || revision <= 0) return undefined
  if (revision > at.revision) return refuse('future', at)
  return revision < at.compactRevision ? refuse('compacted', at) : undefined
}

/** Evaluates `query`, whose revision has been checked; `revision` goes into the result. */
export function evaluateRange(state: State, query: RangeQuery, revision: number): RangeResult {
  const limit = query.limit !== undefined && query.limit > 0 ? query.limit : Infinity
  const target = query.sortTarget ?? 'key'
  const order = query.sortOrder ?? 'none'
  const isFiltered = hasFilter(query)
  const isDefaultOrder = order === 'none' || (order === 'ascend' && target === 'key')
  const collectMax = query.countOnly === true ? 0 : isDefaultOrder && !isFiltered ? limit : Infinity
  const { kvs: found, count } = collect(state, query, collectMax)
  if (query.countOnly === true) return { ok: true, revision, kvs: found, count, more: false }
  const needsSort = target !== 'key' || order === 'descend'
  if (!isFiltered && !needsSort) {
    return { ok: true, revision, kvs: found, count, more: count > found.length }
  }
  const rows: number[] = []
  for (let row = 0; row < found.length; row++) if (passes(found, row, query)) rows.push(row)
  if (needsSort) sortRows(found, rows, { target, isDescending: order === 'descend' })
  // Without filters in default order the limit has been applied already (RNG-7).
  const total = isDefaultOrder && !isFiltered ? count : rows.length
  return { ok: true, revision, kvs: found.picked(rows, limit), count, more: total > limit }
}

/** The first `max` live keys of the interval in key order, and the number of all of them. */
function collect(state: State, query: RangeQuery, max: number): { kvs: Records; count: number } {
  const kvs = new Records({ keysOnly: query.keysOnly === true })
  const { from, to } = placesOf(state, query)
  const { log, index } = state
  const main = query.revision !== undefined && query.revision > 0 ? query.revision : undefined
  let count = 0
  for (let place = from; place < to; place = index.next(place)) {
    if (main === undefined && kvs.length >= max) return { kvs, count: index.liveCount(from, to) }
    if (main === undefined && !index.isLiveAt(place)) continue
    const newest = log.mustLocate(index.sequenceAt(place))
    const at = main === undefined ? newest : state.liveAt(newest, main)
    if (at < 0) continue
    count++
    if (kvs.length < max) pushAt(state, kvs, at)
  }
  return { kvs, count }
}

export function pushAt(state: State, records: Records, at: Location): void {
  records.push(state.log.slabOf(at), state.log.wordOf(at))
}

function hasFilter(query: RangeQuery): boolean {
  return (
    isSet(query.minModRevision) ||
    isSet(query.maxModRevision) ||
    isSet(query.minCreateRevision) ||
    isSet(query.maxCreateRevision)
  )
}

function isSet(bound: number | undefined): boolean {
  return bound !== undefined && bound !== 0
}

function passes(records: Records, row: number, query: RangeQuery): boolean {
  const mod = records.modRevision(row)
  const create = records.createRevision(row)
  return (
    !(isSet(query.minModRevision) && mod < query.minModRevision!) &&
    !(isSet(query.maxModRevision) && mod > query.maxModRevision!) &&
    !(isSet(query.minCreateRevision) && create < query.minCreateRevision!) &&
    !(isSet(query.maxCreateRevision) && create > query.maxCreateRevision!)
  )
}

/** Sorts rows that are in key order; ties stay in key order, also when descending (RNG-8). */
function sortRows(
  records: Records,
  rows: number[],
  by: { readonly target: SortTarget; readonly isDescending: boolean },
): void {
  const compare = comparison(records, by.target)
  if (compare === undefined) rows.reverse()
  else if (by.isDescending) rows.sort((a, b) => compare(b, a))
  else rows.sort(compare)
}

function comparison(
  records: Records,
  target: SortTarget,
): ((a: number, b: number) => number) | undefined {
  switch (target) {
    case 'version':
      return (a, b) => records.version(a) - records.version(b)
    case 'create':
      return (a, b) => records.createRevision(a) - records.createRevision(b)
    case 'mod':
      return (a, b) => records.modRevision(a) - records.modRevision(b)
    case 'value':
      return (a, b) => compareBytes(records.storedValue(a), records.storedValue(b))
    default:
      return undefined
  }
}
