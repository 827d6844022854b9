// Refusals of the key space: answers, not exceptions. The front ends map the reasons to their own errors.

export type RefusalReason =
  /** The revision is below the compact revision (RNG-11, CPT-1). */
  | 'compacted'
  /** The revision is above the current one. */
  | 'future'
  | 'keyNotProvided'
  | 'keyNotFound'
  | 'valueProvided'
  | 'leaseProvided'
  | 'leaseNotFound'
  | 'tooManyOps'
  | 'duplicateKey'
  | 'invalidSortOption'

export interface Refusal {
  readonly ok: false
  readonly reason: RefusalReason
  /** The store's revisions at the time; 0 where no store was asked. */
  readonly revision: number
  readonly compactRevision: number
}

export function refuse(
  reason: RefusalReason,
  at: { readonly revision: number; readonly compactRevision: number } = NOWHERE,
): Refusal {
  return { ok: false, reason, revision: at.revision, compactRevision: at.compactRevision }
}

const NOWHERE = { revision: 0, compactRevision: 0 } as const
