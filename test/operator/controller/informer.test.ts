// The informer against an API server that breaks on demand. The numbered tests are the ten ways in which the Kubernetes
// client's own informer fails, each shown not to happen here.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { CONFIG_MAPS } from '../../../operator/src/api/resource-types.ts'
import {
  INFORMER_TIMES,
  Informer,
  type InformerOptions,
  type InformerTimes,
} from '../../../operator/src/controller/informer.ts'
import { type Delta, ObjectStore } from '../../../operator/src/controller/object-store.ts'
import type { KubeClient } from '../../../operator/src/kube/client.ts'
import { FakeApiServer } from '../../support/fake-api-server.ts'
import { clientOf, configMap, plainAccess, silentLog, until } from '../support.ts'

interface Running {
  readonly informer: Informer
  readonly store: ObjectStore
  readonly deltas: string[]
  readonly restarts: string[]
  missed: number
  heard: number
  readonly stop: () => Promise<void>
}

let server: FakeApiServer
let client: KubeClient
let running: Running[]

beforeEach(async () => {
  server = await FakeApiServer.start()
  client = clientOf(plainAccess(server.url))
  running = []
})

afterEach(async () => {
  for (const { stop } of running) await stop()
  client.close()
  await server.stop()
})

function describeDelta(delta: Delta): string {
  switch (delta.kind) {
    case 'added':
      return `added ${delta.object.metadata.name}`
    case 'updated':
      return `updated ${delta.object.metadata.name}`
    case 'deleted':
      return `deleted ${delta.before.metadata.name}`
    default:
      return delta satisfies never
  }
}

function start(
  options: {
    readonly times?: Partial<InformerTimes>
    readonly onDelta?: (delta: Delta) => void
    readonly overrides?: Partial<InformerOptions>
  } = {},
): Running {
  const aborter = new AbortController()
  const store = new ObjectStore({
    indexedLabels: ['raftbase.io/cluster'],
    hasSynced: () => result.informer.hasSynced,
  })
  const deltas: string[] = []
  const restarts: string[] = []
  const informer = new Informer({
    api: client,
    type: CONFIG_MAPS,
    store,
    clock: systemClock,
    timers: systemTimers,
    prng: new SeededPrng(1),
    log: silentLog,
    times: { ...INFORMER_TIMES, ...options.times },
    observer: {
      synced: () => undefined,
      heard: () => result.heard++,
      restarted: (reason) => restarts.push(reason),
      missed: (count) => (result.missed += count),
    },
    onDelta: (delta) => {
      deltas.push(describeDelta(delta))
      options.onDelta?.(delta)
    },
    ...options.overrides,
  })
  const run = informer.run(aborter.signal)
  const stop = () => {
    aborter.abort()
    return run
  }
  const result: Running = { informer, store, deltas, restarts, missed: 0, heard: 0, stop }
  running.push(result)
  return result
}

/** As somebody else would change it: straight in the store. */
function put(name: string, data: Record<string, string> = {}, labels = {}): void {
  const target = { collection: 'v1/configmaps', namespace: 'default', name }
  const content = { ...configMap(name, data, { labels }) } as never
  if (server.store.find(target) === undefined) server.store.create(target, content)
  else server.store.patch(target, { data })
}

function remove(name: string): void {
  server.store.delete({ collection: 'v1/configmaps', namespace: 'default', name })
}

async function synced(runningNow: Running): Promise<void> {
  await until('it has synced', () => runningNow.informer.hasSynced)
  await until('it watches', () => server.watchCount > 0)
}

