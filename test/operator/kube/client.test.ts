// The client against the API server of the tests, which breaks on demand. What a healthy server answers is the same suite
// that real-api-server.test.ts runs against a real one.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CONFIG_MAPS } from '../../../operator/src/api/resource-types.ts'
import type { Credentials } from '../../../operator/src/kube/cluster-access.ts'
import type { AnsweredRequest, KubeClient } from '../../../operator/src/kube/client.ts'
import { isKubeError, type KubeError } from '../../../operator/src/kube/errors.ts'
import { FencedApi } from '../../../operator/src/kube/fenced-api.ts'
import { FakeApiServer } from '../../support/fake-api-server.ts'
import { clientOf, configMap, plainAccess, until } from '../support.ts'
import { iterate, KUBE_API_PROMISES } from './kube-api-promises.ts'

const KEY = { namespace: 'default', name: 'a' }

let server: FakeApiServer
let client: KubeClient
let answered: AnsweredRequest[]

beforeEach(async () => {
  server = await FakeApiServer.start()
  answered = []
  client = clientOf(plainAccess(server.url), { onRequest: (request) => answered.push(request) })
})

afterEach(async () => {
  client.close()
  await server.stop()
})

async function failureOf(request: Promise<unknown>): Promise<KubeError> {
  try {
    await request
  } catch (error) {
    if (isKubeError(error)) return error
    throw error
  }
  throw new Error('it succeeded')
}

function watchFrom(resourceVersion: string, options: { inactivityMs?: number } = {}) {
  const aborter = new AbortController()
  const events = iterate(
    client.watch(CONFIG_MAPS, {
      resourceVersion,
      timeoutSeconds: 60,
      inactivityMs: 60_000,
      signal: aborter.signal,
      ...options,
    }),
  )
  return { events, aborter }
}

describe('the API server of the tests keeps the promises of KubeApi', () => {
  test.each(KUBE_API_PROMISES)('$name', async ({ run }) => {
    await expect(run(client, 'default')).resolves.toBeUndefined()
  })
})

