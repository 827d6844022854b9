// What `helm test` runs in a pod: a RaftCluster of one member is created and becomes ready, a value is written and read
// through its client Service, and the cluster is deleted with its volume. One line for each step; the first that fails
// ends it, after telling what the operator said, and the cluster is deleted all the same.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const REQUEST_TIMEOUT_MS = 10_000
const POLL_MS = 500

const namespace = process.env['TEST_NAMESPACE']
const name = `helm-test-${randomBytes(4).toString('hex')}`
const stepTimeoutMs = Number(process.env['TEST_TIMEOUT_SECONDS']) * 1000
const collection = `/apis/raftbase.io/v1alpha1/namespaces/${namespace}/raftclusters`
const startedMs = performance.now()

function say(text) {
  console.log(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}`)
}

/** A request to the API server; undefined for 404, an error for every other refusal. */
async function kube(method, path, body) {
  const response = await fetch(`https://kubernetes.default.svc${path}`, {
    method,
    headers: {
      // The kubelet renews the token while this runs.
      authorization: `Bearer ${readFileSync(`${ACCOUNT}/token`, 'utf8').trim()}`,
      'content-type': 'application/json',
    },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (response.status === 404) return undefined
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
  return JSON.parse(text)
}

/** Repeats `probe` until it says `done`; what it says instead is printed whenever it changes. */
async function until(what, probe) {
  const deadlineMs = performance.now() + stepTimeoutMs
  let seen
  for (;;) {
    let now
    try {
      now = await probe()
    } catch (error) {
      now = String(error.cause ?? error)
    }
    if (now === 'done') return
    if (now !== seen) say(`  waiting for ${what}: ${now}`)
    seen = now
    if (performance.now() > deadlineMs) {
      throw new Error(`waited ${stepTimeoutMs / 1000} s in vain for ${what}; last seen: ${seen}`)
    }
    await delay(POLL_MS)
  }
}

async function create() {
  const storageClassName = process.env['TEST_STORAGE_CLASS']
  const created = await kube('POST', collection, {
    apiVersion: 'raftbase.io/v1alpha1',
    kind: 'RaftCluster',
    metadata: { name },
    spec: {
      replicas: 1,
      version: process.env['TEST_CLUSTER_VERSION'],
      storage: {
        size: '256Mi',
        whenDeleted: 'Delete',
        ...(storageClassName ? { storageClassName } : {}),
      },
    },
  })
  if (created === undefined) throw new Error('the CustomResourceDefinition is not installed')
}

async function ready() {
  const cluster = await kube('GET', `${collection}/${name}`)
  if (cluster === undefined) throw new Error(`RaftCluster ${name} is gone`)
  const condition = cluster.status?.conditions?.find(({ type }) => type === 'Ready')
  if (condition?.status === 'True') return 'done'
  if (condition === undefined) return 'the operator has not said anything about it yet'
  return `${condition.reason}: ${condition.message}`
}

/** Whether the client Service answered with `expected`, whatever member it chose. */
async function value(method, body, expected) {
  const response = await fetch(`http://${name}-client.${namespace}.svc:8080/v1/kv/helm-test`, {
    method,
    // Each attempt finds its way anew: a connection made before the Service was known leads elsewhere for as long as it lives.
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    ...(body === undefined ? {} : { body }),
  })
  const text = await response.text()
  if (response.ok && (expected === undefined || text === expected)) return 'done'
  return `answer ${response.status}: ${text}`
}

async function gone() {
  if ((await kube('GET', `${collection}/${name}`)) !== undefined) return 'the RaftCluster is there'
  const selector = encodeURIComponent(`raftbase.io/cluster=${name}`)
  const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims?labelSelector=${selector}`
  const volumes = (await kube('GET', path)).items.map(({ metadata }) => metadata.name)
  return volumes.length === 0 ? 'done' : `${volumes.join(', ')} is there`
}

async function tellWhatHappened() {
  const cluster = await kube('GET', `${collection}/${name}`)
  say(`status of ${name}: ${JSON.stringify(cluster?.status ?? 'none', undefined, 2)}`)
  const events = await kube('GET', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`)
  for (const { regarding, type, reason, note } of events?.items ?? []) {
    if (regarding?.name?.includes(name)) say(`${type} ${reason} (${regarding.kind}): ${note}`)
  }
}

let failure
try {
  await create()
  say(`RaftCluster ${namespace}/${name} created`)
  await until('it to be ready', ready)
  say('it is ready')
  await until('a write', () => value('PUT', 'written by helm test'))
  say('a value was written through the client Service')
  await until('the value', () => value('GET', undefined, 'written by helm test'))
  say('the same value was read')
} catch (error) {
  failure = error
  say(`FAILED: ${error.message}`)
  await tellWhatHappened().catch((cause) => say(`nothing more can be said: ${cause}`))
}
try {
  await kube('DELETE', `${collection}/${name}`)
  await until('the cluster and its volume to be gone', gone)
  say('the cluster and its volume are gone')
} catch (error) {
  failure ??= error
  say(`FAILED to clean up: ${error.message}`)
}
process.exitCode = failure === undefined ? 0 : 1
