// A KubeApi that changes nothing once this process no longer leads. Leadership is asked right before each change, by the
// monotonic clock: a process that was stopped for a while finds out here, before its next request leaves.

import type { KubeObject, ObjectKey, ResourceType } from '../api/kube-object.ts'
import { KubeError } from './errors.ts'
import type {
  ApplyOptions,
  DeleteOptions,
  DeleteResult,
  KubeApi,
  ListOptions,
  ListPage,
  PatchOptions,
  RequestOptions,
  WatchEvent,
  WatchOptions,
} from './kube-api.ts'

/** Throws when this process does not lead, by its own clock. */
export function mustLead(leadership: { readonly isLeader: () => boolean }): void {
  if (!leadership.isLeader()) throw new KubeError('notLeading', 'this process does not lead')
}

export class FencedApi implements KubeApi {
  readonly #api: KubeApi
  readonly #isLeader: () => boolean

  constructor(api: KubeApi, isLeader: () => boolean) {
    this.#api = api
    this.#isLeader = isLeader
  }

  get(
    type: ResourceType,
    key: ObjectKey,
    options?: RequestOptions,
  ): Promise<KubeObject | undefined> {
    return this.#api.get(type, key, options)
  }

  list(type: ResourceType, options: ListOptions): Promise<ListPage> {
    return this.#api.list(type, options)
  }

  watch(type: ResourceType, options: WatchOptions): AsyncIterable<WatchEvent> {
    return this.#api.watch(type, options)
  }

  async create(
    type: ResourceType,
    object: KubeObject,
    options: RequestOptions = {},
  ): Promise<KubeObject> {
    return this.#api.create(type, object, this.#fence(options))
  }

  async replace(
    type: ResourceType,
    object: KubeObject,
    options: RequestOptions = {},
  ): Promise<KubeObject> {
    return this.#api.replace(type, object, this.#fence(options))
  }

  async apply(type: ResourceType, object: KubeObject, options: ApplyOptions): Promise<KubeObject> {
    return this.#api.apply(type, object, this.#fence(options))
  }

  async applyStatus(
    type: ResourceType,
    object: KubeObject,
    options: ApplyOptions,
  ): Promise<KubeObject> {
    return this.#api.applyStatus(type, object, this.#fence(options))
  }

  async patch(
    type: ResourceType,
    key: ObjectKey,
    patch: Readonly<Record<string, unknown>>,
    options: PatchOptions,
  ): Promise<KubeObject> {
    return this.#api.patch(type, key, patch, this.#fence(options))
  }

  async delete(
    type: ResourceType,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<DeleteResult> {
    return this.#api.delete(type, key, this.#fence(options))
  }

  /** Asks twice: before the request waits for its turn, and when its turn has come. */
  #fence<Options extends RequestOptions>(options: Options): Options {
    const guard = () => {
      options.guard?.()
      mustLead({ isLeader: this.#isLeader })
    }
    guard()
    return { ...options, guard }
  }
}
