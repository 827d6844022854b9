// What the operator asks a member directly. A member that does not answer is an observation, not an error: nothing here
// throws for it.

import type { Status } from '../../../member/src/rest/contract.ts'

export type MemberAnswer =
  | { readonly kind: 'answered'; readonly status: Status }
  /** `refused`: nothing listens there; `timeout`: no answer in time; `malformed`: an answer that makes no sense. */
  | {
      readonly kind: 'silent'
      readonly reason: 'unresolved' | 'refused' | 'timeout' | 'malformed' | 'failed'
      readonly detail: string
    }

export interface MemberClient {
  /** `GET /v1/status` below `baseUrl`, answered within two seconds or `silent`. Rejects only when `signal` is aborted. */
  status(baseUrl: string, options: { readonly signal: AbortSignal }): Promise<MemberAnswer>
}

/** One member whose status stream is held open. */
export interface FollowedMember {
  readonly name: string
  readonly baseUrl: string
}

/** Streams of `GET /v1/status/stream`, one for each member; an event on one wakes its cluster's worker. */
export interface MemberStreams {
  /** From now on exactly these members of the cluster are followed; an empty list ends all of them. Idempotent. */
  follow(
    cluster: { readonly namespace: string; readonly name: string },
    members: readonly FollowedMember[],
  ): void
}

/** A change of the membership as a member is asked for it. */
export type ChangeRequest =
  | {
      readonly type: 'add'
      readonly name: string
      readonly incarnation: number
      readonly peerUrls: readonly string[]
    }
  | { readonly type: 'promote'; readonly ids: readonly string[] }
  | { readonly type: 'remove'; readonly id: string }
  | { readonly type: 'replace'; readonly removed: string; readonly promoted: string }
  /** Raises the feature level of the cluster. */
  | { readonly type: 'finalize'; readonly level: number }
  /** Of leadership, to the member of this name. */
  | { readonly type: 'transfer'; readonly target: string }

export type ChangeAnswer =
  /** It is in force. */
  | { readonly kind: 'done' }
  /** It did not happen and will not. */
  | {
      readonly kind: 'refused'
      readonly code: string
      readonly detail: string
      readonly reason?: string
    }
  /** It may have happened, or may happen yet. */
  | { readonly kind: 'unknown'; readonly detail: string }

export interface ChangeOptions {
  /** The membership that is meant. A hand-over of leadership has none. */
  readonly expectedEpoch: number
  readonly signal: AbortSignal
}

export interface MembershipCaller {
  /** Fails only when `signal` is aborted, or when this process does not lead. */
  change(baseUrl: string, request: ChangeRequest, options: ChangeOptions): Promise<ChangeAnswer>
}