describe('what the client of Kubernetes does wrong (contract, section 16)', () => {
  test.each([
    ['a reset', () => server.cutWatches('reset')],
    ['the end of a watch', () => server.cutWatches('end')],
    ['garbage', () => server.sendRaw('nonsense\n')],
    [
      'an error event',
      () => server.sendRaw('{"type":"ERROR","object":{"code":500,"reason":"InternalError"}}\n'),
    ],
  ])('1: %s does not stop it; it goes on from where it was', async (_what, breakIt) => {
    put('a')
    const informer = start()
    await synced(informer)
    breakIt()
    put('b')
    await until('b is seen', () => informer.deltas.includes('added b'))
    remove('a')
    await until('a is gone', () => informer.deltas.includes('deleted a'))
    expect(informer.deltas).toEqual(['added a', 'added b', 'deleted a'])
    expect(server.requests.filter(({ isWatch }) => !isWatch).length).toBe(1)
  })

  test.each([401, 403, 429, 500, 503])(
    '1: watches refused with %i for a while do not stop it',
    async (status) => {
      const informer = start()
      await synced(informer)
      server.fail((request) => request.isWatch, { kind: 'refuse', status }, 4)
      server.cutWatches('reset')
      put('a')
      await until('a is seen', () => informer.deltas.length > 0)
      expect(informer.deltas).toEqual(['added a'])
    },
  )

  test('2: a first list that fails is not "synced"; it is tried again until it succeeds', async () => {
    put('a')
    server.fail(/GET/, { kind: 'refuse', status: 500 }, 3)
    const informer = start()
    await until('three attempts failed', () => informer.restarts.length === 3)
    expect(informer.restarts).toEqual(['broken', 'broken', 'broken'])
    await until('it has synced', () => informer.informer.hasSynced)
    expect(informer.deltas).toEqual(['added a'])
  })

  test('2: nobody listening is not "synced" either', async () => {
    const { port } = server
    await server.stop()
    const informer = start()
    await until('an attempt failed', () => informer.restarts.length > 0)
    expect(informer.informer.hasSynced).toBe(false)
    server = await FakeApiServer.start(server.store, port)
    await until('it has synced', () => informer.informer.hasSynced)
  })

  test('3: stopped while it waits to try again, it opens no watch and tells nothing', async () => {
    const informer = start()
    await synced(informer)
    server.fail((request) => request.isWatch, { kind: 'refuse', status: 500 })
    server.cutWatches('reset')
    await until('it waits', () => informer.restarts.length >= 2)
    await informer.stop()
    server.heal()
    const requestCount = server.requests.length
    put('late')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect([server.requests.length, server.watchCount]).toEqual([requestCount, 0])
    expect(informer.deltas).toEqual([])
  })

  test('3: stopped while a list is under way, it tells nothing of it', async () => {
    put('a')
    server.fail(/GET/, { kind: 'delay', delayMs: 100 })
    const informer = start()
    await until('the list has been asked for', () => server.requests.length === 1)
    await informer.stop()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect([informer.deltas, server.watchCount]).toEqual([[], 0])
  })

  test('4: a second start is refused', async () => {
    const informer = start()
    await expect(informer.informer.run(new AbortController().signal)).rejects.toThrow(
      'informer runs already',
    )
  })

  test('5: a handler that throws stops nothing and loses nothing', async () => {
    const informer = start({
      onDelta: (delta) => {
        if (delta.kind === 'added') throw new Error('bug in a handler')
      },
    })
    await synced(informer)
    put('a')
    put('b')
    put('b', { x: '1' })
    await until('all are seen', () => informer.deltas.length === 3)
    expect(informer.store.list().map(({ metadata }) => metadata.name)).toEqual(['a', 'b'])
    expect(informer.restarts).toEqual([])
  })

  test.each(['in a watch', 'across a relist'])(
    '6: an object deleted and made again %s is deleted and added, never updated',
    async (where) => {
      put('a')
      const informer = start()
      await synced(informer)
      if (where === 'across a relist') {
        server.holdWatches()
        remove('a')
        put('a', { x: '2' })
        server.store.compact()
        server.cutWatches('reset')
        server.releaseWatches()
      } else {
        remove('a')
        put('a', { x: '2' })
      }
      await until('it is seen', () => informer.deltas.length === 3)
      expect(informer.deltas).toEqual(['added a', 'deleted a', 'added a'])
    },
  )

  test('7: a field reads the same from a list and from a watch: raw JSON', async () => {
    put('a')
    const informer = start()
    await synced(informer)
    const listed = informer.store.get({ namespace: 'default', name: 'a' })
    put('a', { x: '1' })
    await until('it is seen', () => informer.deltas.length === 2)
    const watched = informer.store.get({ namespace: 'default', name: 'a' })
    const types = [listed, watched].map((object) => typeof object?.metadata.creationTimestamp)
    expect(types).toEqual(['string', 'string'])
    expect([listed?.kind, watched?.kind]).toEqual(['ConfigMap', 'ConfigMap'])
  })

  test('8: fields we know nothing about are kept; only the field managers are left out', async () => {
    const target = { collection: 'v1/configmaps', namespace: 'default', name: 'a' }
    server.store.create(target, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'a', managedFields: [{ manager: 'x' }], fromTheFuture: { a: 1 } },
      novelty: ['kept'],
    })
    const informer = start()
    await synced(informer)
    const object = informer.store.get(target)
    expect(object).toMatchObject({ novelty: ['kept'], metadata: { fromTheFuture: { a: 1 } } })
    expect(object?.metadata['managedFields']).toBeUndefined()
  })

  test('9: "synced" is told after the whole list, with every object in the store', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const seen: boolean[] = []
    const informer = start({ onDelta: () => seen.push(informer.informer.hasSynced) })
    expect(informer.store.hasSynced).toBe(false)
    await until('it has synced', () => informer.store.hasSynced)
    expect(seen).toEqual([false, false, false])
    expect(informer.store.count).toBe(3)
  })

  test('10: a watch that has gone quiet without closing is found out and replaced', async () => {
    const informer = start({ times: { inactivityMs: 200 } })
    await synced(informer)
    server.holdWatches()
    put('a')
    await until('the watch was given up', () => informer.restarts.includes('silent'))
    server.releaseWatches()
    await until('a is seen', () => informer.deltas.includes('added a'))
    expect(informer.deltas).toEqual(['added a'])
  })

  test('10: it lists anew from time to time, and counts what the watches had missed', async () => {
    put('a')
    put('b')
    // Drops one event and one deletion, as a broken server would.
    const overrides = { api: dropping(client, (name) => name === 'lost' || name === 'b') }
    const informer = start({ times: { relistMs: 1500 }, overrides })
    await synced(informer)
    put('lost')
    put('seen')
    await until('seen is seen', () => informer.deltas.includes('added seen'))
    expect(informer.deltas).not.toContain('added lost')
    await until('lost is found', () => informer.deltas.includes('added lost'))
    expect(informer.missed).toBe(1)
    expect(informer.restarts).toContain('relist')
  })
})

