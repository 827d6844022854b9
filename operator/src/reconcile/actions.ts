// What a pass may do, and what a plan consists of. Every action names the object it means by uid, so that a plan made from
// old facts is refused by the API server instead of hitting something else. Types, and how they read in golden files.

import { unreachable } from '../../../lib/assert.ts'
import type { GivenLeafFacts, LeafOrder } from '../api/certificates.ts'
import type { EventReason } from '../api/event-reasons.ts'
import type { Gate } from '../api/gates.ts'
import type { KubeObject, ResourceType } from '../api/kube-object.ts'
import type { RaftClusterStatus } from '../api/raft-cluster.ts'

export type Action =
  | { readonly type: 'addFinalizer' }
  | { readonly type: 'removeFinalizer' }
  /** `create`: there is none. `update`: we want it different. `drift`: somebody else has changed it. */
  | {
      readonly type: 'apply'
      readonly title: string
      readonly resource: ResourceType
      readonly object: KubeObject
      readonly why: 'create' | 'update' | 'drift'
    }
  | {
      readonly type: 'deleteChild'
      readonly title: string
      readonly resource: ResourceType
      readonly name: string
      readonly uid: string
      /** Nothing depends on it: without the right to, it stays. */
      readonly isOptional?: true
    }
  | {
      readonly type: 'labelPod'
      readonly name: string
      readonly uid: string
      readonly labels: Readonly<Record<string, string | null>>
    }
  /** A pod that never will run as it is, or that has to take a new template or volume. */
  | {
      readonly type: 'replacePod'
      readonly name: string
      readonly uid: string
      readonly reason: string
      readonly isRollout?: boolean
    }
  | {
      readonly type: 'annotatePod'
      readonly name: string
      readonly uid: string
      readonly annotations: Readonly<Record<string, string>>
    }
  /** Asked of the leader, and refused by it when the membership is another one by then. */
  | {
      readonly type: 'changeMembership'
      readonly leader: string
      readonly baseUrl: string
      readonly change: MembershipChange
      readonly expectedEpoch: number
    }
  | {
      readonly type: 'writeCertificate'
      readonly secret: string
      readonly order: CertificateOrder
      readonly why: string
      /** The Secret that is written over; absent: there is none. */
      readonly over?: { readonly uid: string; readonly resourceVersion?: string }
    }
  | {
      readonly type: 'scale'
      readonly name: string
      readonly uid: string
      readonly replicas: number
      /** The StatefulSet that the number follows from, where it does. */
      readonly resourceVersion?: string
    }
  | { readonly type: 'deleteClaim'; readonly name: string; readonly uid: string }

/** Keys and certificates are made where the order is carried out: a plan has no secrets. */
export type CertificateOrder =
  /** `from`: the Secret it is taken from instead of being made. */
  | { readonly kind: 'newAuthority'; readonly from?: string }
  | { readonly kind: 'nextAuthority'; readonly wish?: string; readonly from?: string }
  | { readonly kind: 'promoteAuthority' }
  | { readonly kind: 'forgetPrevious' }
  /** `beside`: whom this Secret trusts so far is trusted as well. */
  | { readonly kind: 'leaf'; readonly leaf: LeafOrder; readonly beside?: string }
  | { readonly kind: 'trust'; readonly beside?: string }
  /** What the user gives, as it was judged: `given` says of which Secret, certificate and authorities. */
  | { readonly kind: 'givenLeaf'; readonly given: GivenLeafFacts; readonly beside?: string }
  | { readonly kind: 'givenTrust'; readonly given: GivenLeafFacts; readonly beside?: string }

/** Ids say who is meant, names are for people. */
export type MembershipChange =
  /** A learner. The incarnation is the first to try: one that was used is refused, and the next is tried. */
  | {
      readonly type: 'add'
      readonly name: string
      readonly incarnation: number
      readonly peerUrls: readonly string[]
    }
  | {
      readonly type: 'promote'
      readonly names: readonly string[]
      readonly ids: readonly string[]
    }
  | { readonly type: 'remove'; readonly name: string; readonly id: string }
  | {
      readonly type: 'replace'
      readonly name: string
      readonly removed: string
      readonly promoted: string
    }
  /** What an older version would not understand may be used from then on. */
  | { readonly type: 'finalize'; readonly level: number }
  | { readonly type: 'transfer'; readonly target: string }

export interface PlannedEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: EventReason
  readonly action: string
  readonly message: string
  /** The member it is about; its pod gets the event too. */
  readonly member?: string
  /** What tells it from the one before of the same reason and member, which is not repeated for some minutes. */
  readonly occasion?: string
}

export type Next =
  | { readonly kind: 'wait'; readonly seconds: number; readonly reason: string }
  | { readonly kind: 'done' }

export interface Plan {
  /** Written before the first action: what it latches has to be on record before anything follows from it. */
  readonly status: RaftClusterStatus
  readonly events: readonly PlannedEvent[]
  /** In order; the first that fails ends the pass. */
  readonly actions: readonly Action[]
  readonly next: Next
  /** What kept something waiting that was to be done. */
  readonly denied?: Gate
}

/** What a step has to say. Steps run in their order until one stops. */
export interface StepResult {
  readonly actions: readonly Action[]
  readonly stop?: Next
}

export function act(...actions: readonly Action[]): StepResult {
  return { actions }
}

export function stop(seconds: number, reason: string, actions: readonly Action[] = []): StepResult {
  return { actions, stop: { kind: 'wait', seconds, reason } }
}

export const NOTHING: StepResult = { actions: [] }

/** One line for logs and golden files. */
export function describeAction(action: Action): string {
  switch (action.type) {
    case 'addFinalizer':
      return 'add the finalizer'
    case 'removeFinalizer':
      return 'remove the finalizer'
    case 'apply':
      return `${action.why} ${action.title} ${action.object.metadata.name}`
    case 'deleteChild':
      return `delete ${action.title} ${action.name}`
    case 'labelPod':
      return `label pod ${action.name} ${describeLabels(action.labels)}`
    case 'replacePod':
      return `replace pod ${action.name}: ${action.reason}`
    case 'annotatePod':
      return `annotate pod ${action.name} ${describeLabels(action.annotations)}`
    case 'changeMembership':
      return `ask ${action.leader} to ${describeChange(action.change)} (epoch ${action.expectedEpoch})`
    case 'writeCertificate':
      return `write ${action.order.kind} into Secret ${action.secret}: ${action.why}`
    case 'scale':
      return `scale StatefulSet ${action.name} to ${action.replicas}`
    case 'deleteClaim':
      return `delete volume claim ${action.name}`
    default:
      return unreachable(action)
  }
}

export function describeChange(change: MembershipChange): string {
  switch (change.type) {
    case 'add':
      return `add ${change.name} as a learner`
    case 'promote':
      return `give ${change.names.join(' and ')} a vote`
    case 'remove':
      return `remove ${change.name}`
    case 'replace':
      return `put the new ${change.name} in the place of the old one`
    case 'finalize':
      return `raise the feature level to ${change.level}`
    case 'transfer':
      return `hand leadership to ${change.target}`
    default:
      return unreachable(change)
  }
}

function describeLabels(labels: Readonly<Record<string, string | null>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value ?? '(none)'}`)
    .join(' ')
}
