// The state behind the API server of the tests: objects with uids and resource versions, conflicts, preconditions,
// finalizers, generations, field ownership by server-side apply, and the history that watches are told from. Validation,
// defaulting and admission are the real server's business: the tests that need them run against it.

import { applyFields, type FieldOwners } from './fake-api-fields.ts'
import { cloneJson, equalJson, isRecord, type Json, textOf } from './fake-api-json.ts'

export interface StoredObject {
  [field: string]: Json | undefined
  apiVersion: string
  kind: string
  metadata: StoredMeta
}

export interface StoredMeta {
  [field: string]: Json | undefined
  name: string
  namespace?: string
  uid: string
  resourceVersion: string
  generation?: number
  deletionTimestamp?: string
  finalizers?: string[]
}

/** A change as watches tell it. */
export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly collection: string
  readonly object: StoredObject
  /** How it was before, so that selectors can tell that an object entered or left them. */
  readonly before: StoredObject | undefined
  readonly revision: number
}

/** A refusal, as the API server words it in a Status object. */
export class ApiRefusal extends Error {
  readonly status: number
  readonly reason: string
  readonly causes: readonly { reason: string; field: string; message: string }[]

  constructor(
    status: number,
    reason: string,
    message: string,
    causes: readonly { reason: string; field: string; message: string }[] = [],
  ) {
    super(message)
    this.status = status
    this.reason = reason
    this.causes = causes
  }
}

/** `apps/v1/statefulsets` and the like, then the object's place in it. */
export interface Target {
  readonly collection: string
  readonly namespace: string
  readonly name: string
}

export interface ApplyRequest {
  readonly fieldManager: string
  readonly force: boolean
  readonly subresource: 'status' | ''
}

const HISTORY_MAX = 10_000

export class FakeApiStore {
  readonly #objects = new Map<string, StoredObject>()
  /** By collection, those that were listed since they changed last: most are looked at far more often. */
  readonly #listed = new Map<string, readonly (readonly [path: string, StoredObject])[]>()
  readonly #owners = new Map<string, FieldOwners>()
  #history: Change[] = []
  #revision = 1000
  /** Where nothing was left for the garbage collector. */
  #collectedRevision = 0
  #uidCount = 0
  /** Changes up to here are forgotten: a watch from before is told that its position is too old. */
  #compacted = 0
  readonly #listeners = new Set<(change: Change) => void>()
  /** Wall clock of deletionTimestamp and creationTimestamp. */
  now: () => Date = () => new Date()

  get revision(): number {
    return this.#revision
  }

  get compactedRevision(): number {
    return this.#compacted
  }

  get(target: Target): StoredObject {
    const object = this.#objects.get(pathOf(target))
    if (object === undefined) throw notFound(target)
    return object
  }

  find(target: Target): StoredObject | undefined {
    return this.#objects.get(pathOf(target))
  }

