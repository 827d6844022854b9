// Objects as text that is equal exactly when the objects are, short fingerprints of it, and whether one object has all
// that another one asks for. Pure.

import { numberOf } from './quantity.ts'

/** JSON with the keys of every object in order; undefined fields are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  let text = ''
  for (const key of Object.keys(value).toSorted()) {
    const field = (value as Readonly<Record<string, unknown>>)[key]
    if (field === undefined) continue
    text += `${text === '' ? '{' : ','}${JSON.stringify(key)}:${canonicalJson(field)}`
  }
  return text === '' ? '{}' : `${text}}`
}

/** 16 hex digits. For telling versions of our own objects apart; it resists accidents, not attackers. */
export function fingerprint(value: unknown): string {
  const text = canonicalJson(value)
  // Two FNV-1a hashes with different offsets, mixed once more at the end.
  let first = 0x811c9dc5
  let second = 0x01000193
  for (let position = 0; position < text.length; position += 1) {
    const code = text.charCodeAt(position)
    first = Math.imul(first ^ code, 0x01000193)
    second = Math.imul(second ^ (code + position), 0x85ebca6b)
  }
  first = Math.imul(first ^ (second >>> 15), 0x2c1b3c6d)
  second = Math.imul(second ^ (first >>> 13), 0x297a2d39)
  return hex(first) + hex(second)
}

/**
 * Whether `live` has everything `desired` says. What the API server or others added beside it does not matter; items of a
 * list are matched by `name`, `key`, `type`, `port` or `mountPath` where they have one, else by position.
 */
export function includes(live: unknown, desired: unknown): boolean {
  if (desired === undefined) return true
  if (Array.isArray(desired)) {
    if (!Array.isArray(live)) return false
    return desired.every((item, position) => includes(counterpart(live, item, position), item))
  }
  if (typeof desired !== 'object' || desired === null) return isSameScalar(live, desired)
  if (typeof live !== 'object' || live === null || Array.isArray(live)) return false
  const fields = live as Record<string, unknown>
  return Object.entries(desired).every(([key, value]) => includes(fields[key], value))
}

/** The API server writes quantities its own way: `1000m` comes back as `1`. */
function isSameScalar(live: unknown, desired: unknown): boolean {
  if (live === desired) return true
  if (typeof live !== 'string' || (typeof desired !== 'string' && typeof desired !== 'number')) {
    return false
  }
  const number = numberOf(desired)
  return number !== undefined && number === numberOf(live)
}

const MERGE_KEYS = ['name', 'mountPath', 'key', 'uid', 'port'] as const

function counterpart(live: readonly unknown[], item: unknown, position: number): unknown {
  if (typeof item !== 'object' || item === null) return live[position]
  for (const key of MERGE_KEYS) {
    const wanted = (item as Record<string, unknown>)[key]
    if (wanted === undefined) continue
    return live.find(
      (other) =>
        typeof other === 'object' && other !== null && key in other && isEqual(other, key, wanted),
    )
  }
  return live[position]
}

function isEqual(other: object, key: string, wanted: unknown): boolean {
  return (other as Record<string, unknown>)[key] === wanted
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
