// Requests at their limits through real members that listen on every address and are known by name, as they do in
// containers: what is accepted to the byte, by leader and follower alike.

import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const LIMIT_BYTES = 1_572_864

let cluster: ProcessCluster
let leader: MemberProcess
let follower: MemberProcess

beforeAll(async () => {
  cluster = await ProcessCluster.create(3)
  const names = cluster.members.map((m) => `${m.name}=http://localhost:${m.peerPort}`).join(',')
  for (const member of cluster.members) {
    cluster.start(member, [
      ...cluster
        .flags(member)
        .filter((flag) => !/^-(client-url|peer-url|api-addr|initial-cluster)=/.test(flag)),
      `-client-url=http://0.0.0.0:${member.clientPort}`,
      `-peer-url=http://0.0.0.0:${member.peerPort}`,
      `-advertise-client-url=http://localhost:${member.clientPort}`,
      `-advertise-peer-url=http://localhost:${member.peerPort}`,
      `-api-addr=:${member.apiPort}`,
      `-initial-cluster=${names}`,
    ])
  }
  leader = await cluster.agreedLeader({ among: cluster.members })
  follower = cluster.members.find((member) => member !== leader)!
})
afterAll(() => cluster.destroy())

async function nodesOf({ api }: MemberProcess): Promise<object[]> {
  const response = await fetch(`${api}/cluster/nodes`)
  const { nodes } = (await response.json()) as { nodes: Record<string, unknown>[] }
  return nodes.map(({ name, status, clientUrls, peerUrls }) => {
    return { name, status, clientUrls, peerUrls }
  })
}

async function put(member: MemberProcess, key: string, bytes: number) {
  const body = new Uint8Array(bytes)
  for (let i = 0; i < bytes; i += 997) body[i] = i & 0xff
  const response = await fetch(`${member.api}/v1/kv/${key}`, { method: 'PUT', body })
  return {
    status: response.status,
    answer: (await response.json()) as Record<string, unknown>,
    body,
  }
}

describe('members that listen on every address', () => {
  test('find each other by name and tell the names they are known by', async () => {
    const expected = cluster.members.map(({ name, clientPort, peerPort }) => ({
      name,
      status: name === leader.name ? 'leader' : 'follower',
      clientUrls: [`http://localhost:${clientPort}`],
      peerUrls: [`http://localhost:${peerPort}`],
    }))
    for (const member of cluster.members) {
      await eventually(`the names, from ${member.name}`, async () =>
        isDeepStrictEqual(await nodesOf(member), expected) ? true : undefined,
      )
    }
  })
})

describe('a value', () => {
  test.each(['leader', 'follower'])(
    'of exactly 1.5 MiB with its key is written by the %s and comes back from everybody',
    async (role) => {
      const key = `limit-${role}`
      const member = role === 'leader' ? leader : follower
      const { status, answer, body } = await put(member, key, LIMIT_BYTES - key.length)
      expect([status, answer]).toEqual([200, expect.objectContaining({ version: 1 })])
      for (const reader of cluster.members) {
        const response = await fetch(`${reader.api}/v1/kv/${key}`)
        expect(Buffer.compare(new Uint8Array(await response.arrayBuffer()), body)).toBe(0)
      }
    },
  )

  test.each(['leader', 'follower'])(
    'of one byte more is refused by the %s as certainly not done',
    async (role) => {
      const key = `above-${role}`
      const member = role === 'leader' ? leader : follower
      const { status, answer } = await put(member, key, LIMIT_BYTES - key.length + 1)
      expect([status, answer]).toEqual([
        413,
        expect.objectContaining({
          code: 'REQUEST_TOO_LARGE',
          outcome: 'notApplied',
          limitBytes: LIMIT_BYTES,
        }),
      ])
      expect((await fetch(`${member.api}/v1/kv/${key}`)).status).toBe(404)
    },
  )

  test('of the largest size is written by many clients at once through every member', async () => {
    const writes = Array.from({ length: 12 }, async (_, i) => {
      const key = `many-${String(i).padStart(2, '0')}`
      const { status } = await put(cluster.members[i % 3]!, key, LIMIT_BYTES - key.length)
      return status
    })
    expect(new Set(await Promise.all(writes))).toEqual(new Set([200]))
  })
})
