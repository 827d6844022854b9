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
  const leavesLive = flatten(options.live)
  const leavesWanted = flatten(options.wanted)
  const conflicts: string[] = []
  for (const [path, { value }] of leavesWanted) {
    if (UNOWNED.has(path) || !isOwnedByOthers(owners.get(path), manager)) continue
    const live = leavesLive.get(path)
    if (live !== undefined && !equalJson(live.value, value)) conflicts.push(path)
  }
  if (conflicts.length > 0 && !force) return { live: options.live, conflicts }
  const contested = new Set(conflicts)
  for (const [path, managers] of owners) {
    if (managers.has(manager) && !leavesWanted.has(path)) {
      managers.delete(manager)
      if (managers.size === 0) {
        owners.delete(path)
        leavesLive.delete(path)
      }
    }
  }
  for (const [path, leaf] of leavesWanted) {
    leavesLive.set(path, leaf)
    if (UNOWNED.has(path)) continue
    if (contested.has(path)) owners.set(path, new Set([manager]))
    else owners.set(path, (owners.get(path) ?? new Set()).add(manager))
  }
  return { live: unflatten(leavesLive.values()), conflicts: [] }
}

function isOwnedByOthers(managers: ReadonlySet<string> | undefined, manager: string): boolean {
  return managers !== undefined && managers.size > (managers.has(manager) ? 1 : 0)
}

/** A value that belongs to its managers as a whole, and the way to it. */
interface Leaf {
  readonly parts: readonly Part[]
  readonly value: Json | undefined
}

/** The name of a field; or the key of an item of a keyed list; or an item of a set. */
type Part = string | { readonly key: string } | { readonly item: string }

/** By a path that shows a key as `[key]` and an item as `{item}`; dots in the name of a field are another character there. */
function flatten(fields: Fields): Map<string, Leaf> {
  const leaves = new Map<string, Leaf>()
  // Plain: without keys and items, as the lists above are named.
  const visit = (value: Json | undefined, path: string, plain: string, parts: readonly Part[]) => {
    if (value === undefined) return
    const key = Array.isArray(value) ? KEYED_LISTS[plain] : undefined
    if (Array.isArray(value) && key !== undefined) {
      for (const item of value) {
        if (!isRecord(item)) continue
        const shown = JSON.stringify(item[key])
        visit(item, `${path}.[${shown}]`, plain, [...parts, { key: shown }])
      }
    } else if (Array.isArray(value) && SET_LISTS.includes(plain)) {
      for (const value_ of value) {
        const item = JSON.stringify(value_)
        leaves.set(`${path}.{${item}}`, { parts: [...parts, { item }], value: value_ })
      }
    } else if (isRecord(value) && Object.keys(value).length > 0) {
      for (const name of Object.keys(value)) {
        const part = name.replaceAll('.', SEPARATOR)
        const below = path === '' ? part : `${path}.${part}`
        visit(value[name], below, plain === '' ? part : `${plain}.${part}`, [...parts, name])
      }
    } else {
      leaves.set(path, { parts, value })
    }
  }
  visit(fields, '', '', [])
  return leaves
}

/** In the place of a dot in the name of a field. */
const SEPARATOR = '\u0001'

function unflatten(leaves: Iterable<Leaf>): Fields {
  const root: Fields = {}
  const items = new Map<Json[], Map<string, Fields>>()
  for (const { parts, value } of leaves) {
    let at: Json | undefined = root
    for (const [i, part] of parts.entries()) {
      const next = parts[i + 1]
      if (typeof part !== 'string') {
        if (!Array.isArray(at)) break
        if ('item' in part) at.push(value ?? null)
        else at = itemOf(items, at, part.key)
      } else if (isRecord(at)) {
        if (next !== undefined) at = at[part] ??= typeof next === 'string' ? {} : []
        // An empty object is nothing new where there is one already.
        else if (!isRecord(value) || !isRecord(at[part])) at[part] = cloneJson(value)
      }
    }
  }
  return root
}

function itemOf(items: Map<Json[], Map<string, Fields>>, list: Json[], key: string): Fields {
  const known = items.get(list) ?? new Map<string, Fields>()
  items.set(list, known)
  let item = known.get(key)
  if (item === undefined) {
    item = {}
    known.set(key, item)
    list.push(item)
  }
  return item
}
