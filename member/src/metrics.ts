// The metrics of everything below the front ends: consensus, log, state, links. Counted where it happens; what is a
// property of the state is read when it is scraped.

import type { Counter, Histogram, Registry } from '../../lib/metrics.ts'
import type { NodeObserver, NodeStatus } from './node/member-node.ts'
import type { TransportMetrics } from './transport/peer-transport.ts'

/** Seconds; powers of two from 0.1 ms, as a flush takes between that and seconds. */
const FLUSH_BOUNDS = [
  0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.1, 0.4, 1.6, 6.4,
]

export interface ObservedMember {
  status(): NodeStatus
  readonly pendingCount: number
  readonly admission: {
    readonly running: number
    readonly runningMax: number
    readonly waiting: number
    readonly refused: number
  }
}

export class NodeMetrics implements NodeObserver {
  readonly transport: TransportMetrics
  readonly #registry: Registry
  readonly #flushSeconds: Histogram
  readonly #writtenBytes: Counter
  readonly #appliedEntries: Counter
  readonly #leaderChanges: Counter

  constructor(registry: Registry) {
    this.#registry = registry
    this.#flushSeconds = registry.histogram({
      name: 'raftbase_wal_flush_seconds',
      help: 'How long a write to the log and its flush took.',
      bounds: FLUSH_BOUNDS,
    })
    this.#writtenBytes = registry.counter({
      name: 'raftbase_wal_written_bytes_total',
      help: 'Bytes of records written to the log.',
    })
    this.#appliedEntries = registry.counter({
      name: 'raftbase_apply_entries_total',
      help: 'Entries applied since the process started.',
    })
    this.#leaderChanges = registry.counter({
      name: 'raftbase_raft_leader_changes_total',
      help: 'How often this member saw another leader.',
    })
    this.transport = transportMetrics(registry)
  }

  flushed(durationMs: number, bytes: number): void {
    this.#flushSeconds.observe(durationMs / 1000)
    this.#writtenBytes.increment(bytes)
  }

  applied(entries: number): void {
    this.#appliedEntries.increment(entries)
  }

  leaderChanged(): void {
    this.#leaderChanges.increment()
  }

  /** Registers what is read from the member at each scrape. */
  observe(member: ObservedMember): void {
    const gauge = (name: string, help: string, read: (status: NodeStatus) => number): void => {
      this.#registry.gaugeFrom({ name, help }, () => read(member.status()))
    }
    gauge('raftbase_raft_current_term', 'The Raft term.', (s) => s.term)
    gauge('raftbase_raft_is_leader_bool', 'Whether this member leads.', (s) =>
      Number(s.role === 'leader'),
    )
    gauge('raftbase_raft_has_leader_bool', 'Whether this member knows a leader.', (s) =>
      Number(s.leader !== undefined),
    )
    gauge(
      'raftbase_raft_committed_index',
      'Newest index known to be committed.',
      (s) => s.committed,
    )
    gauge('raftbase_raft_last_index', 'Newest index of the own log.', (s) => s.lastIndex)
    gauge(
      'raftbase_wal_persisted_index',
      'Newest index that is durable here.',
      (s) => s.persistedIndex,
    )
    gauge(
      'raftbase_wal_snapshot_index',
      'Index of the newest snapshot on disk.',
      (s) => s.snapshotIndex,
    )
    gauge('raftbase_apply_applied_index', 'Newest index that is applied.', (s) => s.applied)
    gauge(
      'raftbase_node_no_space_bool',
      'Whether writes are refused for want of space: the disk is full, or the state has reached its quota.',
      (s) => Number(s.alarms.includes('NOSPACE')),
    )
    gauge('raftbase_mvcc_current_revision', 'Revision of the state.', (s) => s.revision)
    gauge(
      'raftbase_mvcc_compact_revision',
      'Oldest revision that can be read; 0 while all can.',
      (s) => s.compactRevision,
    )
    gauge('raftbase_mvcc_live_keys', 'Keys that exist now.', (s) => s.keyCount)
    gauge(
      'raftbase_mvcc_state_bytes',
      'Memory behind the state, off the heap.',
      (s) => s.stateBytes,
    )
    this.#observeSpace(member)
    gauge('raftbase_transport_connected_peers', 'Peers with both connections open.', (s) => {
      return s.peers.filter((peer) => peer.connected).length
    })
    this.#registry.gaugeFrom(
      { name: 'raftbase_node_pending_requests', help: 'Requests that wait for their outcome.' },
      () => member.pendingCount,
    )
    this.#observeAdmission(member)
  }

  /** Absent where it is not known, or there is no such limit. */
  #observeSpace(member: ObservedMember): void {
    const known = (
      name: string,
      help: string,
      read: (status: NodeStatus) => number | undefined,
    ): void => {
      this.#registry.gaugeFrom({ name, help }, () => {
        const value = read(member.status())
        return value === undefined ? [] : [{ labels: [], value }]
      })
    }
    known('raftbase_node_quota_bytes', 'The space quota in force.', (s) => s.quotaBytes)
    known('raftbase_node_quota_used_bytes', 'What counts against the space quota.', (s) =>
      s.isLogRead ? s.quotaUsedBytes : undefined,
    )
    known(
      'raftbase_node_disk_size_bytes',
      'Size of the file system that the data is on.',
      (s) => s.disk?.sizeBytes,
    )
    known(
      'raftbase_node_disk_free_bytes',
      'Free of the file system that the data is on.',
      (s) => s.disk?.freeBytes,
    )
  }

  #observeAdmission({ admission }: ObservedMember): void {
    const registry = this.#registry
    registry.gaugeFrom(
      {
        name: 'raftbase_admission_running_requests',
        help: 'Requests of clients that are carried out.',
      },
      () => admission.running,
    )
    registry.gaugeFrom(
      {
        name: 'raftbase_admission_running_max_requests',
        help: 'How many may be carried out at a time, as things are.',
      },
      () => admission.runningMax,
    )
    registry.gaugeFrom(
      {
        name: 'raftbase_admission_waiting_requests',
        help: 'Requests of clients that wait for their turn.',
      },
      () => admission.waiting,
    )
    registry.counterFrom(
      {
        name: 'raftbase_admission_refused_requests_total',
        help: 'Requests that were not begun: they waited too long, or too many waited.',
      },
      () => admission.refused,
    )
  }
}

