// JSON as a type, for the API server of the tests.

export type Json = null | boolean | number | string | Json[] | { [field: string]: Json | undefined }

export function isRecord(value: unknown): value is Record<string, Json | undefined> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The text, or the empty one for whatever is no text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A copy that shares nothing with it. Many times cheaper than structuredClone, and these objects are copied all the time. */
export function cloneJson<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map((item: unknown) => cloneJson(item)) as Value
  if (!isRecord(value)) return value
  const copy: Record<string, unknown> = {}
  for (const name of Object.keys(value)) copy[name] = cloneJson(value[name])
  return copy as Value
}

/** Equal whatever the order of the fields; one that is undefined is as good as none. */
export function equalJson(left: Json | undefined, right: Json | undefined): boolean {
  if (left === right) return true
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right)) return false
    return left.length === right.length && left.every((item, i) => equalJson(item, right[i]))
  }
  if (!isRecord(left) || !isRecord(right)) return false
  const names = new Set([...Object.keys(left), ...Object.keys(right)])
  for (const name of names) if (!equalJson(left[name], right[name])) return false
  return true
}
