// What a pass reads while another operator is at work: in whichever moment things come into being, what is seen of them
// together must mean something that was so.

import { expect, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import type { RaftCluster } from '../../../operator/src/api/raft-cluster.ts'
import { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import { Certificates } from '../../../operator/src/reconcile/certificates.ts'
import { Monitors } from '../../../operator/src/reconcile/monitors.ts'
import { observe, observeCluster } from '../../../operator/src/reconcile/observe.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { Sightings } from '../../../operator/src/reconcile/sightings.ts'
import type { Json } from '../../support/fake-api-json.ts'
import { FakeApiStore } from '../../support/fake-api-store.ts'
import { CLUSTER, KEY } from '../crash/scene.ts'
import { collectionOf, SimApi } from '../crash/sim-api.ts'
import { SimCaches } from '../crash/sim-caches.ts'
import { SimKubernetes } from '../crash/sim-kubernetes.ts'

const { signal } = new AbortController()
const clock = { monotonicMs: () => 0, wallMs: () => Date.parse('2026-03-01T08:00:00Z') }
const members = {
  status: () =>
    Promise.resolve({ kind: 'silent', reason: 'timeout', detail: 'no answer' } as const),
}

/** A RaftCluster whose first start is latched, and what an operator does when it asks the API server for something. */
function scene(onRequest: () => void) {
  const store = new FakeApiStore()
  store.create(CLUSTER, {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { name: KEY.name, finalizers: ['raftbase.io/cluster-cleanup'] },
    spec: { version: '0.1.0' },
  })
  const { uid } = store.get(CLUSTER).metadata
  const bootstrap = { replicas: 3, token: uid, startedAt: '2026-03-01T08:00:00Z' }
  store.patch(CLUSTER, { status: { bootstrap } }, 'status')
  const travel = (): Promise<void> => Promise.resolve(onRequest())
  const api = new SimApi(store, { travel, before: () => undefined, after: () => 'heard' })
  const options = {
    api,
    caches: new SimCaches(store),
    sightings: new Sightings({ client: members, clock, timers: systemTimers }),
    clock,
    render: { memberRepository: 'raftbase/member', newestRenderer: 1 },
    certificates: new Certificates({ api, clock }),
    monitors: new Monitors({ api, clock }),
    readsNodes: false,
    trust: new MemberTrust(),
  }
  const look = async (): Promise<Awaited<ReturnType<typeof observe>>> => {
    const cluster = (await observeCluster(KEY, options, signal)) as RaftCluster
    const pass = { signal, rejection: undefined, refusal: undefined, servedSecondsAgo: undefined }
    return observe(cluster, options, pass)
  }
  return { store, look }
}

/** How the first start goes on: what the operator applies, then what Kubernetes makes of it. */
async function stepsOf(): Promise<readonly ((store: FakeApiStore) => void)[]> {
  const { look } = scene(() => undefined)
  const applied = plan(await look()).actions.flatMap((action) => {
    return action.type === 'apply' ? [action] : []
  })
  return [
    ...applied.map(({ resource, object }) => (store: FakeApiStore) => {
      const target = { ...KEY, collection: collectionOf(resource), name: object.metadata.name }
      store.apply(target, fieldsOf(object), { fieldManager: 'other', force: true, subresource: '' })
    }),
    (store) => {
      for (const step of new SimKubernetes(store).steps) step()
    },
  ]
}

function fieldsOf(object: KubeObject): Record<string, Json | undefined> {
  return object as unknown as Record<string, Json | undefined>
}

test('a first start that another operator is at looks like one in whichever moment it is seen (F56)', async () => {
  const steps = await stepsOf()
  const requests = 40
  // A step with each of the requests from one on, or several at once.
  for (let from = 0; from < requests; from += 1) {
    for (const each of [1, 2, steps.length]) {
      let [asked, done] = [0, 0]
      const { store, look } = scene(() => {
        asked += 1
        if (asked <= from) return
        for (const step of steps.slice(done, done + each)) step(store)
        done += each
      })
      const { conditions = [] } = plan(await look()).status
      const { reason } = conditions.find(({ type }) => type === 'Bootstrapped')!
      expect(['NotStarted', 'WaitingForPods', 'WaitingForQuorum']).toContain(reason)
    }
  }
})