/** A client whose watches leave out events of some objects. */
function dropping(api: KubeClient, isDropped: (name: string) => boolean): KubeClient {
  return new Proxy(api, {
    get(target, property) {
      if (property !== 'watch') {
        const member: unknown = Reflect.get(target, property, target)
        return typeof member === 'function' ? member.bind(target) : member
      }
      return async function* (...request: Parameters<KubeClient['watch']>) {
        for await (const event of target.watch(...request)) {
          if (event.type !== 'bookmark' && isDropped(event.object.metadata.name)) continue
          yield event
        }
      }
    },
  })
}

describe('positions', () => {
  test('a position that is too old leads to a new list, and what was deleted meanwhile is deleted', async () => {
    put('a')
    put('b')
    const informer = start()
    await synced(informer)
    server.holdWatches()
    remove('a')
    put('c')
    server.store.compact()
    server.cutWatches('reset')
    server.releaseWatches()
    await until('c is seen', () => informer.deltas.includes('added c'))
    expect(informer.deltas).toEqual(['added a', 'added b', 'deleted a', 'added c'])
    expect(informer.restarts).toContain('expired')
    expect(informer.missed).toBe(0)
  })

  test('a bookmark moves the position: what was compacted before it costs no list', async () => {
    const informer = start()
    await synced(informer)
    server.store.create(
      { collection: 'v1/secrets', namespace: 'default', name: 's' },
      { kind: 'Secret' },
    )
    server.store.compact()
    const before = informer.heard
    server.sendBookmarks()
    await until('the bookmark is read', () => informer.heard > before)
    server.cutWatches('reset')
    put('a')
    await until('a is seen', () => informer.deltas.length > 0)
    expect(informer.restarts).not.toContain('expired')
  })

  test('a long list comes in pages, and a token that expires on the way starts it anew', async () => {
    for (let i = 0; i < 1200; i++) put(`map-${String(i).padStart(4, '0')}`)
    server.fail(/continue=/, { kind: 'refuse', status: 410, reason: 'Expired' }, 1)
    const informer = start()
    await until('it has synced', () => informer.informer.hasSynced)
    expect(informer.store.count).toBe(1200)
    const lists = server.requests.filter(({ isWatch }) => !isWatch)
    expect(lists.map(({ query }) => query.get('continue') !== null)).toEqual([
      false,
      true,
      false,
      true,
      true,
    ])
    expect(informer.restarts).toEqual(['expired'])
  })

  test('a server that ends every watch at once is not asked in a tight loop', async () => {
    const informer = start()
    await synced(informer)
    server.fail((request) => request.isWatch, { kind: 'garbage', body: '' })
    server.cutWatches('end')
    const startMs = performance.now()
    await until('some watches ended', () => informer.restarts.length >= 5)
    const before = server.requests.length
    const perSecond = before / ((performance.now() - startMs) / 1000)
    expect(perSecond).toBeLessThan(50)
  })

  test('watches are asked to bring bookmarks and to end after a random time', async () => {
    const informer = start()
    await synced(informer)
    const watch = server.requests.find(({ isWatch }) => isWatch)!
    expect(watch.query.get('allowWatchBookmarks')).toBe('true')
    const seconds = Number(watch.query.get('timeoutSeconds'))
    expect(seconds).toBeGreaterThanOrEqual(240)
    expect(seconds).toBeLessThanOrEqual(480)
    expect(server.requests[0]!.query.get('limit')).toBe('500')
  })
})

