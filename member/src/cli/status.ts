// `raftbase status`: asks one member who the members are, then every member how it is, and prints one table.

import { EXIT_CLEAN, EXIT_FAILED } from '../../../lib/exit-codes.ts'
import { parseAdvertiseUrl } from '../address.ts'
import type { Node, Status } from '../rest/contract.ts'
import { oneOf } from '../setting-values.ts'
import { STATUS_SETTINGS } from '../settings.ts'
import { readCommandFlags } from './command-flags.ts'
import { MemberClient, reasonOf } from './member-client.ts'
import { renderTable } from './table.ts'

const ANSWER_TIMEOUT_MS = 2000

/** One member as `-o json` shows it; what only the member itself can say is null while it does not answer. */
export interface MemberRow {
  readonly name: string
  readonly id: string
  readonly role: string
  readonly health: 'ok' | 'not ready' | 'unreachable'
  /** Why it is unreachable; null otherwise. */
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
export async function runStatus(argv: readonly string[]): Promise<number> {
  const read = readCommandFlags('status', STATUS_SETTINGS, argv)
  if ('exitCode' in read) return read.exitCode
  const { flags } = read
  const endpoint = flags.read('endpoint', 'http://127.0.0.1:8080', parseAdvertiseUrl)
  const output = flags.read('output', 'table', oneOf(['table', 'json']))
  const refusal = flags.refusal()
  if (refusal !== undefined) return refusal
  const client = new MemberClient({ timeoutMs: ANSWER_TIMEOUT_MS })
  try {
    const rows = await readRows(client, endpoint)
    process.stdout.write(
      output === 'json' ? `${JSON.stringify({ members: rows }, null, 2)}\n` : renderRows(rows),
    )
    return EXIT_CLEAN
  } catch (error) {
    process.stderr.write(`raftbase status: ${endpoint}: ${reasonOf(error)}\n`)
    return EXIT_FAILED
  } finally {
    client.close()
  }
}

/** Rejects when the endpoint does not answer; any other member may be silent. */
async function readRows(client: MemberClient, endpoint: string): Promise<readonly MemberRow[]> {
  const nodes = await client.nodes(endpoint)
  const asked = await Promise.all(
    nodes.map(async (node) => ({ node, ...(await ask(client, node)) })),
  )
  return describeMembers(asked)
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
    role: status?.role ?? (node.status === 'unreachable' ? 'unknown' : node.status),
    health: status === undefined ? 'unreachable' : status.ready ? 'ok' : 'not ready',
    reason: reason ?? null,
    term: status?.term ?? null,
    revision: status?.revision ?? null,
    applied: status?.applied ?? null,
    lag: status?.applied === undefined ? null : Math.max(0, newest - status.applied),
    clientUrls: node.clientUrls,
    peerUrls: node.peerUrls,
    apiUrls: node.apiUrls,
  }))
}

export function renderRows(rows: readonly MemberRow[]): string {
  const headings =
    'NAME,ID,ROLE,HEALTH,TERM,REVISION,APPLIED,LAG,CLIENT URL,PEER URL,API URL'.split(',')
  const cells = rows.map((row) => [
    row.name,
    row.id,
    row.role,
    row.health,
    ...[row.term, row.revision, row.applied, row.lag].map((value) => String(value ?? '-')),
    ...[row.clientUrls, row.peerUrls, row.apiUrls].map((urls) => urls.join(',') || '-'),
  ])
  return renderTable(headings, cells)
}
