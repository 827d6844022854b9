// What one run of the Kubernetes scenarios works with. The setup decides it, and hands it to the scenarios' processes
// through the environment.

import { VERSION } from '../../../member/src/version.ts'

/**
 * Each is a file of test/e2e/kind/ and gets a namespace of its own. These leave nodes alone, ask of the operator no more than
 * that it is back within seconds when one of them has killed it, and wait most of their time: two run beside one another.
 */
export const SHARING_SCENARIOS = ['upgrade', 'bootstrap', 'deletion', 'member-lost'] as const

/** These do something to nodes or to the operator, or want no leader to change: one after the other, in this order. */
const SCENARIOS_ALONE = [
  'leader-pod-deleted',
  'certificates',
  'operator-killed',
  'pod-unschedulable',
  'scaling',
  'node-drained',
  'operator-reinstalled',
  'node-lost',
] as const

export const SCENARIOS = [...SHARING_SCENARIOS, ...SCENARIOS_ALONE] as const
export type Scenario = (typeof SCENARIOS)[number]

export interface Run {
  /** `kind`: a cluster of this run alone. `current`: whatever the kubeconfig means, shared with others. */
  readonly cluster: 'kind' | 'current'
  readonly id: string
  readonly memberImage: string
  /** The same program under the tag of a later version: what matters to an upgrade is that it is another image. */
  readonly nextVersion: string
  readonly nextMemberImage: string
  /** Another program under the tag of a version: it ends as soon as it is started. */
  readonly brokenVersion: string
  readonly brokenMemberImage: string
  readonly operatorImage: string
  readonly nextOperatorImage: string
  /** The same program, which makes pods by the first revision of the template and knows no other. */
  readonly olderOperatorImage: string
  /** Namespace and name of the Helm release. */
  readonly operatorNamespace: string
  readonly release: string
}

const NEXT_VERSION = VERSION.replace(/\d+$/, (patch) => String(Number(patch) + 1))
const BROKEN_VERSION = VERSION.replace(/\d+$/, '998')

/** Read each time: this module may be loaded before the setup has decided. */
export const RUN: Run = {
  get cluster() {
    return process.env['E2E_CLUSTER'] === 'current' ? 'current' : 'kind'
  },
  get id() {
    const id = process.env['E2E_RUN_ID']
    if (id === undefined) throw new Error('E2E_RUN_ID is not set: the setup has not run')
    return id
  },
  get operatorNamespace() {
    return `raftbase-e2e-${this.id}`
  },
  memberImage: `raftbase/member:${VERSION}`,
  nextVersion: NEXT_VERSION,
  nextMemberImage: `raftbase/member:${NEXT_VERSION}`,
  brokenVersion: BROKEN_VERSION,
  brokenMemberImage: `raftbase/member:${BROKEN_VERSION}`,
  operatorImage: `raftbase/operator:${VERSION}`,
  nextOperatorImage: `raftbase/operator:${NEXT_VERSION}`,
  olderOperatorImage: `raftbase/operator:${VERSION}-revision-1`,
  release: 'raftbase',
}

export function namespaceOf(scenario: Scenario): string {
  return `${RUN.operatorNamespace}-${scenario}`
}

/** The deployment that the release makes. */
export const OPERATOR_DEPLOYMENT = `${RUN.release}-operator`
