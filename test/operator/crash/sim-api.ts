// The API server of the crash-point suite, in this process: a FakeApiStore behind the operator's own interface. Every change
// goes through one gate, where a test can count it, refuse it, or let the operator die right before or right after it.

import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import { apiVersionOf } from '../../../operator/src/api/resource-types.ts'
import { KubeError, type KubeErrorCode } from '../../../operator/src/kube/errors.ts'
import type {
  ApplyOptions,
  DeleteOptions,
  DeleteResult,
  KubeApi,
  ListOptions,
  ListPage,
  PatchOptions,
  WatchEvent,
} from '../../../operator/src/kube/kube-api.ts'
import type { Json } from '../../support/fake-api-json.ts'
import { matchesSelector } from '../../support/fake-api-selector.ts'
import { ApiRefusal, type FakeApiStore, type Target } from '../../support/fake-api-store.ts'

type Fields = Record<string, Json | undefined>

/** The operator's process ends here: nothing that catches errors of the world may catch it. */
export class Crash extends Error {}

export interface SideEffect {
  readonly verb: 'create' | 'replace' | 'apply' | 'applyStatus' | 'patch' | 'delete' | 'change'
  readonly target: Target
}

/** Called around each change the operator asks for. */
export interface Gate {
  /** Other operators may get their turn here: a request takes its time. */
  travel(): Promise<void>
  before(effect: SideEffect): void
  /** Unheard: it was carried out, and its answer gets lost. */
  after(effect: SideEffect): 'heard' | 'unheard'
}

export function collectionOf(type: ResourceType): string {
  return `${apiVersionOf(type)}/${type.resource}`
}

export class SimApi implements KubeApi {
  readonly #store: FakeApiStore
  readonly #gate: Gate

  constructor(store: FakeApiStore, gate: Gate) {
    this.#store = store
    this.#gate = gate
  }

  async get(type: ResourceType, key: ObjectKey): Promise<KubeObject | undefined> {
    await this.#gate.travel()
    return this.#store.find(targetOf(type, key))
  }

  async list(type: ResourceType, options: ListOptions): Promise<ListPage> {
    await this.#gate.travel()
    const items = this.#store
      .list(collectionOf(type), options.namespace)
      .filter((object) => matchesSelector(object, options.labelSelector ?? ''))
    return {
      items,
      resourceVersion: String(this.#store.revision),
      continueToken: undefined,
    }
  }

  watch(): AsyncIterable<WatchEvent> {
    throw new Error('the caches of this suite do not watch')
  }

  create(type: ResourceType, object: KubeObject): Promise<KubeObject> {
    return this.#change('create', targetOf(type, keyOf(object)), (target) =>
      this.#store.create(target, fieldsOf(object)),
    )
  }

  replace(type: ResourceType, object: KubeObject): Promise<KubeObject> {
    return this.#change('replace', targetOf(type, keyOf(object)), (target) =>
      this.#store.replace(target, fieldsOf(object)),
    )
  }

  apply(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    const { fieldManager, force } = options
    return this.#change('apply', targetOf(type, keyOf(object)), (target) =>
      this.#store.apply(target, fieldsOf(object), { fieldManager, force, subresource: '' }),
    )
  }

  applyStatus(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    const { fieldManager, force } = options
    return this.#change('applyStatus', targetOf(type, keyOf(object)), (target) =>
      this.#store.apply(target, fieldsOf(object), { fieldManager, force, subresource: 'status' }),
    )
  }

  patch(
    type: ResourceType,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    { preconditions }: PatchOptions,
  ): Promise<KubeObject> {
    return this.#change('patch', targetOf(type, key), (target) => {
      const { metadata } = this.#store.get(target)
      const { uid = metadata.uid, resourceVersion = metadata.resourceVersion } = preconditions ?? {}
      if (uid !== metadata.uid || resourceVersion !== metadata.resourceVersion) {
        throw new ApiRefusal(409, 'Conflict', 'a precondition does not hold')
      }
      return this.#store.patch(target, patch as Fields)
    })
  }

  async delete(
    type: ResourceType,
    key: ObjectKey,
    { preconditions }: DeleteOptions = {},
  ): Promise<DeleteResult> {
    const { uid, resourceVersion } = preconditions ?? {}
    try {
      await this.#change('delete', targetOf(type, key), (target) =>
        this.#store.delete(target, {
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        }),
      )
      return 'deleted'
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      if (error.code === 'notFound') return 'absent'
      if (error.code === 'conflict') return 'conflict'
      throw error
    }
  }

  async #change(
    verb: SideEffect['verb'],
    target: Target,
    carryOut: (target: Target) => unknown,
  ): Promise<KubeObject> {
    await this.#gate.travel()
    const effect = { verb, target }
    this.#gate.before(effect)
    let result: unknown
    try {
      result = carryOut(target)
    } catch (error) {
      throw error instanceof ApiRefusal ? kubeErrorOf(error) : error
    }
    if (this.#gate.after(effect) === 'unheard') {
      throw new KubeError('unavailable', 'the connection was lost')
    }
    return result as KubeObject
  }
}

function kubeErrorOf({ status, reason, message, causes }: ApiRefusal): KubeError {
  const codes: Readonly<Record<number, KubeErrorCode>> = {
    403: 'forbidden',
    404: 'notFound',
    409: reason === 'AlreadyExists' ? 'alreadyExists' : 'conflict',
    422: 'invalid',
  }
  const code = codes[status]
  if (code === undefined) throw new Error(`the suite does not expect ${status} ${reason}`)
  return new KubeError(code, 'refused', { status, reason, causes, serverMessage: message })
}

function targetOf(type: ResourceType, { namespace, name }: ObjectKey): Target {
  return { collection: collectionOf(type), namespace, name }
}

function keyOf({ metadata }: KubeObject): ObjectKey {
  return { namespace: metadata.namespace ?? '', name: metadata.name }
}

/** The store copies what it keeps. */
function fieldsOf(object: KubeObject): Fields {
  return object as unknown as Fields
}
