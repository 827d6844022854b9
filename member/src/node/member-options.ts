// What a member is put together from.

import type { Clock, Timers } from '../../../lib/clock.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { Prng } from '../../../lib/prng.ts'
import type { PeerAddress, Transport } from '../transport/transport.ts'
import type { FileSystem } from '../wal/file-system.ts'
import type { DataDirectory } from './data-directory.ts'
import type { InitialMember } from './identity.ts'
import type { NodeObserver } from './member-node.ts'
import type { NodeSettings } from './settings.ts'

export interface MemberOptions {
  /** Locked; released by `stop`, and when `open` rejects. */
  readonly directory: DataDirectory
  /** Whom a cluster that does not exist yet is made of; nobody for a member that joins one. */
  readonly initialMembers: readonly InitialMember[]
  /** Whom a member that joins talks to until they have told it who the members are. */
  readonly joinPeers?: readonly PeerAddress[]
  /** What this member tells the others about itself. */
  readonly attributes: {
    readonly peerUrls: readonly string[]
    readonly clientUrls: readonly string[]
    readonly apiUrls: readonly string[]
    readonly version: string
  }
  readonly settings: NodeSettings
  readonly fs: FileSystem
  readonly transport: Transport
  readonly clock: Clock
  readonly timers: Timers
  readonly prng: Prng
  readonly log: Logger
  readonly metrics?: NodeObserver
  /** Identity of this process: 16 hex digits, new at each start. */
  readonly origin: string
  /** The member must end: the disk failed or an invariant broke. Called at most once. */
  readonly onFailure: (error: unknown) => void
  /** The member was removed from the cluster and takes no further part. Called at most once. */
  readonly onRemoved?: () => void
}
