// What a user would want to read in `kubectl describe`. Recording never fails and never waits: an event that cannot be
// written is counted and dropped, because reconciling matters more than telling about it.

import type { KubeObject } from '../api/kube-object.ts'

export interface RecordedEvent {
  /** The object it is about; needs name, namespace and uid. */
  readonly regarding: KubeObject
  readonly type: 'Normal' | 'Warning'
  /** CamelCase, for programs: `LeaderElected`. */
  readonly reason: string
  /** What was done or tried, CamelCase: `Bootstrap`. */
  readonly action: string
  /** One sentence for people. */
  readonly message: string
  /** Where to read more; kept when the message is cut off. */
  readonly pointer?: string | undefined
  /** Events with the same object, reason and member are written once in ten minutes. */
  readonly member?: string | undefined
}

export interface EventRecorder {
  record(event: RecordedEvent): void
}