describe('failures', () => {
  test.each([
    [401, 'Unauthorized', 'unauthorized'],
    [403, 'Forbidden', 'forbidden'],
    [404, 'NotFound', 'notFound'],
    [409, 'Conflict', 'conflict'],
    [409, 'AlreadyExists', 'alreadyExists'],
    [410, 'Expired', 'expired'],
    [422, 'Invalid', 'invalid'],
    [400, 'BadRequest', 'invalid'],
    [429, 'TooManyRequests', 'throttled'],
    [500, 'InternalError', 'unavailable'],
    [503, 'ServiceUnavailable', 'unavailable'],
    [504, 'Timeout', 'unavailable'],
  ])('HTTP %i %s is %s, with the status and the reason', async (status, reason, code) => {
    server.fail(/POST/, { kind: 'refuse', status, reason })
    const failure = await failureOf(client.create(CONFIG_MAPS, configMap('a')))
    expect([failure.code, failure.status, failure.reason]).toEqual([code, status, reason])
    expect(failure.details).toMatchObject({ status, serverMessage: 'refused on purpose' })
  })

  test('a lost connection is unavailable, and the request may have been carried out', async () => {
    server.fail(/POST/, { kind: 'loseAnswer' })
    const failure = await failureOf(client.create(CONFIG_MAPS, configMap('a')))
    expect(failure.code).toBe('unavailable')
    expect(await client.get(CONFIG_MAPS, KEY)).toBeDefined()
  })

  test('nobody listening is unavailable', async () => {
    const { url } = server
    await server.stop()
    const failure = await failureOf(clientOf(plainAccess(url)).get(CONFIG_MAPS, KEY))
    expect([failure.code, failure.details['systemCode']]).toEqual(['unavailable', 'ECONNREFUSED'])
    server = await FakeApiServer.start()
  })

  test('an answer that is not JSON is malformed', async () => {
    server.fail(/GET/, { kind: 'garbage', body: '<html>gateway</html>' })
    expect((await failureOf(client.get(CONFIG_MAPS, KEY))).code).toBe('malformed')
  })

  test.each(['"text"', '{}', '{"kind":"ConfigMap"}', '[]', 'null'])(
    'the answer %s is malformed, as an object and as a list',
    async (body) => {
      server.fail(/GET/, { kind: 'garbage', body })
      expect((await failureOf(client.get(CONFIG_MAPS, KEY))).code).toBe('malformed')
      expect((await failureOf(client.list(CONFIG_MAPS, {}))).code).toBe('malformed')
    },
  )

  test('silence ends at the deadline as timeout', async () => {
    server.fail(/GET/, { kind: 'hang' })
    const failure = await failureOf(client.get(CONFIG_MAPS, KEY, { timeoutMs: 50 }))
    expect(failure.code).toBe('timeout')
  })

  test('an aborted signal ends the request, before it is sent and while it waits', async () => {
    server.fail(/GET/, { kind: 'hang' })
    const aborter = new AbortController()
    const waiting = failureOf(client.get(CONFIG_MAPS, KEY, { signal: aborter.signal }))
    await until('the request has arrived', () => server.requests.length === 1)
    aborter.abort()
    expect((await waiting).code).toBe('aborted')
    const late = failureOf(client.get(CONFIG_MAPS, KEY, { signal: aborter.signal }))
    expect((await late).code).toBe('aborted')
    expect(server.requests.length).toBe(1)
  })

  test('Retry-After is passed on, and holds back later requests but not those for the Lease', async () => {
    server.fail(/GET/, { kind: 'refuse', status: 429, retryAfter: 1 }, 1)
    expect((await failureOf(client.get(CONFIG_MAPS, KEY))).retryAfterMs).toBe(1000)
    const startMs = performance.now()
    await client.get(CONFIG_MAPS, KEY, { priority: 'lease' })
    expect(performance.now() - startMs).toBeLessThan(900)
    await client.get(CONFIG_MAPS, KEY)
    expect(performance.now() - startMs).toBeGreaterThan(900)
  })

  test('a read on a kept-alive connection that the server had closed is repeated once', async () => {
    await client.get(CONFIG_MAPS, KEY)
    server.fail(/GET/, { kind: 'reset' }, 1)
    expect(await client.get(CONFIG_MAPS, KEY)).toBeUndefined()
    expect(answered.map(({ verb, code }) => `${verb} ${code}`)).toEqual([
      'get 404',
      'get unavailable',
      'get 404',
    ])
  })

  test('a change on such a connection is not repeated: it may have been carried out', async () => {
    await client.get(CONFIG_MAPS, KEY)
    server.fail(/POST/, { kind: 'reset' }, 1)
    const failure = await failureOf(client.create(CONFIG_MAPS, configMap('a')))
    expect(failure.code).toBe('unavailable')
    expect(server.requests.filter(({ method }) => method === 'POST').length).toBe(1)
  })
})

describe('credentials', () => {
  test('a refused token is read anew once and the request repeated', async () => {
    server.token = 'new'
    let token = 'old'
    const access = plainAccess(server.url, () => ({ authorization: `Bearer ${token}` }))
    const renewing = {
      ...access,
      invalidate: () => {
        token = 'new'
      },
    }
    await clientOf(renewing).create(CONFIG_MAPS, configMap('a'))
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer old',
      'Bearer new',
    ])
  })

  test('a token that stays refused is unauthorized after one more try', async () => {
    server.token = 'new'
    const access = plainAccess(server.url)
    expect((await failureOf(clientOf(access).get(CONFIG_MAPS, KEY))).code).toBe('unauthorized')
    expect([server.requests.length, access.invalidations]).toEqual([2, 1])
  })
})

