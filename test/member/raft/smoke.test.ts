// The shortest way through the core: three nodes elect, replicate and apply.

import { expect, test } from 'vitest'
import { Cluster } from './cluster.ts'

test('smoke', () => {
  const cluster = new Cluster()
  cluster.elect(1)
  expect(cluster.leader?.number).toBe(1)
  cluster.propose(1, 'a')
  cluster.deliverAll()
  expect(cluster.members.get(3)!.applied).toBe(2)
  cluster.isolated.add(1)
  cluster.tickAll(40)
  expect(cluster.leaders.length).toBe(1)
  cluster.propose(cluster.leader!.number, 'b')
  cluster.deliverAll()
  cluster.heal()
  cluster.tickAll(5)
  expect(cluster.members.get(1)!.applied).toBe(4)
  cluster.checkLogs()
})
