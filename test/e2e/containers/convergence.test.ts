// Three members in containers agree: one leader, the same one whomever one asks, and the same data.

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { ComposeCluster, MEMBER_NAMES } from '../support/compose-cluster.ts'
import { waitFor } from '../support/wait.ts'

let cluster: ComposeCluster

beforeAll(async () => {
  cluster = await ComposeCluster.up()
})

afterAll(async () => {
  await cluster?.down()
})

test('three members started together agree on one leader at every published port', async () => {
  onTestFailed(() => cluster.printLogs())
  const roles = await waitFor(
    { what: 'one leader and two followers everywhere', timeoutMs: 30_000 },
    async () => {
      const views = await Promise.all(cluster.apis.map((api) => api.roles()))
      const agreed = new Set(views).size === 1 && /^[^ ]+=\w+ [^ ]+=\w+ [^ ]+=\w+$/.test(views[0]!)
      return agreed && !views[0]!.includes('unreachable') ? views[0]! : { notYet: views }
    },
  )
  const statuses = roles.split(' ').map((part) => part.split('=')[1]!)
  expect(statuses.toSorted()).toEqual(['follower', 'follower', 'leader'])
})

test('each member advertises the names the others reach it by, and says it is alive and ready', async () => {
  onTestFailed(() => cluster.printLogs())
  for (const api of cluster.apis) {
    const nodes = await api.nodes()
    expect(nodes.map(({ name }) => name).toSorted()).toEqual([...MEMBER_NAMES])
    for (const { name, peerUrls, clientUrls } of nodes) {
      expect({ peerUrls, clientUrls }).toEqual({
        peerUrls: [`http://${name}:2380`],
        clientUrls: [`http://${name}:2379`],
      })
    }
    expect(await api.text('/healthz')).toEqual({ status: 200, body: 'ok' })
    expect((await api.text('/readyz')).status).toBe(200)
  }
})

test('a value written through one member is read through every other at once', async () => {
  onTestFailed(() => cluster.printLogs())
  for (const writer of cluster.apis) {
    const key = `convergence/${writer.name}`
    expect(await writer.put(key, `from ${writer.name}`, 5_000)).toBe(true)
    const values = await Promise.all(cluster.apis.map((api) => api.get(key, 'linearizable')))
    expect(values).toEqual(MEMBER_NAMES.map(() => `from ${writer.name}`))
  }
})

test('a stopped cluster ends by itself, without a kill', async () => {
  onTestFailed(() => cluster.printLogs())
  await cluster.stop()
  const codes = await Promise.all(MEMBER_NAMES.map((name) => cluster.exitCode(name)))
  expect(codes).toEqual([0, 0, 0])
})