describe('watching', () => {
  test('a position that is too old is expired, from the start and in the stream', async () => {
    await client.create(CONFIG_MAPS, configMap('a'))
    server.store.compact()
    expect((await failureOf(watchFrom('1').events.next())).code).toBe('expired')
    const { events } = watchFrom(String(server.store.revision))
    const next = failureOf(events.next())
    await until('it watches', () => server.watchCount === 1)
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }
    server.sendRaw(`${JSON.stringify({ type: 'ERROR', object: status })}\n`)
    expect((await next).code).toBe('expired')
  })

  test('an event that is cut into pieces is one event', async () => {
    const { events, aborter } = watchFrom(String(server.store.revision))
    const next = events.next()
    await until('it watches', () => server.watchCount === 1)
    const line = JSON.stringify({ type: 'ADDED', object: { ...configMap('ä') } })
    const bytes = Buffer.from(`${line}\n`)
    for (let at = 0; at < bytes.length; at += 7) {
      server.sendRaw(bytes.subarray(at, at + 7))
    }
    const { value } = await next
    expect(value).toMatchObject({ type: 'added', object: { metadata: { name: 'ä' } } })
    aborter.abort()
  })

  test('garbage in the stream is malformed', async () => {
    const { events } = watchFrom(String(server.store.revision))
    const next = failureOf(events.next())
    await until('it watches', () => server.watchCount === 1)
    server.sendRaw('{"type":"ADDED"}\n')
    expect((await next).code).toBe('malformed')
  })

  test('bookmarks tell how far the watch has come', async () => {
    const { events, aborter } = watchFrom(String(server.store.revision))
    const next = events.next()
    await until('it watches', () => server.watchCount === 1)
    server.sendBookmarks()
    expect((await next).value).toEqual({
      type: 'bookmark',
      resourceVersion: String(server.store.revision),
    })
    aborter.abort()
  })

  test('a connection that says nothing for too long counts as dead', async () => {
    const { events } = watchFrom(String(server.store.revision), { inactivityMs: 50 })
    expect((await failureOf(events.next())).code).toBe('timeout')
    await until('the connection is closed', () => server.watchCount === 0)
  })

  test('the end of a watch ends the iteration; a reset is unavailable', async () => {
    const ending = watchFrom(String(server.store.revision))
    const ended = ending.events.next()
    await until('it watches', () => server.watchCount === 1)
    server.cutWatches('end')
    expect(await ended).toEqual({ done: true, value: undefined })
    const resetting = watchFrom(String(server.store.revision))
    const reset = failureOf(resetting.events.next())
    await until('it watches', () => server.watchCount === 1)
    server.cutWatches('reset')
    expect((await reset).code).toBe('unavailable')
  })

  test('leaving the iteration closes the connection', async () => {
    const { events } = watchFrom(String(server.store.revision))
    const next = events.next()
    await until('it watches', () => server.watchCount === 1)
    server.sendBookmarks()
    await next
    await events.return?.()
    await until('the connection is closed', () => server.watchCount === 0)
    expect(server.watchCount).toBe(0)
  })
})

describe('the fence', () => {
  test('a process that does not lead reads but changes nothing', async () => {
    let isLeader = true
    const api = new FencedApi(client, () => isLeader)
    await api.create(CONFIG_MAPS, configMap('a'))
    isLeader = false
    const manager = { fieldManager: 'test', force: true }
    const changes = [
      api.create(CONFIG_MAPS, configMap('b')),
      api.replace(CONFIG_MAPS, configMap('a')),
      api.apply(CONFIG_MAPS, configMap('a'), manager),
      api.applyStatus(CONFIG_MAPS, configMap('a'), manager),
      api.patch(CONFIG_MAPS, KEY, { data: { x: '1' } }, manager),
      api.delete(CONFIG_MAPS, KEY),
    ]
    for (const change of changes) expect((await failureOf(change)).code).toBe('notLeading')
    expect(await api.get(CONFIG_MAPS, KEY)).toBeDefined()
    expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'GET'])
  })

  test('leadership that is lost while the request waits for its turn keeps it from leaving', async () => {
    let isLeader = true
    const asked = Promise.withResolvers<void>()
    const given = Promise.withResolvers<Credentials>()
    const credentials = () => {
      asked.resolve()
      return given.promise
    }
    const access = { ...plainAccess(server.url), credentials }
    const api = new FencedApi(clientOf(access), () => isLeader)
    const change = failureOf(api.create(CONFIG_MAPS, configMap('a')))
    await asked.promise
    isLeader = false
    given.resolve({ headers: {}, tls: {} })
    expect((await change).code).toBe('notLeading')
    expect(server.requests).toEqual([])
  })
})
