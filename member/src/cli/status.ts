// `raftbase status`: asks a member who the members are, then every member how it is, and prints one table.

import type { Node, Status } from '../rest/contract.ts'
import { runClientCommand } from './client-command.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Command } from './command.ts'
import { type MemberClient, reasonOf } from './member-client.ts'
import { renderTable } from './table.ts'

/** One member as `-o json` shows it; what only the member itself can say is null while it does not answer. */
export interface MemberRow {
  readonly name: string
  readonly id: string
  readonly role: string
  readonly health: 'ok' | 'not ready' | 'unreachable'
  /** Why it is unreachable or not ready; null otherwise. */
  readonly reason: string | null
  readonly term: number | null
  readonly revision: number | null
  readonly applied: number | null
  /** Log entries its state is behind the most advanced of those that answered. */
  readonly lag: number | null
  readonly clientUrls: readonly string[]
  readonly peerUrls: readonly string[]
  readonly apiUrls: readonly string[]
}

/** Returns the exit code. */
export function runStatus(command: Command, argv: readonly string[]): Promise<number> {
  return runClientCommand({
    command,
    argv,
    read: () => undefined,
    run: async (cluster) => {
      const rows = await readRows(cluster)
      return { json: { members: rows }, text: renderRows(rows) }
    },
  })
}

/** Rejects when no endpoint answers; any other member may be silent. */
async function readRows(cluster: ClusterClient): Promise<readonly MemberRow[]> {
  let nodes: readonly Node[]
  try {
    nodes = (await cluster.nodes()).nodes
  } catch (error) {
    const parked = await askEndpoints(cluster)
    if (parked.length === 0) throw error
    return describeMembers(parked)
  }
  const asked = await Promise.all(
    nodes.map(async (node) => ({ node, ...(await ask(cluster.members, node)) })),
  )
  return describeMembers(asked)
}

/** Endpoints that take no part in a cluster, parked or starting: what each says of itself is all there is. */
async function askEndpoints({
  endpoints,
  members,
}: ClusterClient): Promise<readonly (Answer & { readonly node: Node })[]> {
  const asked = await Promise.all(
    endpoints.map(async (url) => {
      try {
        const status = await members.status(url)
        const { name, memberId: id = '', version } = status
        const urls = { peerUrls: [], clientUrls: [], apiUrls: [url] }
        const node: Node = { id, name, status: 'unreachable', version, ...urls }
        return [{ node, status, reason: undefined }]
      } catch {
        // Nobody is there: the caller says so when that is true of all of them.
        return []
      }
    }),
  )
  return asked.flat()
}

interface Answer {
  readonly status: Status | undefined
  readonly reason: string | undefined
}

/** The first of its URLs that answers as this very member: an address may have been given to another one. */
async function ask(client: MemberClient, node: Node): Promise<Answer> {
  let reason = 'has not told its API address'
  for (const url of node.apiUrls) {
    try {
      const status = await client.status(url)
      if (status.memberId === node.id) return { status, reason: undefined }
      reason = `${url} belongs to another member`
    } catch (error) {
      reason = `${url}: ${reasonOf(error)}`
    }
  }
  return { status: undefined, reason }
}

/** Pure: what the endpoint says of each member, completed by what the member says of itself. */
export function describeMembers(
  asked: readonly (Answer & { readonly node: Node })[],
): readonly MemberRow[] {
  const newest = Math.max(0, ...asked.map(({ status }) => status?.committed ?? 0))
  return asked.map(({ node, status, reason }) => ({
    name: node.name,
    id: node.id,
    role: roleOf(status) ?? (node.status === 'unreachable' ? 'unknown' : node.status),
    health: status === undefined ? 'unreachable' : status.ready ? 'ok' : 'not ready',
    reason: reason ?? (status === undefined ? null : whyNotReady(status)),
    term: status?.term ?? null,
    revision: status?.revision ?? null,
    applied: status?.applied ?? null,
    lag: status?.applied === undefined ? null : Math.max(0, newest - status.applied),
    clientUrls: node.clientUrls,
    peerUrls: node.peerUrls,
    apiUrls: node.apiUrls,
  }))
}

/** A member that does not take part has none. */
function roleOf(status: Status | undefined): string | undefined {
  return status?.state === 'parked' ? '-' : status?.role
}

function whyNotReady({ notReadyReason, dataDirectory }: Status): string | null {
  if (notReadyReason !== 'parked') return notReadyReason ?? null
  return `parked (${dataDirectory.state})`
}

export function renderRows(rows: readonly MemberRow[]): string {
  const headings =
    'NAME,ID,ROLE,HEALTH,TERM,REVISION,APPLIED,LAG,CLIENT URL,PEER URL,API URL'.split(',')
  const cells = rows.map((row) => [
    row.name,
    row.id || '-',
    row.role,
    row.health === 'not ready' && row.reason !== null ? `not ready: ${row.reason}` : row.health,
    ...[row.term, row.revision, row.applied, row.lag].map((value) => String(value ?? '-')),
    ...[row.clientUrls, row.peerUrls, row.apiUrls].map((urls) => urls.join(',') || '-'),
  ])
  return renderTable(headings, cells)
}