function transportMetrics(registry: Registry): TransportMetrics {
  const counter = (name: string, help: string): Counter => registry.counter({ name, help })
  const sentMessages = counter('raftbase_transport_sent_messages_total', 'Frames written to peers.')
  const sentBytes = counter('raftbase_transport_sent_bytes_total', 'Bytes written to peers.')
  const receivedMessages = counter(
    'raftbase_transport_received_messages_total',
    'Frames read from peers.',
  )
  const receivedBytes = counter('raftbase_transport_received_bytes_total', 'Bytes read from peers.')
  const lostPeers = counter('raftbase_transport_lost_peers_total', 'How often a peer was lost.')
  const dropped = registry.counterFamily({
    name: 'raftbase_transport_dropped_messages_total',
    help: 'Messages that were not sent, by reason.',
    labelNames: ['reason'],
  })
  const refused = registry.counterFamily({
    name: 'raftbase_transport_refused_connections_total',
    help: 'Connections refused or closed for what they sent, by error code.',
    labelNames: ['code'],
  })
  return {
    sent(frames, bytes) {
      sentMessages.increment(frames)
      sentBytes.increment(bytes)
    },
    received(frames, bytes) {
      receivedMessages.increment(frames)
      receivedBytes.increment(bytes)
    },
    dropped: (reason) => dropped.labelled(reason).increment(),
    refused: (code) => refused.labelled(code).increment(),
    peerUp() {},
    peerDown: () => lostPeers.increment(),
  }
}
