// Pods and claims as kubectl shows them, and what is made of them: why a container does not run, in Kubernetes' own words.

import { describe, expect, test } from 'vitest'
import type { KubeObject } from '../../../operator/src/api/kube-object.ts'
import { ordinalOf } from '../../../operator/src/api/names.ts'
import {
  leanClaim,
  leanPod,
  readClaim,
  readPod,
} from '../../../operator/src/reconcile/pod-facts.ts'

function pod(status: object, metadata: object = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'demo-1', namespace: 'prod', uid: 'u', ...metadata },
    spec: { nodeName: 'node-1' },
    status,
  }
}

function claim(name: string, annotations: Readonly<Record<string, string>> = {}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, uid: 'u', annotations },
    status: { phase: 'Bound' },
  }
}

const member = (state: object, more: object = {}) => ({
  containerStatuses: [{ name: 'member', restartCount: 0, state, ...more }],
})

describe('a pod', () => {
  test.each<[string, object, object]>([
    [
      'without a node',
      {
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/3 nodes are available',
          },
        ],
      },
      {
        container: 'none',
        hasStarted: false,
        reason: 'Unschedulable',
        message: '0/3 nodes are available',
      },
    ],
    [
      'whose image does not exist',
      {
        phase: 'Pending',
        ...member({ waiting: { reason: 'ImagePullBackOff', message: 'Back-off' } }),
      },
      { container: 'waiting', hasStarted: false, reason: 'ImagePullBackOff', message: 'Back-off' },
    ],
    [
      'that ends again and again, with the last words of its container',
      {
        phase: 'Running',
        ...member(
          { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 5m0s' } },
          {
            restartCount: 7,
            lastState: {
              terminated: {
                reason: 'Error',
                exitCode: 1,
                message: 'first\n{"code":"DATA_DIR_FOREIGN"}\n',
              },
            },
          },
        ),
      },
      {
        container: 'waiting',
        hasStarted: true,
        restarts: 7,
        reason: 'CrashLoopBackOff',
        message: 'Error with exit code 1: {"code":"DATA_DIR_FOREIGN"}',
      },
    ],
    [
      'that was killed for its memory',
      { phase: 'Running', ...member({ terminated: { reason: 'OOMKilled', exitCode: 137 } }) },
      {
        container: 'terminated',
        hasStarted: true,
        reason: 'Terminated',
        message: 'OOMKilled with exit code 137',
      },
    ],
    [
      'that was evicted',
      { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
      {
        container: 'terminated',
        reason: 'Evicted',
        message: 'The node was low on resource: memory.',
      },
    ],
    [
      'that runs',
      { phase: 'Running', podIP: '10.0.0.7', ...member({ running: {} }) },
      { container: 'running', hasStarted: true, ip: '10.0.0.7', node: 'node-1' },
    ],
    [
      'beside whose member another container fails',
      {
        phase: 'Running',
        containerStatuses: [
          { name: 'sidecar', restartCount: 3, state: { waiting: { reason: 'CrashLoopBackOff' } } },
          { name: 'member', restartCount: 0, state: { running: {} } },
        ],
      },
      { container: 'running', restarts: 0 },
    ],
    ['about which nothing is known', {}, { container: 'none', hasStarted: false, restarts: 0 }],
  ])('%s', (_what, status, facts) => {
    const whole = pod(status)
    expect(readPod('demo', whole)).toMatchObject(facts)
    expect(readPod('demo', leanPod(whole))).toEqual(readPod('demo', whole))
  })

  test('is held in memory as far as it is read, and no further', () => {
    const { metadata, status } = pod(
      { phase: 'Running', podIP: '10.0.0.7', hostIP: '192.0.2.1', qosClass: 'Burstable' },
      {
        annotations: {
          'raftbase.io/membership-epoch': '3',
          'raftbase.io/renderer': '2',
        },
        labels: { 'controller-revision-hash': 'r1', 'raftbase.io/role': 'leader' },
      },
    )
    const own = {
      name: 'member',
      image: 'raftbase/member:0.1.0',
      args: ['-name=demo-1', '-cert-file=/tls/tls.crt'],
      resources: { requests: { memory: '1Gi' }, limits: { memory: '2Gi' } },
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    }
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data-demo-1' } }]
    const spec = { nodeName: 'node-1', containers: [{ name: 'sidecar' }, own], volumes }
    const whole = { apiVersion: 'v1', kind: 'Pod', metadata, spec, status }
    const lean = leanPod(whole)
    expect(readPod('demo', whole)).toMatchObject({ isSecure: true, memoryLimit: 2 * 1024 ** 3 })
    expect(readPod('demo', lean)).toEqual(readPod('demo', whole))
    expect(lean.metadata).toBe(metadata)
    expect(JSON.stringify(lean)).not.toMatch(/volume|image|hostIP|requests/)
  })

  test('of another name is no member', () => {
    expect(readPod('demo', pod({}, { name: 'demo-x-1' }))).toBeUndefined()
    expect(readPod('other', pod({}))).toBeUndefined()
  })
})

test.each([
  ['demo-0', 0],
  ['demo-12', 12],
  ['data-demo-3', 3],
  ['demo-01', undefined],
  ['demo-', undefined],
  ['demo-peer', undefined],
  ['demo-1-2', undefined],
  ['demon-1', undefined],
])('%s of the cluster demo has the ordinal %s', (name, ordinal) => {
  expect(ordinalOf('demo', name)).toBe(ordinal)
})

test('a claim says whose data it holds, or nothing', () => {
  const marked = claim('data-demo-1', { 'raftbase.io/cluster-uid': 'abc' })
  expect(readClaim('demo', marked)).toMatchObject({ ordinal: 1, phase: 'Bound', clusterUid: 'abc' })
  expect(readClaim('demo', claim('data-demo-1'))).not.toHaveProperty('clusterUid')
  expect(readClaim('demo', claim('demo-1'))).toBeUndefined()
  const bound = { ...marked, spec: { volumeName: 'pv-7', accessModes: ['ReadWriteOnce'] } }
  expect(readClaim('demo', leanClaim(bound))).toEqual(readClaim('demo', bound))
  expect(leanClaim(bound)['spec']).toEqual({ volumeName: 'pv-7' })
})