  /** Of one collection, in the order of their names; every namespace unless one is given. */
  list(collection: string, namespace = ''): StoredObject[] {
    let all = this.#listed.get(collection)
    if (all === undefined) {
      all = [...this.#objects]
        .filter(([path]) => path.startsWith(`${collection}|`))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
      this.#listed.set(collection, all)
    }
    const prefix = `${collection}|${namespace}|`
    const found = namespace === '' ? all : all.filter(([path]) => path.startsWith(prefix))
    return found.map(([, object]) => object)
  }

  /** Changes of a collection after `revision`, oldest first. */
  changesSince(collection: string, revision: number): Change[] {
    return this.#history.filter((change) => {
      return change.collection === collection && change.revision > revision
    })
  }

  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Forgets the history: watches from before can only be answered with 410. */
  compact(): void {
    this.#history = []
    this.#compacted = this.#revision
  }

  create(target: Target, content: Record<string, Json | undefined>): StoredObject {
    const path = pathOf(target)
    if (this.#objects.has(path)) {
      throw new ApiRefusal(409, 'AlreadyExists', `${target.name} already exists`)
    }
    this.#refuseInTerminatingNamespace(target)
    const given = isRecord(content['metadata']) ? content['metadata'] : {}
    const object = {
      ...cloneJson(content),
      metadata: {
        ...cloneJson(given),
        name: target.name,
        ...(target.namespace === '' ? {} : { namespace: target.namespace }),
        uid: `00000000-0000-4000-8000-${String(++this.#uidCount).padStart(12, '0')}`,
        creationTimestamp: this.now().toISOString(),
        generation: 1,
        resourceVersion: '',
      },
    }
    return this.#put(target, object as unknown as StoredObject, undefined)
  }

  /** PUT: everything but what the server owns; the status of the stored object stays. */
  replace(target: Target, content: Record<string, Json | undefined>): StoredObject {
    const before = this.get(target)
    const given = isRecord(content['metadata']) ? content['metadata'] : {}
    const version = given['resourceVersion']
    if (version !== undefined && version !== before.metadata.resourceVersion) throw conflict(target)
    const status = before['status']
    const next = { ...cloneJson(content), ...(status === undefined ? {} : { status }) }
    return this.#update(target, before, next as StoredObject)
  }

  /** JSON merge patch; a uid or resourceVersion in it must be the stored one. */
  patch(
    target: Target,
    patch: Record<string, Json | undefined>,
    subresource: 'status' | '' = '',
  ): StoredObject {
    const before = this.get(target)
    const given = isRecord(patch['metadata']) ? patch['metadata'] : {}
    const version = given['resourceVersion']
    if (version !== undefined && version !== before.metadata.resourceVersion) throw conflict(target)
    if (given['uid'] !== undefined && given['uid'] !== before.metadata.uid) {
      throw new ApiRefusal(422, 'Invalid', 'metadata.uid: field is immutable', [
        { reason: 'FieldValueInvalid', field: 'metadata.uid', message: 'field is immutable' },
      ])
    }
    const merged = mergePatch(before, patch) as StoredObject
    const next = subresource === 'status' ? { ...before, status: merged['status'] } : merged
    if (subresource === '' && before['status'] !== undefined) next['status'] = before['status']
    return this.#update(target, before, next)
  }

  apply(
    target: Target,
    content: Record<string, Json | undefined>,
    request: ApplyRequest,
  ): StoredObject {
    const path = pathOf(target)
    const before = this.#objects.get(path)
    if (before === undefined && request.subresource === 'status') throw notFound(target)
    const given = isRecord(content['metadata']) ? content['metadata'] : {}
    if (
      before !== undefined &&
      given['uid'] !== undefined &&
      given['uid'] !== before.metadata.uid
    ) {
      throw conflict(target)
    }
    const version = given['resourceVersion']
    if (before !== undefined && version !== undefined) {
      if (version !== before.metadata.resourceVersion) throw conflict(target)
    }
    const owners = this.#owners.get(path) ?? new Map<string, Set<string>>()
    const { live, conflicts } = applyFields({
      live: before ?? { apiVersion: content['apiVersion'], kind: content['kind'], metadata: {} },
      wanted: request.subresource === 'status' ? { status: content['status'] } : content,
      owners,
      manager: `${request.fieldManager}${request.subresource}`,
      force: request.force,
    })
    if (conflicts.length > 0) {
      throw new ApiRefusal(
        409,
        'Conflict',
        `Apply failed with ${conflicts.length} conflicts`,
        conflicts.map((field) => ({
          reason: 'FieldManagerConflict',
          field: `.${field}`,
          message: 'conflict with another manager',
        })),
      )
    }
    this.#owners.set(path, owners)
    if (before === undefined) return this.create(target, live)
    return this.#update(target, before, live as StoredObject)
  }

  /** Marks or removes it. Returns the object as it was or is now. */
  delete(
    target: Target,
    preconditions: { readonly uid?: string; readonly resourceVersion?: string } = {},
  ): StoredObject {
    const before = this.get(target)
    const { uid = before.metadata.uid, resourceVersion = before.metadata.resourceVersion } =
      preconditions
    if (uid !== before.metadata.uid) throw conflict(target)
    if (resourceVersion !== before.metadata.resourceVersion) throw conflict(target)
    if ((before.metadata.finalizers ?? []).length === 0) return this.#remove(target, before)
    if (before.metadata.deletionTimestamp !== undefined) return before
    const deletionTimestamp = this.now().toISOString()
    const generation = (before.metadata.generation ?? 0) + 1
    const metadata = { ...before.metadata, deletionTimestamp, generation }
    const next: StoredObject = { ...before, metadata }
    return this.#put(target, next, before)
  }

  /** Removes what has owners and lost all of them, until nothing is left to remove: the garbage collector's pass. */
  collectGarbage(): void {
    while (this.#collectedRevision !== this.#revision) {
      const uids = new Set([...this.#objects.values()].map(({ metadata }) => metadata.uid))
      const orphan = [...this.#objects].find(([, { metadata }]) => {
        const owners = Array.isArray(metadata['ownerReferences']) ? metadata['ownerReferences'] : []
        if (metadata.deletionTimestamp !== undefined || owners.length === 0) return false
        return !owners.some((owner) => isRecord(owner) && uids.has(textOf(owner['uid'])))
      })
      if (orphan === undefined) this.#collectedRevision = this.#revision
      else this.delete(targetOf(orphan[0]))
    }
  }

  #update(target: Target, before: StoredObject, wanted: StoredObject): StoredObject {
    // Nobody changes what is stored: what was not touched is shared with the version before.
    const next: StoredObject = { ...wanted, metadata: { ...wanted.metadata } }
    const { uid, creationTimestamp, resourceVersion, deletionTimestamp, generation } =
      before.metadata
    Object.assign(next.metadata, { uid, creationTimestamp, resourceVersion, generation })
    if (deletionTimestamp === undefined) delete next.metadata.deletionTimestamp
    else next.metadata.deletionTimestamp = deletionTimestamp
    if (equalJson(next, before)) return before
    if (!equalJson(contentOf(next), contentOf(before))) {
      next.metadata.generation = (before.metadata.generation ?? 0) + 1
    }
    const isReleased =
      deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0
    return isReleased ? this.#remove(target, next) : this.#put(target, next, before)
  }

  #put(target: Target, object: StoredObject, before: StoredObject | undefined): StoredObject {
    object.metadata.resourceVersion = String(++this.#revision)
    this.#objects.set(pathOf(target), object)
    this.#listed.delete(target.collection)
    this.#tell({ type: before === undefined ? 'ADDED' : 'MODIFIED', target, object, before })
    return object
  }

  #remove(target: Target, before: StoredObject): StoredObject {
    const resourceVersion = String(++this.#revision)
    const object = { ...before, metadata: { ...before.metadata, resourceVersion } }
    this.#objects.delete(pathOf(target))
    this.#listed.delete(target.collection)
    this.#owners.delete(pathOf(target))
    this.#tell({ type: 'DELETED', target, object, before })
    return object
  }

  #tell(event: {
    readonly type: Change['type']
    readonly target: Target
    readonly object: StoredObject
    readonly before: StoredObject | undefined
  }): void {
    const { type, target, object, before } = event
    const { collection } = target
    const change: Change = { type, collection, object, before, revision: this.#revision }
    this.#history.push(change)
    if (this.#history.length > HISTORY_MAX) this.#compacted = this.#history.shift()!.revision
    for (const listener of this.#listeners) listener(change)
  }

  #refuseInTerminatingNamespace({ namespace }: Target): void {
    const owner = this.find({ collection: 'v1/namespaces', namespace: '', name: namespace })
    if (owner?.metadata.deletionTimestamp === undefined) return
    throw new ApiRefusal(403, 'Forbidden', `namespace ${namespace} is being terminated`, [
      { reason: 'NamespaceTerminating', field: 'metadata.namespace', message: 'terminating' },
    ])
  }
}

/** All but metadata and status: what a generation counts. */
function contentOf(object: StoredObject): Record<string, Json | undefined> {
  const { metadata: _metadata, status: _status, ...content } = object
  return content
}

function pathOf({ collection, namespace, name }: Target): string {
  return `${collection}|${namespace}|${name}`
}

function targetOf(path: string): Target {
  const [collection = '', namespace = '', name = ''] = path.split('|')
  return { collection, namespace, name }
}

function notFound({ name }: Target): ApiRefusal {
  return new ApiRefusal(404, 'NotFound', `${name} not found`)
}

function conflict({ name }: Target): ApiRefusal {
  return new ApiRefusal(409, 'Conflict', `${name}: the object has been modified`)
}

/** RFC 7386. What the patch does not speak of is shared with `live`. */
function mergePatch(live: Json | undefined, patch: Json | undefined): Json {
  if (!isRecord(patch)) return cloneJson(patch ?? null)
  const result: Record<string, Json | undefined> = isRecord(live) ? { ...live } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name]
    else if (value !== undefined) result[name] = mergePatch(result[name], value)
  }
  return result
}
