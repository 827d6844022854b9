// Who is told what happens to clusters, pass by pass: it counts them. Types only.

import type { Gate } from '../api/gates.ts'
import type { ObjectKey } from '../api/kube-object.ts'
import type { RaftClusterStatus } from '../api/raft-cluster.ts'

export interface PassObserver {
  /** Somebody leads; `isChange`: another one than before, or in another term. */
  led(key: ObjectKey, options: { readonly isChange: boolean }): void
  /** `after` is on record in the place of `before`. */
  written(key: ObjectKey, before: RaftClusterStatus, after: RaftClusterStatus): void
  /** The pass kept something waiting because of it. */
  denied(gate: Gate): void
  /** It does not exist any more, or another one has its name. */
  forget(key: ObjectKey): void
}
