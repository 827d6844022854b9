// How much history a member keeps, from the text of two settings; names, meanings and units are etcd's.

import type { Parsed } from './address.ts'
import {
  COMPACTION_RETENTION_MS_MAX,
  COMPACTION_RETENTION_MS_MIN,
  COMPACTION_RETENTION_REVISIONS_MAX,
} from './limits.ts'
import type { AutoCompaction } from './node/member-node.ts'
import { parseInteger, type SettingsReader } from './setting-values.ts'

const HOUR_MS = 3_600_000
const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: HOUR_MS,
}
/** As Go writes a duration: 30m, 1h30m, 1.5h. */
const DURATION = /^(\d{1,12}(\.\d{1,9})?(ns|us|µs|ms|s|m|h))+$/

export function readAutoCompaction(reader: SettingsReader): AutoCompaction {
  const mode = reader.read('auto-compaction-mode', 'periodic', parseMode)
  if (mode === 'revision') {
    const read = reader.read('auto-compaction-retention', 0, parseRevisions)
    return { mode, retentionRevisions: read }
  }
  return { mode, retentionMs: reader.read('auto-compaction-retention', 0, parseRetention) }
}

function parseMode(text: string): Parsed<AutoCompaction['mode']> {
  if (text === 'periodic' || text === 'revision') return { ok: true, value: text }
  return { ok: false, reason: `unknown auto-compaction-mode "${text}"` }
}

function parseRevisions(text: string): Parsed<number> {
  const parsed = parseInteger(text)
  if (!parsed.ok) return { ok: false, reason: 'is not a number of revisions' }
  const isInRange = parsed.value >= 0 && parsed.value <= COMPACTION_RETENTION_REVISIONS_MAX
  return isInRange ? parsed : { ok: false, reason: 'is out of range' }
}

/** A number alone is hours. */
function parseRetention(text: string): Parsed<number> {
  const ms = /^\d{1,7}$/.test(text) ? Number(text) * HOUR_MS : durationMs(text)
  if (ms === undefined) return { ok: false, reason: 'is neither a duration nor a number of hours' }
  const isInRange = ms >= COMPACTION_RETENTION_MS_MIN && ms <= COMPACTION_RETENTION_MS_MAX
  return ms === 0 || isInRange ? { ok: true, value: ms } : { ok: false, reason: 'is out of range' }
}

function durationMs(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) {
    ms += Number(count) * UNITS_MS[unit!]!
  }
  return ms
}
