// What `raftbase dev` knows of its cluster, and when that is worth a table: pure.

import type { Status } from '../rest/contract.ts'
import type { PlannedMember } from './dev-plan.ts'
import { renderTable } from './table.ts'

/** One member as it was seen last: its own words, `silent` (running but without an answer) or `down` (ended). */
export interface MemberView {
  readonly plan: PlannedMember
  readonly seen: Status | 'silent' | 'down'
}

export interface Leadership {
  /** Name of the leader. */
  readonly leader: string
  /** Whether every member that has not ended follows it. */
  readonly isAgreed: boolean
}

/** The leader of the highest term; undefined while there is none. A deposed leader that has not noticed does not count. */
export function findLeadership(views: readonly MemberView[]): Leadership | undefined {
  const answered = views.flatMap(({ plan, seen }) =>
    typeof seen === 'string' ? [] : [{ name: plan.name, status: seen }],
  )
  const term = Math.max(...answered.map(({ status }) => status.term ?? 0))
  const leader = answered.find(({ status }) => status.role === 'leader' && status.term === term)
  if (leader === undefined) return undefined
  const { memberId } = leader.status
  const isAgreed = views.every(
    ({ seen }) => seen === 'down' || (seen !== 'silent' && seen.leader === memberId),
  )
  return { leader: leader.name, isAgreed }
}

export function renderViews(views: readonly MemberView[], leadership: Leadership): string {
  const headings = 'NAME,ROLE,CLIENT URL,PEER URL,API URL,DATA DIRECTORY'.split(',')
  const rows = views.map((view) => {
    const { name, clientUrl, peerUrl, apiUrl, shownDataDir } = view.plan
    return [name, roleOf(view, leadership), clientUrl, peerUrl, apiUrl, shownDataDir]
  })
  return renderTable(headings, rows)
}

function roleOf({ plan, seen }: MemberView, { leader }: Leadership): string {
  if (typeof seen === 'string') return seen
  // A deposed leader may not know it yet.
  if (seen.role === 'leader' && plan.name !== leader) return 'follower'
  return seen.role ?? seen.state
}
