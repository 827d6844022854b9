// Renders what the core traces as log lines: one per change of state, constant messages, everything variable in fields.

import { unreachable } from '../../../lib/assert.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import type { Logger } from '../../../lib/logger.ts'
import type { TraceEvent } from '../raft/trace.ts'

/** Throws WAL_CORRUPT for the one event after which a member must not go on (promise 5 of the fault contract). */
export function logTrace(log: Logger, event: TraceEvent): void {
  switch (event.type) {
    case 'roleChanged': {
      const { from, to, term, reason } = event
      // A pre-vote changes nothing that others see; a follower that keeps asking would fill the log.
      if (to === 'preCandidate' || from === 'preCandidate')
        log.debug({ from, to, term, reason }, 'role changed')
      else log.info({ from, to, term, reason }, 'role changed')
      return
    }
    case 'leaderChanged': {
      const { leader, term } = event
      if (leader === undefined) log.info({ term }, 'leader lost')
      else log.info({ leader, term }, 'leader elected')
      return
    }
    case 'voteCast': {
      const { candidate, term, granted, reason } = event
      log.info({ candidate, term, granted, reason }, 'vote cast')
      return
    }
    case 'preVoteCast': {
      const { candidate, term, granted, reason } = event
      log.debug({ candidate, term, granted, reason }, 'pre-vote cast')
      return
    }
    case 'conflictTruncated':
      log.info({ from: event.from, to: event.to }, 'conflicting log tail cut')
      return
    case 'confChanged':
      log.info({ index: event.index, ...event.confState }, 'membership changed')
      return
    case 'logLost': {
      const { acknowledged, lastIndex } = event
      throw new RaftbaseError('WAL_CORRUPT', 'the log ends before what this member acknowledged', {
        details: { acknowledged, lastIndex },
      })
    }
    case 'snapshotNeeded':
      log.info({ peer: event.peer, index: event.snapshot.index }, 'peer needs a snapshot')
      return
    case 'snapshotRestored':
      log.info({ index: event.snapshot.index, term: event.snapshot.term }, 'snapshot accepted')
      return
    case 'snapshotIgnored':
      log.info({ index: event.snapshot.index, reason: event.reason }, 'snapshot ignored')
      return
    case 'transferStarted':
      log.info({ target: event.target }, 'leadership transfer started')
      return
    case 'transferAborted':
      log.warn({ target: event.target, reason: event.reason }, 'leadership transfer aborted')
      return
    default:
      unreachable(event)
  }
}
