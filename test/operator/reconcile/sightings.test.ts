// Asking members: nobody waits for one that hangs, and nobody believes one that is gone.

import { describe, expect, test } from 'vitest'
import type { Status } from '../../../member/src/rest/contract.ts'
import type {
  MemberAnswer,
  MemberClient,
} from '../../../operator/src/member-client/member-client.ts'
import type { PodFacts } from '../../../operator/src/reconcile/observed.ts'
import { Sightings } from '../../../operator/src/reconcile/sightings.ts'
import { ManualTimers } from '../../support/manual-timers.ts'

const POD: PodFacts = {
  name: 'demo-0',
  uid: 'first',
  ordinal: 0,
  ip: '10.0.0.1',
  isTerminating: false,
  container: 'running',
  hasStarted: true,
  restarts: 0,
}

function answered(term: number, name = 'demo-0'): MemberAnswer {
  const status: Status = {
    name,
    version: '0.1.0',
    storageFormatVersion: 1,
    state: 'running',
    startupPhase: 'complete',
    dataDirectory: { state: 'Valid' },
    ready: true,
    alarms: [],
    term,
    members: [],
    peers: [],
    uptimeSeconds: 1,
    residentBytes: 1,
  }
  return { kind: 'answered', status }
}

const TIMEOUT: MemberAnswer = { kind: 'silent', reason: 'timeout', detail: 'no answer in time' }
const REFUSED: MemberAnswer = { kind: 'silent', reason: 'refused', detail: 'ECONNREFUSED' }
const BROKEN: MemberAnswer = { kind: 'silent', reason: 'failed', detail: 'ECONNRESET' }

/** Answers in the order they are given; one that is a promise comes when it does. */
class ScriptedMember implements MemberClient {
  readonly urls: string[] = []
  readonly #answers: (MemberAnswer | Promise<MemberAnswer>)[]

  constructor(answers: readonly (MemberAnswer | Promise<MemberAnswer>)[]) {
    this.#answers = [...answers]
  }

  status(baseUrl: string): Promise<MemberAnswer> {
    this.urls.push(baseUrl)
    return Promise.resolve(this.#answers.shift() ?? TIMEOUT)
  }
}

function scene(...answers: readonly (MemberAnswer | Promise<MemberAnswer>)[]) {
  const time = new ManualTimers()
  const client = new ScriptedMember(answers)
  const sightings = new Sightings({ client, clock: time, timers: time })
  const { signal } = new AbortController()
  const look = async (pod: PodFacts = POD) => (await sightings.look('uid', [pod], signal))[0]!
  return { time, client, look }
}

describe('a member', () => {
  test('that does not answer in time keeps its last report, with its age', async () => {
    const { time, look } = scene(answered(3), TIMEOUT)
    expect(await look()).toMatchObject({ report: { term: 3 }, ageSeconds: 0 })
    time.advance(4000)
    expect(await look()).toMatchObject({
      report: { term: 3 },
      ageSeconds: 4,
      silence: 'timeout, no answer in time',
    })
  })

  test('that hangs holds a pass up for half a second, and its late answer counts in the next', async () => {
    const late = Promise.withResolvers<MemberAnswer>()
    const { time, look } = scene(answered(3), late.promise, TIMEOUT)
    await look()
    const looking = look()
    time.advance(499)
    expect(time.count).toBe(1)
    time.advance(1)
    expect(await looking).toMatchObject({ report: { term: 3 }, silence: 'no answer yet' })
    late.resolve(answered(4))
    await late.promise
    expect(await look()).toMatchObject({ report: { term: 4 } })
    expect(time.count).toBe(0)
  })

  test('that was never heard is given all the time it may take', async () => {
    const late = Promise.withResolvers<MemberAnswer>()
    const { time, look } = scene(late.promise)
    const looking = look()
    time.advance(1900)
    late.resolve(answered(1))
    expect(await looking).toMatchObject({ report: { term: 1 }, ageSeconds: 0 })
  })

  test.each([
    ['whose port is closed', [REFUSED], 'refused, ECONNREFUSED'],
    ['whose connection breaks twice', [BROKEN, BROKEN], 'failed, ECONNRESET'],
    ['in whose place another answers', [answered(9, 'other-0')], 'at its address other-0 answers'],
  ])('%s is not believed any more', async (_what, answers, silence) => {
    const { look } = scene(answered(3), ...answers, TIMEOUT)
    await look()
    expect(await look()).toEqual({ name: 'demo-0', ageSeconds: 0, silence })
    expect(await look()).not.toHaveProperty('report')
  })

  test('whose idle connection was closed is asked again', async () => {
    const { look, client } = scene(BROKEN, answered(3))
    expect(await look()).toMatchObject({ report: { term: 3 } })
    expect(client.urls).toEqual(['http://10.0.0.1:8080', 'http://10.0.0.1:8080'])
  })

  test('in a new pod has no past', async () => {
    const { look } = scene(answered(3), TIMEOUT)
    await look()
    expect(await look({ ...POD, uid: 'second' })).not.toHaveProperty('report')
  })

  test('without an address or a running container is not asked', async () => {
    const { look, client } = scene(answered(3))
    expect(await look({ ...POD, container: 'waiting' })).not.toHaveProperty('report')
    expect(client.urls).toEqual([])
  })

  test('with an address of the other family is asked there', async () => {
    const { look, client } = scene(answered(3))
    await look({ ...POD, ip: 'fd00::1' })
    expect(client.urls).toEqual(['http://[fd00::1]:8080'])
  })
})
