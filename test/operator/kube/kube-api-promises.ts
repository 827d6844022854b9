// What KubeApi promises, as cases that run against any API server: the one of the tests and a real one must agree.

import { expect } from 'vitest'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { CONFIG_MAPS } from '../../../operator/src/api/resource-types.ts'
import { isKubeError, type KubeErrorCode } from '../../../operator/src/kube/errors.ts'
import type { KubeApi, WatchEvent } from '../../../operator/src/kube/kube-api.ts'

export interface PromiseCase {
  readonly name: string
  /** `namespace` exists and is empty. */
  readonly run: (api: KubeApi, namespace: string) => Promise<void>
}

const MANAGER = { fieldManager: 'raftbase-operator', force: true }

function map(namespace: string, name: string, data: Record<string, string> = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data }
}

async function codeOf(request: Promise<unknown>): Promise<KubeErrorCode | 'succeeded'> {
  try {
    await request
    return 'succeeded'
  } catch (error) {
    if (isKubeError(error)) return error.code
    throw error
  }
}

export function iterate(events: AsyncIterable<WatchEvent>): AsyncIterator<WatchEvent> {
  return events[Symbol.asyncIterator]()
}

async function take(events: AsyncIterator<WatchEvent>, count: number): Promise<string[]> {
  const seen: string[] = []
  while (seen.length < count) {
    const next = await events.next()
    if (next.done === true) break
    const event = next.value
    if (event.type !== 'bookmark') seen.push(`${event.type} ${event.object.metadata.name}`)
  }
  return seen
}

