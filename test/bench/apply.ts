// What applying one committed put costs, decoding and store included: `node test/bench/apply.ts`. Nanoseconds of this
// thread's CPU per put.

import { StateMachine } from '../../member/src/apply/state-machine.ts'
import { encodeRequest } from '../../member/src/apply/request.ts'

const PUTS = 100_000
const BATCHES = 10
const value = Buffer.alloc(256, 7)

function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

function requests(keyOf: (i: number) => string): Uint8Array[] {
  return Array.from({ length: PUTS }, (_, i) =>
    encodeRequest({
      origin: '8f3c6a5be2d10977',
      sequence: i + 1,
      request: { type: 'put', key: Buffer.from(keyOf(i).padEnd(32, '.')), value },
    }),
  )
}

function measure(name: string, keyOf: (i: number) => string): void {
  const confState = {
    voters: [],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  const machine = new StateMachine({ members: [], confState })
  const entries = requests(keyOf)
  const figures: number[] = []
  const size = PUTS / BATCHES
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = threadMs()
    for (let i = batch * size; i < (batch + 1) * size; i++) {
      machine.applyNormal(i + 1, 1, entries[i]!)
    }
    figures.push(((threadMs() - start) * 1e6) / size)
  }
  const sorted = figures.toSorted((a, b) => a - b)
  const middle = sorted[BATCHES >> 1]!.toFixed(0)
  console.log(`| ${name} | ${middle} | ${sorted[0]!.toFixed(0)} | ${sorted.at(-1)!.toFixed(0)} |`)
}

console.log('| 32 B key, 256 B value | median ns | best | worst |')
console.log('| --- | --- | --- | --- |')
measure('new keys in order', (i) => `/k/${String(i).padStart(9, '0')}`)
measure('new keys in any order', (i) => `/k/${String((i * 7919) % 100_003).padStart(9, '0')}`)
measure('1000 keys rewritten', (i) => `/k/${(i * 7919) % 1000}`)