const owned = (name: string, uid: string): KubeObject =>
  configMap(
    name,
    {},
    {
      uid: `uid-${name}`,
      resourceVersion: '1',
      labels: { 'raftbase.io/cluster': 'demo' },
      ownerReferences: [
        { apiVersion: 'raftbase.io/v1alpha1', kind: 'RaftCluster', name: 'demo', uid },
      ],
    },
  )

const names = (objects: readonly KubeObject[]) => objects.map(({ metadata }) => metadata.name)

describe('the store', () => {
  test('finds objects by name, namespace, owner and label, and forgets them in each index', () => {
    const store = new ObjectStore({
      indexedLabels: ['raftbase.io/cluster'],
      hasSynced: () => true,
    })
    store.put(owned('b', 'u1'))
    store.put(owned('a', 'u1'))
    store.put({ ...configMap('c'), metadata: { name: 'c', namespace: 'other', uid: 'uid-c' } })
    const query = { namespace: 'default', label: 'raftbase.io/cluster', value: 'demo' }
    expect(names(store.list())).toEqual(['a', 'b', 'c'])
    expect(names(store.list('default'))).toEqual(['a', 'b'])
    expect(names(store.byOwner('u1'))).toEqual(['a', 'b'])
    expect(names(store.byLabel(query))).toEqual(['a', 'b'])
    expect(names(store.byLabel({ ...query, namespace: 'other' }))).toEqual([])
    store.put({
      ...owned('b', 'u2'),
      metadata: { ...owned('b', 'u2').metadata, resourceVersion: '2' },
    })
    expect([names(store.byOwner('u1')), names(store.byOwner('u2'))]).toEqual([['a'], ['b']])
    store.remove({ namespace: 'default', name: 'a' })
    expect([names(store.byOwner('u1')), names(store.byLabel(query))]).toEqual([[], ['b']])
    expect(() => store.byLabel({ ...query, label: 'unknown' })).toThrow('label is not indexed')
    store.replace('default', [])
    expect([names(store.list()), store.count]).toEqual([['c'], 1])
  })
})
