// The client against a real kube-apiserver, through a kubeconfig: the same promises as against the one of the tests, and
// what only the real one shows: its certificates and tokens, MicroTime, a restart under open watches, history it forgot.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { SeededPrng } from '../../../lib/prng.ts'
import { CONFIG_MAPS, EVENTS, NAMESPACES } from '../../../operator/src/api/resource-types.ts'
import { Informer } from '../../../operator/src/controller/informer.ts'
import { LeaderElection } from '../../../operator/src/controller/leader-election.ts'
import { ObjectStore } from '../../../operator/src/controller/object-store.ts'
import type { KubeClient } from '../../../operator/src/kube/client.ts'
import { isKubeError, isNamespaceTerminating } from '../../../operator/src/kube/errors.ts'
import { EventWriter } from '../../../operator/src/kube/events.ts'
import { openKubeconfigAccess } from '../../../operator/src/kube/kubeconfig.ts'
import { ApiServer, missingApiServer } from '../../support/api-server.ts'
import { clientOf, configMap, silentLog, until } from '../support.ts'
import { KUBE_API_PROMISES } from './kube-api-promises.ts'

const SKIPPED = missingApiServer('the client of the operator on a real API server')
const START_MS = 120_000

describe.skipIf(SKIPPED !== undefined)('a real API server', () => {
  let server: ApiServer
  let client: KubeClient
  let namespaceCount = 0

  beforeAll(async () => {
    server = await ApiServer.start()
    client = clientOf(await openKubeconfigAccess(server.kubeconfig))
  }, START_MS)

  afterAll(async () => {
    client?.close()
    await server?.stop()
  })

  async function newNamespace(): Promise<string> {
    const name = `test-${++namespaceCount}`
    await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    return name
  }

  test.each(KUBE_API_PROMISES)('keeps the promise: $name', async ({ run }) => {
    await expect(run(client, await newNamespace())).resolves.toBeUndefined()
  })

  test('a user without rights is told so', async () => {
    const access = await openKubeconfigAccess(server.kubeconfigOf('nobody', 'wrong'))
    const nobody = clientOf(access)
    const code = await nobody.list(CONFIG_MAPS, {}).catch((error: unknown) => {
      return isKubeError(error) ? error.code : String(error)
    })
    nobody.close()
    expect(code).toBe('unauthorized')
  })

  test('creating in a namespace that is being deleted is told from other refusals', async () => {
    const name = await newNamespace()
    // Its finalizer is removed by a controller that does not run here: it stays terminating.
    await client.delete(NAMESPACES, { namespace: '', name })
    const failure: unknown = await client
      .create(CONFIG_MAPS, configMap('a', {}, { namespace: name }))
      .catch((error: unknown) => error)
    expect(isNamespaceTerminating(failure)).toBe(true)
  })

  test('a Lease is taken, renewed and given back', async () => {
    const namespace = await newNamespace()
    const election = new LeaderElection({
      api: client,
      namespace,
      name: 'raftbase-operator',
      identity: 'one',
      clock: systemClock,
      timers: systemTimers,
      log: silentLog,
      times: { leaseMs: 4000, renewDeadlineMs: 2000, retryMs: 100 },
    })
    const aborter = new AbortController()
    expect(await election.acquire(aborter.signal)).toBe(true)
    const holding = election.hold(aborter.signal)
    const lease = () =>
      server.mustKubectl(['get', 'lease', '-n', namespace, 'raftbase-operator', '-o', 'json'])
    const first = JSON.parse(await lease()) as { spec: Record<string, unknown> }
    await new Promise((resolve) => setTimeout(resolve, 500))
    const second = JSON.parse(await lease()) as { spec: Record<string, unknown> }
    expect(first.spec).toMatchObject({ holderIdentity: 'one', leaseDurationSeconds: 4 })
    expect(second.spec['renewTime']).not.toBe(first.spec['renewTime'])
    aborter.abort()
    expect(await holding).toBe('stopped')
    await election.release()
    const third = JSON.parse(await lease()) as { spec: Record<string, unknown> }
    expect(third.spec['holderIdentity'] ?? '').toBe('')
  })

  test('an Event is written once in ten minutes for the same reason and member, and shown by kubectl', async () => {
    const namespace = await newNamespace()
    const object = await client.create(CONFIG_MAPS, configMap('demo', {}, { namespace }))
    const outcomes: string[] = []
    const recorder = new EventWriter({
      api: client,
      clock: systemClock,
      log: silentLog,
      instance: 'operator-0',
      onOutcome: (outcome) => outcomes.push(outcome),
    })
    const event = {
      regarding: object,
      type: 'Warning',
      reason: 'MemberUnreachable',
      action: 'Observe',
      message: `demo-0 does not answer. ${'x'.repeat(2000)}`,
      pointer: 'docs/operator.md#memberunreachable',
      member: 'demo-0',
    } as const
    recorder.record(event)
    recorder.record(event)
    recorder.record({ ...event, member: 'demo-1' })
    await recorder.flush()
    expect(outcomes).toEqual(['written', 'written'])
    const { items } = await client.list(EVENTS, { namespace })
    expect(items.map((item) => item['note'])).toEqual(
      Array.from({ length: 2 }, () =>
        expect.stringMatching(
          /^demo-0 does not answer\. x+… \(see docs\/operator\.md#memberunreachable\)$/,
        ),
      ),
    )
    expect(await server.mustKubectl(['describe', 'configmap', '-n', namespace, 'demo'])).toMatch(
      /Warning\s+MemberUnreachable/,
    )
  })

  test(
    'an informer outlives a restart of the API server and ends up with what is there',
    async () => {
      const namespace = await newNamespace()
      const store = new ObjectStore({ indexedLabels: [], hasSynced: () => informer.hasSynced })
      const restarts: string[] = []
      const informer: Informer = new Informer({
        api: client,
        type: CONFIG_MAPS,
        store,
        namespace,
        clock: systemClock,
        timers: systemTimers,
        prng: new SeededPrng(1),
        log: silentLog,
        observer: {
          synced: () => undefined,
          heard: () => undefined,
          restarted: (reason) => restarts.push(reason),
          missed: () => undefined,
        },
        onDelta: () => undefined,
      })
      const aborter = new AbortController()
      const running = informer.run(aborter.signal)
      await until('it has synced', () => informer.hasSynced)
      await client.create(CONFIG_MAPS, configMap('before', {}, { namespace }))
      await until('the first is seen', () => store.get({ namespace, name: 'before' }) !== undefined)
      await server.stopApi()
      await until('the watch has broken', () => restarts.length > 0)
      await server.startApi()
      await client.create(CONFIG_MAPS, configMap('after', {}, { namespace }))
      await client.delete(CONFIG_MAPS, { namespace, name: 'before' })
      await until(
        'the second is seen',
        () => store.get({ namespace, name: 'after' }) !== undefined,
        45_000,
      )
      await until('the first is gone', () => store.get({ namespace, name: 'before' }) === undefined)
      aborter.abort()
      await running
      expect(restarts).toContain('broken')
    },
    START_MS,
  )
})
