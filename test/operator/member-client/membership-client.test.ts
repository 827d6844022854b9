// Changes of the membership over real HTTP: what is asked, what the answers mean, and that nothing leaves a process that
// does not lead.

import { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemTimers } from '../../../lib/clock.ts'
import type { ChangeRequest } from '../../../operator/src/member-client/member-client.ts'
import { MembershipClient } from '../../../operator/src/member-client/membership-client.ts'
import { mustLead } from '../../../operator/src/kube/fenced-api.ts'

const A = 'a100000000000000'
const B = 'b200000000000000'

let server: Server
let client: MembershipClient
let leads: boolean
let asked: string[]
let answer: (response: ServerResponse) => void

beforeEach(async () => {
  leads = true
  asked = []
  answer = (response) => response.end('{}')
  server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const fence = () => mustLead({ isLeader: () => leads })
  client = new MembershipClient({
    trust: new MemberTrust(),
    timers: systemTimers,
    mustLead: fence,
    timeoutMs: 500,
  })
})

afterEach(async () => {
  client.close()
  server.closeAllConnections()
  await new Promise<void>((resolve) => server.close(() => resolve()))
})

async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  asked.push(`${request.method} ${request.url} ${body}`.trim())
  answer(response)
}

function change(request: ChangeRequest) {
  const { port } = server.address() as AddressInfo
  const { signal } = new AbortController()
  return client.change(`http://127.0.0.1:${port}`, request, { expectedEpoch: 7, signal })
}

function problem(status: number, fields: object): (response: ServerResponse) => void {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify(fields))
  }
}

test.each([
  [
    { type: 'add', name: 'demo-3', incarnation: 2, peerUrls: ['http://demo-3:2380'] },
    'POST /cluster/members?timeout=5s&expectedEpoch=7 {"name":"demo-3","incarnation":2,"peerUrls":["http://demo-3:2380"]}',
  ],
  [
    { type: 'promote', ids: [A, B] },
    `POST /cluster/members/${A}/promote?timeout=5s&expectedEpoch=7 {"together":["${B}"]}`,
  ],
  [{ type: 'remove', id: A }, `DELETE /cluster/members/${A}?timeout=5s&expectedEpoch=7`],
  [
    { type: 'replace', removed: A, promoted: B },
    `POST /cluster/members/${A}/replace?timeout=5s&expectedEpoch=7 {"by":"${B}"}`,
  ],
  [{ type: 'finalize', level: 3 }, 'POST /cluster/finalize?timeout=5s&expectedEpoch=7 {"level":3}'],
  [{ type: 'transfer', target: 'demo-1' }, 'POST /cluster/leader?timeout=5s {"target":"demo-1"}'],
] satisfies [ChangeRequest, string][])('%j is asked as the API has it', async (request, line) => {
  expect(await change(request)).toEqual({ kind: 'done' })
  expect(asked).toEqual([line])
})

test('a refusal comes back with its code and reason', async () => {
  const fields = { code: 'MEMBERSHIP_CONFLICT', detail: 'used up', reason: 'removed' }
  answer = problem(409, { ...fields, outcome: 'notApplied' })
  expect(await change({ type: 'remove', id: A })).toEqual({ kind: 'refused', ...fields })
})

test.each([
  ['an outcome nobody knows', problem(504, { code: 'OUTCOME_UNKNOWN', outcome: 'unknown' })],
  ['an answer of something else', problem(502, [])],
  ['a page', (response: ServerResponse) => response.writeHead(500).end('<html>')],
  ['a broken connection', (response: ServerResponse) => void response.destroy()],
  ['silence', () => undefined],
  ['a flood', (response: ServerResponse) => response.end(' '.repeat(300_000))],
])('%s says neither yes nor no', async (_what, answered) => {
  answer = answered
  expect(await change({ type: 'remove', id: A })).toMatchObject({ kind: 'unknown' })
})

test('nothing is asked by a process that does not lead', async () => {
  leads = false
  await expect(change({ type: 'remove', id: A })).rejects.toMatchObject({ code: 'notLeading' })
  expect(asked).toEqual([])
})
