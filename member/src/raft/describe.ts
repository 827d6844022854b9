// Stable text for what the core hands out: one line each, for golden scripts and for debugging. Not for logs of a running
// member, which renders trace events as fields.

import { unreachable } from '../../../lib/assert.ts'
import type { LocalMessage, Message, MsgVote, MsgVoteResp, PeerMessage } from './message.ts'
import type { TraceEvent } from './trace.ts'
import type { ConfChange, ConfState, Entry, MemberId } from './types.ts'

/** How a member is called; the default is its id without leading zeros. */
export type NameOf = (id: MemberId) => string

export function shortName(id: MemberId): string {
  return id.replace(/^0+(?=.)/, '')
}

/** `3>1 MsgAppResp term=2 index=7`. Fields that say nothing are left out. */
export function describeMessage(message: Message, nameOf: NameOf = shortName): string {
  const { type, from, to } = message
  const head = `${nameOf(from)}>${nameOf(to)} ${type}`
  if (type === 'MsgUnreachable' || type === 'MsgSnapStatus') return head + describeLocal(message)
  return `${head} term=${message.term}${describeBody(message, nameOf)}`
}

function describeLocal(message: LocalMessage): string {
  return message.type === 'MsgSnapStatus' && message.reject ? ' reject' : ''
}

function describeBody(message: PeerMessage, nameOf: NameOf): string {
  switch (message.type) {
    case 'MsgApp': {
      const { prevIndex, prevTerm, entries, commit } = message
      const list = entries.map((entry) => describeEntry(entry, nameOf)).join(', ')
      const after = ` after=${prevIndex}/${prevTerm} commit=${commit}`
      return entries.length === 0 ? after : `${after} entries=[${list}]`
    }
    case 'MsgAppResp': {
      const { index, reject, hintIndex, hintTerm } = message
      return ` index=${index}${reject ? ` reject hint=${hintIndex}/${hintTerm}` : ''}`
    }
    case 'MsgVote':
    case 'MsgPreVote': {
      const { lastIndex, lastTerm, transfer } = message
      return ` last=${lastIndex}/${lastTerm}${transfer ? ' transfer' : ''}${describeKnown(message)}`
    }
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
      return (message.reject ? ' reject' : ' grant') + describeKnown(message)
    case 'MsgHeartbeat':
      return ` commit=${message.commit}${describeContext(message.context)}`
    case 'MsgHeartbeatResp':
    case 'MsgReadIndex':
      return describeContext(message.context)
    case 'MsgReadIndexResp':
      return (
        describeContext(message.context) + (message.reject ? ' reject' : ` index=${message.index}`)
      )
    case 'MsgSnap': {
      const { index, term, confState } = message.snapshot
      return ` snapshot=${index}/${term} ${describeConfState(confState, nameOf)}`
    }
    case 'MsgTimeoutNow':
    case 'MsgTermNotice':
      return ''
    default:
      return unreachable(message)
  }
}

function describeKnown({ commit, commitTerm }: MsgVote | MsgVoteResp): string {
  return commit === 0 ? '' : ` commit=${commit}/${commitTerm}`
}

function describeContext(context: string): string {
  return context === '' ? '' : ` context=${context}`
}

/** `7/2 "text"`, `7/2 empty` or `7/2 addVoter(4)`: index, term and what it holds. */
export function describeEntry(entry: Entry, nameOf: NameOf = shortName): string {
  const { index, term, data, change } = entry
  const position = `${index}/${term}`
  if (change !== undefined) return `${position} ${describeConfChange(change, nameOf)}`
  return `${position} ${data.length === 0 ? 'empty' : describeData(data)}`
}

/** Printable ASCII in quotes, anything else by its length. */
function describeData(data: Uint8Array): string {
  let text = ''
  for (const byte of data) {
    if (byte < 0x20 || byte > 0x7e) return `${data.length} bytes`
    text += String.fromCharCode(byte)
  }
  return `"${text}"`
}

export function describeConfChange(change: ConfChange, nameOf: NameOf = shortName): string {
  if (change.changes.length === 0) return 'leaveJoint'
  const list = change.changes.map(({ type, memberId }) => `${type}(${nameOf(memberId)})`).join(' ')
  return change.transition === 'auto' ? list : `${list} ${change.transition}`
}

/** `voters=1,2,3`, with what else is not empty. */
export function describeConfState(confState: ConfState, nameOf: NameOf = shortName): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState
  const parts = [
    ['voters', voters],
    ['outgoing', votersOutgoing],
    ['learners', learners],
    ['learnersNext', learnersNext],
  ] as const
  const lists = parts
    .filter(([name, ids]) => name === 'voters' || ids.length > 0)
    .map(([name, ids]) => `${name}=${ids.map(nameOf).join(',')}`)
  return lists.join(' ') + (autoLeave ? ' autoLeave' : '')
}

/** What happened, in one line. */
export function describeTrace(event: TraceEvent, nameOf: NameOf = shortName): string {
  switch (event.type) {
    case 'roleChanged':
      return `${event.from} -> ${event.to} term=${event.term} reason=${event.reason}`
    case 'leaderChanged': {
      const leader = event.leader === undefined ? 'none' : nameOf(event.leader)
      return `leader=${leader} term=${event.term}`
    }
    case 'voteCast':
    case 'preVoteCast': {
      const { candidate, term, granted, reason } = event
      const kind = event.type === 'voteCast' ? 'vote' : 'pre-vote'
      return `${kind} ${granted ? 'for' : 'refused to'} ${nameOf(candidate)} term=${term} reason=${reason}`
    }
    case 'conflictTruncated':
      return `cut entries ${event.from} to ${event.to}`
    case 'confChanged':
      return `membership at ${event.index}: ${describeConfState(event.confState, nameOf)}`
    case 'logLost':
      return `log lost: ends at ${event.lastIndex}, acknowledged to ${event.acknowledged}`
    case 'snapshotNeeded':
      return `${nameOf(event.peer)} needs snapshot ${event.snapshot.index}/${event.snapshot.term}`
    case 'snapshotRestored':
      return `restored snapshot ${event.snapshot.index}/${event.snapshot.term}`
    case 'snapshotIgnored':
      return `ignored snapshot ${event.snapshot.index}/${event.snapshot.term} reason=${event.reason}`
    case 'transferStarted':
      return `transfer to ${nameOf(event.target)} started`
    case 'transferAborted':
      return `transfer to ${nameOf(event.target)} aborted reason=${event.reason}`
    default:
      return unreachable(event)
  }
}