export const KUBE_API_PROMISES: readonly PromiseCase[] = [
  {
    name: 'get returns undefined for what does not exist, and the object with its kind otherwise',
    run: async (api, namespace) => {
      const key = { namespace, name: 'a' }
      expect(await api.get(CONFIG_MAPS, key)).toBeUndefined()
      await api.create(CONFIG_MAPS, map(namespace, 'a', { x: '1' }))
      const found = await api.get(CONFIG_MAPS, key)
      expect(found).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', data: { x: '1' } })
      expect(found?.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    },
  },
  {
    name: 'create of a taken name is alreadyExists',
    run: async (api, namespace) => {
      await api.create(CONFIG_MAPS, map(namespace, 'a'))
      expect(await codeOf(api.create(CONFIG_MAPS, map(namespace, 'a')))).toBe('alreadyExists')
    },
  },
  {
    name: 'list pages, gives items their kind, and filters by label',
    run: async (api, namespace) => {
      for (const name of ['a', 'b', 'c']) {
        const object = map(namespace, name)
        const labels = { tier: name === 'b' ? 'two' : 'one' }
        await api.create(CONFIG_MAPS, { ...object, metadata: { ...object.metadata, labels } })
      }
      const selector = { namespace, labelSelector: 'tier' }
      const first = await api.list(CONFIG_MAPS, { ...selector, limit: 2 })
      expect(first.items.map(({ metadata }) => metadata.name)).toEqual(['a', 'b'])
      expect(first.items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' })
      const { continueToken } = first
      const second = await api.list(CONFIG_MAPS, { ...selector, limit: 2, continueToken })
      expect(second.items.map(({ metadata }) => metadata.name)).toEqual(['c'])
      expect(second.continueToken).toBeUndefined()
      const one = await api.list(CONFIG_MAPS, { namespace, labelSelector: 'tier=two' })
      expect(one.items.map(({ metadata }) => metadata.name)).toEqual(['b'])
    },
  },
  {
    name: 'a watch tells changes after its position in order, and ends with its signal',
    run: async (api, namespace) => {
      const { resourceVersion } = await api.list(CONFIG_MAPS, { namespace, labelSelector: 'w' })
      const labelled = map(namespace, 'a', { x: '1' })
      const metadata = { ...labelled.metadata, labels: { w: '' } }
      await api.create(CONFIG_MAPS, { ...labelled, metadata })
      const aborter = new AbortController()
      const events = iterate(
        api.watch(CONFIG_MAPS, {
          namespace,
          labelSelector: 'w',
          resourceVersion,
          timeoutSeconds: 60,
          inactivityMs: 60_000,
          signal: aborter.signal,
        }),
      )
      expect(await take(events, 1)).toEqual(['added a'])
      const key = { namespace, name: 'a' }
      await api.patch(CONFIG_MAPS, key, { data: { x: '2' } }, { fieldManager: 'test' })
      await api.create(CONFIG_MAPS, map(namespace, 'unlabelled'))
      await api.delete(CONFIG_MAPS, key)
      expect(await take(events, 2)).toEqual(['modified a', 'deleted a'])
      const next = codeOf(events.next())
      aborter.abort()
      expect(await next).toBe('aborted')
    },
  },
  {
    name: 'an object that gets or loses the watched label is added or deleted',
    run: async (api, namespace) => {
      const { resourceVersion } = await api.list(CONFIG_MAPS, { namespace, labelSelector: 'w' })
      const aborter = new AbortController()
      const events = iterate(
        api.watch(CONFIG_MAPS, {
          namespace,
          labelSelector: 'w',
          resourceVersion,
          timeoutSeconds: 60,
          inactivityMs: 60_000,
          signal: aborter.signal,
        }),
      )
      const key = { namespace, name: 'a' }
      const manager = { fieldManager: 'test' }
      await api.create(CONFIG_MAPS, map(namespace, 'a'))
      await api.patch(CONFIG_MAPS, key, { metadata: { labels: { w: '1' } } }, manager)
      await api.patch(CONFIG_MAPS, key, { metadata: { labels: { w: null } } }, manager)
      expect(await take(events, 2)).toEqual(['added a', 'deleted a'])
      aborter.abort()
    },
  },
  {
    name: 'apply creates, sets, drops what it leaves out, and changes nothing when nothing differs',
    run: async (api, namespace) => {
      const created = await api.apply(CONFIG_MAPS, map(namespace, 'a', { x: '1', y: '1' }), MANAGER)
      await api.patch(
        CONFIG_MAPS,
        { namespace, name: 'a' },
        { data: { z: 'theirs' } },
        { fieldManager: 'somebody' },
      )
      const changed = await api.apply(CONFIG_MAPS, map(namespace, 'a', { x: '2' }), MANAGER)
      expect(changed['data']).toEqual({ x: '2', z: 'theirs' })
      expect(changed.metadata.uid).toBe(created.metadata.uid)
      const again = await api.apply(CONFIG_MAPS, map(namespace, 'a', { x: '2' }), MANAGER)
      expect(again.metadata.resourceVersion).toBe(changed.metadata.resourceVersion)
    },
  },
  {
    name: "apply of another manager's field is a conflict without force and takes it over with it",
    run: async (api, namespace) => {
      const theirs = { fieldManager: 'somebody', force: false }
      await api.apply(CONFIG_MAPS, map(namespace, 'a', { x: 'theirs' }), theirs)
      const ours = map(namespace, 'a', { x: 'ours' })
      expect(await codeOf(api.apply(CONFIG_MAPS, ours, { ...MANAGER, force: false }))).toBe(
        'conflict',
      )
      expect((await api.apply(CONFIG_MAPS, ours, MANAGER))['data']).toEqual({ x: 'ours' })
    },
  },
  {
    name: 'apply with the uid of another incarnation is a conflict',
    run: async (api, namespace) => {
      await api.apply(CONFIG_MAPS, map(namespace, 'a', { x: '1' }), MANAGER)
      const stale = map(namespace, 'a', { x: '2' })
      const metadata = { ...stale.metadata, uid: '00000000-1111-4222-8333-444444444444' }
      expect(await codeOf(api.apply(CONFIG_MAPS, { ...stale, metadata }, MANAGER))).toBe('conflict')
    },
  },
  {
    name: 'replace needs the current resourceVersion',
    run: async (api, namespace) => {
      const first = await api.create(CONFIG_MAPS, map(namespace, 'a', { x: '1' }))
      const second = await api.replace(CONFIG_MAPS, { ...first, data: { x: '2' } })
      expect(second['data']).toEqual({ x: '2' })
      expect(await codeOf(api.replace(CONFIG_MAPS, { ...first, data: { x: '3' } }))).toBe(
        'conflict',
      )
    },
  },
  {
    name: 'a patch with a stale resourceVersion or uid is a conflict and changes nothing',
    run: async (api, namespace) => {
      const key = { namespace, name: 'a' }
      const { metadata } = await api.create(CONFIG_MAPS, map(namespace, 'a', { x: '1' }))
      const patch = (preconditions: { uid?: string; resourceVersion?: string }) =>
        api.patch(CONFIG_MAPS, key, { data: { x: '2' } }, { fieldManager: 'test', preconditions })
      const uid = '00000000-1111-4222-8333-444444444444'
      expect(await codeOf(patch({ uid }))).toBe('conflict')
      expect(await codeOf(patch({ resourceVersion: '1' }))).toBe('conflict')
      expect((await api.get(CONFIG_MAPS, key))?.['data']).toEqual({ x: '1' })
      const { resourceVersion } = metadata
      const changed = await patch({ uid: metadata.uid!, resourceVersion: resourceVersion! })
      expect(changed['data']).toEqual({ x: '2' })
    },
  },
  {
    name: 'delete says deleted, absent or conflict; a stale uid deletes nothing',
    run: async (api, namespace) => {
      const key = { namespace, name: 'a' }
      expect(await api.delete(CONFIG_MAPS, key)).toBe('absent')
      const { metadata } = await api.create(CONFIG_MAPS, map(namespace, 'a'))
      const uid = '00000000-1111-4222-8333-444444444444'
      expect(await api.delete(CONFIG_MAPS, key, { preconditions: { uid } })).toBe('conflict')
      const preconditions = { uid: metadata.uid, resourceVersion: metadata.resourceVersion }
      const propagation = 'Background'
      expect(await api.delete(CONFIG_MAPS, key, { preconditions, propagation })).toBe('deleted')
      expect(await api.get(CONFIG_MAPS, key)).toBeUndefined()
    },
  },
  {
    name: 'a finalizer holds a deleted object until it is patched away',
    run: async (api, namespace) => {
      const key = { namespace, name: 'a' }
      const object = map(namespace, 'a')
      const finalizers = ['example.org/hold']
      await api.create(CONFIG_MAPS, { ...object, metadata: { ...object.metadata, finalizers } })
      expect(await api.delete(CONFIG_MAPS, key)).toBe('deleted')
      const held = await api.get(CONFIG_MAPS, key)
      expect(held?.metadata.deletionTimestamp).toMatch(/^\d{4}-/)
      await api.patch(
        CONFIG_MAPS,
        key,
        { metadata: { finalizers: null } },
        { fieldManager: 'test', preconditions: { uid: held!.metadata.uid } },
      )
      expect(await api.get(CONFIG_MAPS, key)).toBeUndefined()
    },
  },
]
