// What is made of nodes and volumes: which member is on a node that is not there, and which volume can be used nowhere else.

import { beforeEach, expect, test } from 'vitest'
import { observeNodes, withStranded } from '../../../operator/src/reconcile/observe-nodes.ts'
import type {
  ClaimFacts,
  MemberSighting,
  PodFacts,
} from '../../../operator/src/reconcile/observed.ts'
import type { Json } from '../../support/fake-api-json.ts'
import { FakeApiStore } from '../../support/fake-api-store.ts'
import { SimApi } from '../crash/sim-api.ts'

const { signal } = new AbortController()
const pass = () => undefined
let store: FakeApiStore
let api: SimApi

beforeEach(() => {
  store = new FakeApiStore()
  api = new SimApi(store, { travel: () => Promise.resolve(), before: pass, after: () => 'heard' })
})

function node(name: string, ready?: string, host = name): void {
  const condition = { type: 'Ready', status: ready, lastTransitionTime: '2026-03-01T08:00:00Z' }
  store.create(
    { collection: 'v1/nodes', namespace: '', name },
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/hostname': host } },
      status: { conditions: ready === undefined ? [] : [condition] },
    },
  )
}

function volume(name: string, terms: Json | undefined): void {
  const affinity = { nodeAffinity: { required: { nodeSelectorTerms: terms } } }
  store.create(
    { collection: 'v1/persistentvolumes', namespace: '', name },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: terms === undefined ? {} : affinity,
    },
  )
}

function on(host: string, key = 'kubernetes.io/hostname'): Json {
  return { matchExpressions: [{ key, operator: 'In', values: [host] }] }
}

function pod(facts: Partial<PodFacts>): PodFacts {
  return {
    name: 'demo-0',
    uid: 'u',
    ordinal: 0,
    node: 'n',
    isTerminating: false,
    container: 'running',
    hasStarted: true,
    restarts: 0,
    ...facts,
  }
}

const CLAIM: ClaimFacts = {
  name: 'data-demo-0',
  uid: 'c',
  ordinal: 0,
  phase: 'Bound',
  volume: 'pv',
  isTerminating: false,
}
const SILENT: MemberSighting = { name: 'demo-0', ageSeconds: 0, silence: 'timeout' }

async function strandedOf(
  claim: ClaimFacts,
  pods: readonly PodFacts[],
): Promise<string | undefined> {
  return (await withStranded([claim], pods, { api, signal }))[0]!.stranded
}

test('a node is asked about only for a pod that does not answer', async () => {
  node('n', 'Unknown')
  const answers: MemberSighting = { name: 'demo-0', ageSeconds: 0 }
  expect(await observeNodes([pod({})], [answers], { api, signal })).toEqual([])
  const dead = { name: 'n', state: 'NotReady', since: '2026-03-01T08:00:00Z' }
  expect(await observeNodes([pod({})], [SILENT], { api, signal })).toEqual([dead])
  expect(await observeNodes([pod({ isTerminating: true })], [], { api, signal })).toEqual([dead])
  expect(await observeNodes([pod({ container: 'waiting' })], [], { api, signal })).toEqual([dead])
})

test.each([
  ['True', 'Ready'],
  ['False', 'NotReady'],
  ['Unknown', 'NotReady'],
  // Its kubelet has not told anything yet: no reason to call it dead.
  [undefined, 'Ready'],
])('a node whose Ready is %s is %s', async (ready, state) => {
  node('n', ready)
  expect(await observeNodes([pod({})], [SILENT], { api, signal })).toMatchObject([{ state }])
})

test('a node that does not exist is gone', async () => {
  const gone = { name: 'n', state: 'Gone' }
  expect(await observeNodes([pod({})], [SILENT], { api, signal })).toEqual([gone])
})

test.each<[string, Json | undefined, string | undefined]>([
  ['of a host that is gone', [on('old')], 'old'],
  ['of several, all gone', [on('old'), on('older')], 'old, older'],
  ['of several, one of which is there', [on('old'), on('here')], undefined],
  ['that can be used anywhere', undefined, undefined],
  ['of a zone', [on('z', 'topology.kubernetes.io/zone')], undefined],
  ['of a host or of a zone', [on('old'), on('z', 'topology.kubernetes.io/zone')], undefined],
  ['whose host is no label', [on('a,b=c')], undefined],
])('a volume %s', async (_what, terms, stranded) => {
  node('another-name', 'True', 'here')
  volume('pv', terms)
  const waits = pod({ container: 'none' })
  const { node: _, ...unscheduled } = waits
  expect(await strandedOf(CLAIM, [unscheduled])).toBe(stranded)
  expect(await strandedOf(CLAIM, [])).toBe(stranded)
  // A pod that has found a node has its volume there.
  expect(await strandedOf(CLAIM, [waits])).toBeUndefined()
})

test('a claim without a volume, or with one that is gone, is left to its phase', async () => {
  expect(await strandedOf(CLAIM, [])).toBeUndefined()
  volume('pv', [on('old')])
  expect(await strandedOf({ ...CLAIM, phase: 'Lost' }, [])).toBeUndefined()
  const { volume: _, ...unbound } = CLAIM
  expect(await strandedOf(unbound, [])).toBeUndefined()
})
