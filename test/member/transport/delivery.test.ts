// Messages between real transports on loopback: order, batching, bounds.

import { expect, test } from 'vitest'
import {
  addressOf,
  heartbeat,
  introduce,
  memberId,
  startCluster,
  startMember,
  until,
} from './harness.ts'

test('messages arrive once each, in the order sent, with the identity of the connection', async () => {
  const [a, b] = await startCluster(2)
  const count = 2000
  for (let i = 0; i < count; i++) {
    a!.transport.send([heartbeat({ from: a!.id, to: b!.id }, i)])
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => b!.handler.messages.length >= count, 'all messages')
  expect(b!.handler.messages.map((m) => (m.type === 'MsgHeartbeat' ? m.commit : -1))).toEqual(
    Array.from({ length: count }, (_, i) => i),
  )
  expect(new Set(b!.handler.messages.map((m) => `${m.from} ${m.to}`))).toEqual(
    new Set([`${a!.id} ${b!.id}`]),
  )
  expect(a!.drops).toEqual([])
})
