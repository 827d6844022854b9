// The leader's container dies while clients write: the others elect a new leader, nothing
// acknowledged is lost, and the dead member catches up once it is back (F1, F8; promises 1 and 7).

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { ComposeCluster, type MemberName } from '../support/compose-cluster.ts'
import type { MemberApi } from '../support/member-api.ts'
import { waitFor } from '../support/wait.ts'
import { WriteStream } from '../support/write-stream.ts'

/** Acknowledged writes that make the stream a stream, before and after the fault. */
const WRITES_MIN = 200

let cluster: ComposeCluster

beforeAll(async () => {
  cluster = await ComposeCluster.up()
})

afterAll(async () => {
  await cluster?.down()
})

test('killing the leader under writes elects another, loses nothing acknowledged, and the killed one catches up', async () => {
  onTestFailed(() => cluster.printLogs())
  const killed = await leaderOf(cluster.apis)
  const writes = new WriteStream(cluster.apis, 'failover')
  writes.start()
  await waitForWrites(writes, WRITES_MIN)
  writes.takeLongestGapMs()

  await cluster.kill(killed)
  const survivors = cluster.apis.filter(({ name }) => name !== killed)
  const successor = await waitFor(
    { what: 'a new leader at both published ports', timeoutMs: 15_000 },
    async () => {
      const views = await Promise.all(survivors.map((api) => api.roles()))
      const leader = /(\w+)=leader/.exec(views[0]!)?.[1]
      return new Set(views).size === 1 &&
        leader !== undefined &&
        leader !== killed &&
        views[0]!.includes('=follower')
        ? leader
        : { notYet: views }
    },
  )
  await waitForWrites(writes, writes.acknowledged.size + WRITES_MIN)
  const gapMs = writes.takeLongestGapMs()
  await writes.stop()
  console.info(
    `${killed} killed, ${successor} leads; ${writes.acknowledged.size} writes acknowledged, ${writes.failures} not, ` +
      `${Math.round(gapMs)} ms without an acknowledgement`,
  )
  expect(successor).not.toBe(killed)

  expect(await missing(survivors[0]!, writes.acknowledged, 'linearizable')).toEqual([])

  await cluster.start(killed)
  const returned = cluster.api(killed)
  await waitFor(
    { what: `${killed} to be a follower in everyone's eyes`, timeoutMs: 30_000 },
    async () => {
      const views = await Promise.all(cluster.apis.map((api) => api.roles()))
      return (
        views.every((view) => view.includes(`${killed}=follower`) && view.includes('=leader')) || {
          notYet: views,
        }
      )
    },
  )
  await waitFor({ what: `${killed} to have caught up`, timeoutMs: 30_000 }, async () => {
    const absent = await missing(returned, writes.acknowledged, 'serializable')
    return absent.length === 0 || { notYet: absent.slice(0, 10) }
  })
})

async function leaderOf(apis: readonly MemberApi[]): Promise<MemberName> {
  return waitFor({ what: 'a leader', timeoutMs: 30_000 }, async () => {
    const nodes = await apis[0]!.nodes()
    const leader = nodes.find(({ status }) => status === 'leader')
    return leader === undefined ? { notYet: nodes } : (leader.name as MemberName)
  })
}

async function waitForWrites(writes: WriteStream, count: number): Promise<void> {
  await waitFor({ what: `${count} acknowledged writes`, timeoutMs: 60_000 }, async () =>
    writes.acknowledged.size >= count ? true : { notYet: writes.acknowledged.size },
  )
}

/** Keys whose acknowledged value the member does not return. */
async function missing(
  api: MemberApi,
  acknowledged: ReadonlyMap<string, string>,
  consistency: 'linearizable' | 'serializable',
): Promise<string[]> {
  const absent: string[] = []
  const entries = [...acknowledged]
  for (let i = 0; i < entries.length; i += 16) {
    await Promise.all(
      entries.slice(i, i + 16).map(async ([key, value]) => {
        if ((await api.get(key, consistency)) !== value) absent.push(key)
      }),
    )
  }
  return absent
}
