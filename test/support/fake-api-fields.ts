// Server-side apply as the API server does it, for the kinds of fields the operator uses: who owns which field, what is
// dropped when its last owner leaves it out, which fields two managers disagree about. Lists are atomic but for those
// whose items have a key in KEYED_LISTS and for sets of strings in SET_LISTS.

import { cloneJson, equalJson, isRecord, type Json } from './fake-api-json.ts'

/** Managers by field path. */
export type FieldOwners = Map<string, Set<string>>

const KEYED_LISTS: Readonly<Record<string, string>> = {
  'metadata.ownerReferences': 'uid',
  'status.conditions': 'type',
  'status.members': 'name',
  'spec.ports': 'port',
  'spec.template.spec.containers': 'name',
  'spec.template.spec.volumes': 'name',
}
const SET_LISTS: readonly string[] = ['metadata.finalizers']

/** The server's own, or what identifies the object: nobody owns these. */
const UNOWNED = new Set([
  'apiVersion',
  'kind',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'metadata.resourceVersion',
])

type Fields = Record<string, Json | undefined>

/** Applies `wanted` over a copy of `live`; `owners` is changed when there are no conflicts. */
export function applyFields(options: {
  readonly live: Fields
  readonly wanted: Fields
  readonly owners: FieldOwners
  readonly manager: string
  readonly force: boolean
}): { readonly live: Fields; readonly conflicts: readonly string[] } {
  const { owners, manager, force } = options
  const flatLive = flatten(options.live)
  const flatWanted = flatten(options.wanted)
  const conflicts: string[] = []
  for (const [path, value] of flatWanted) {
    if (UNOWNED.has(path)) continue
    const others = [...(owners.get(path) ?? [])].filter((owner) => owner !== manager)
    const isChanged = flatLive.has(path) && !equalJson(flatLive.get(path), value)
    if (isChanged && others.length > 0) conflicts.push(path)
  }
  if (conflicts.length > 0 && !force) return { live: options.live, conflicts }
  const contested = new Set(conflicts)
  for (const [path, managers] of owners) {
    if (managers.has(manager) && !flatWanted.has(path)) {
      managers.delete(manager)
      if (managers.size === 0) {
        owners.delete(path)
        flatLive.delete(path)
      }
    }
  }
  for (const [path, value] of flatWanted) {
    flatLive.set(path, value)
    if (UNOWNED.has(path)) continue
    if (contested.has(path)) owners.set(path, new Set([manager]))
    else owners.set(path, (owners.get(path) ?? new Set()).add(manager))
  }
  return { live: unflatten(flatLive), conflicts: [] }
}

const SEPARATOR = '\u0001'

/**
 * Leaves by path. Parts are joined by a character no field name has, shown as dots; an item of a keyed list has a part
 * `[key]`, one of a set `{item}`.
 */
function flatten(fields: Fields): Map<string, Json | undefined> {
  const leaves = new Map<string, Json | undefined>()
  const visit = (value: Json | undefined, path: readonly string[]): void => {
    if (value === undefined) return
    const plain = path.filter((part) => !/^[[{]/.test(part)).join('.')
    const key = KEYED_LISTS[plain]
    if (Array.isArray(value) && key !== undefined) {
      for (const item of value) {
        if (isRecord(item)) visit(item, [...path, `[${JSON.stringify(item[key])}]`])
      }
    } else if (Array.isArray(value) && SET_LISTS.includes(plain)) {
      for (const item of value) leaves.set([...path, `{${JSON.stringify(item)}}`].join('.'), item)
    } else if (isRecord(value) && Object.keys(value).length > 0) {
      for (const [name, field] of Object.entries(value)) {
        visit(field, [...path, name.replaceAll('.', SEPARATOR)])
      }
    } else {
      leaves.set(path.join('.'), value)
    }
  }
  visit(fields, [])
  return leaves
}

function unflatten(leaves: ReadonlyMap<string, Json | undefined>): Fields {
  const root: Fields = {}
  for (const [path, value] of leaves) {
    const parts = splitPath(path)
    let at: Json | undefined = root
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      const isLast = i === parts.length - 1
      const next = parts[i + 1]
      const empty = (): Json => (next !== undefined && /^[[{]/.test(next) ? [] : {})
      if (part.startsWith('{') && Array.isArray(at)) at.push(value ?? null)
      else if (part.startsWith('[') && Array.isArray(at)) at = itemOf(at, part)
      else if (isRecord(at)) {
        const name = part.replaceAll(SEPARATOR, '.')
        const isNothingNew = isRecord(value) && isRecord(at[name])
        if (isLast && !isNothingNew) at[name] = cloneJson(value)
        else if (isLast) continue
        else at = at[name] = at[name] ?? empty()
      }
    }
  }
  return unmark(root) as Fields
}

const ITEM_MARK = '\u0000item'

function itemOf(list: Json[], part: string): Json {
  const known = list.find((item) => isRecord(item) && item[ITEM_MARK] === part)
  if (known !== undefined) return known
  const item = { [ITEM_MARK]: part }
  list.push(item)
  return item
}

function unmark(value: Json | undefined): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => unmark(item) ?? null)
  if (!isRecord(value)) return value
  const fields = Object.entries(value).filter(([name]) => name !== ITEM_MARK)
  return Object.fromEntries(fields.map(([name, field]) => [name, unmark(field)]))
}

/** Keys in brackets may contain dots. */
function splitPath(path: string): string[] {
  const parts: string[] = []
  let part = ''
  let depth = 0
  for (const char of path) {
    if (part === '' && (char === '[' || char === '{')) depth = 1
    if (char === '.' && depth === 0) {
      parts.push(part)
      part = ''
      continue
    }
    part += char
    if (depth === 1 && (char === ']' || char === '}')) depth = 0
  }
  parts.push(part)
  return parts
}
