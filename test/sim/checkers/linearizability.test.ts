// The checker against brute force on small random histories, against histories whose verdict is known, and for speed.

import { describe, expect, test } from 'vitest'
import { SeededPrng } from '../../../lib/prng.ts'
import { bruteForce } from './brute-force.ts'
import {
  describeOperation,
  History,
  type Operation,
  type Outcome,
  type Request,
  type Response,
} from './history.ts'
import { checkLinearizable } from './linearizability.ts'
import { PERTURBATIONS, type Perturbation, randomHistory } from './random-history.ts'

/** One random small history, the same for the same seed. */
function smallHistory(
  seed: number,
  perturbation: Perturbation,
  keys: number,
): readonly Operation[] {
  const prng = new SeededPrng(seed)
  return randomHistory({
    prng,
    operations: 3 + prng.next(5),
    clients: 1 + prng.next(4),
    keys,
    unknownOneIn: prng.next(2) === 0 ? 0 : 3,
    perturbation,
  })
}

function show(operations: readonly Operation[]): string {
  return operations.map(describeOperation).join('\n')
}

describe('against brute force', () => {
  for (const perturbation of PERTURBATIONS) {
    test(`gives the same verdict on 1,500 small histories of one key (${perturbation})`, () => {
      let accepted = 0
      for (let seed = 0; seed < 1500; seed++) {
        const operations = smallHistory(seed, perturbation, 1)
        const expected = bruteForce(operations)
        const verdict = checkLinearizable(operations)
        expect(verdict.accepted, `seed ${seed}\n${show(operations)}`).toBe(expected)
        accepted += Number(expected)
      }
      // Both verdicts occur, or none of this would show anything.
      const [least, most] = perturbation === 'none' ? [1500, 1500] : [150, 1425]
      expect(accepted).toBeGreaterThanOrEqual(least)
      expect(accepted).toBeLessThanOrEqual(most)
    })
  }

  test('gives the same verdict on 3,000 small histories of two keys with every outcome known', () => {
    for (let seed = 0; seed < 3000; seed++) {
      const perturbation = PERTURBATIONS[seed % PERTURBATIONS.length]!
      const prng = new SeededPrng(seed)
      const operations = randomHistory({
        prng,
        operations: 3 + prng.next(4),
        clients: 1 + prng.next(4),
        keys: 2,
        unknownOneIn: 0,
        perturbation,
      })
      const verdict = checkLinearizable(operations)
      expect(verdict.accepted, `seed ${seed}\n${show(operations)}`).toBe(bruteForce(operations))
    }
  })

  test('never refuses a history of two keys with unknown outcomes that brute force explains', () => {
    for (let seed = 0; seed < 3000; seed++) {
      const operations = smallHistory(seed, PERTURBATIONS[seed % PERTURBATIONS.length]!, 2)
      if (!bruteForce(operations)) continue
      const verdict = checkLinearizable(operations)
      expect(verdict.accepted, `seed ${seed}\n${show(operations)}`).toBe(true)
    }
  })
})

/** Builds a history from lines: each starts or ends one operation, in this order. */
class Story {
  readonly #history = new History()
  readonly #ids = new Map<string, number>()

  start(name: string, request: Request): this {
    this.#ids.set(
      name,
      this.#history.invoke({ client: name, via: 'n1', request, nowMs: this.#ids.size }),
    )
    return this
  }

  end(name: string, response: Response | 'failed' | 'unknown'): this {
    const outcome: Outcome =
      typeof response === 'string' ? { type: response, detail: '' } : { type: 'done', response }
    this.#history.end(this.#ids.get(name)!, outcome, this.#ids.size)
    return this
  }

  /** A whole operation by itself. */
  whole(name: string, request: Request, response: Response | 'failed' | 'unknown'): this {
    return this.start(name, request).end(name, response)
  }

  verdict(): string {
    const verdict = checkLinearizable(this.#history.operations)
    return verdict.accepted ? 'accepted' : verdict.explanation
  }
}

const put = (value: string, key = 'x'): Request => ({ type: 'put', key, value })
const get = (key = 'x'): Request => ({ type: 'get', key })
const remove = (key = 'x'): Request => ({ type: 'delete', key })
const written = (revision: number, version = 1, createRevision = revision): Response => ({
  type: 'put',
  revision,
  version,
  createRevision,
})
const read = (
  revision: number,
  kv?: [value: string, mod: number, version?: number, create?: number],
): Response => ({
  type: 'get',
  revision,
  kv:
    kv === undefined
      ? undefined
      : {
          value: kv[0],
          modRevision: kv[1],
          version: kv[2] ?? 1,
          createRevision: kv[3] ?? kv[1],
        },
})
const removed = (revision: number, deleted = 1): Response => ({
  type: 'delete',
  revision,
  deleted,
})

describe('histories that one store can have given', () => {
  test('an unknown put takes effect long after its client gave up', () => {
    const story = new Story()
      .whole('a', put('1'), 'unknown')
      .whole('b', get(), read(1))
      .whole('c', put('2'), written(2))
      .whole('d', get(), read(2, ['2', 2]))
      .whole('e', get(), read(3, ['1', 3, 2, 2]))
    expect(story.verdict()).toBe('accepted')
  })

  test('an unknown put never takes effect', () => {
    const story = new Story()
      .whole('a', put('1'), 'unknown')
      .whole('b', put('2'), written(2))
      .whole('c', get(), read(9, ['2', 2]))
    expect(story.verdict()).toBe('accepted')
  })

  test('an unknown put nobody read explains a version', () => {
    const story = new Story()
      .whole('a', put('1'), written(2))
      .whole('b', put('2'), 'unknown')
      .whole('c', put('3'), written(4, 3, 2))
    expect(story.verdict()).toBe('accepted')
  })

  test('an unknown delete explains a key that starts anew', () => {
    const story = new Story()
      .whole('a', put('1'), written(2))
      .whole('b', remove(), 'unknown')
      .whole('c', get(), read(2, ['1', 2]))
      .whole('d', put('2'), written(4))
      .whole('e', remove(), removed(5))
      .whole('f', remove(), removed(5, 0))
    expect(story.verdict()).toBe('accepted')
  })

  test('reads that overlap a put see it or not', () => {
    const story = new Story()
      .start('a', put('1'))
      .whole('b', get(), read(1))
      .whole('c', get(), read(2, ['1', 2]))
      .end('a', written(2))
    expect(story.verdict()).toBe('accepted')
  })

  test('a serializable read is old', () => {
    const story = new Story()
      .whole('a', put('1'), written(2))
      .whole('b', put('2'), written(3, 2, 2))
      .whole('c', { type: 'get', key: 'x', serializable: true }, read(2, ['1', 2]))
      .whole('d', { type: 'get', key: 'x', serializable: true }, read(1))
    expect(story.verdict()).toBe('accepted')
  })
})

describe('histories that no store can have given', () => {
  const first = (): Story => new Story().whole('a', put('1'), written(2))
  const cases: [name: string, story: Story, says: string][] = [
    ['an acknowledged put is gone', first().whole('b', get(), read(3)), 'misses a write'],
    [
      'a read is old',
      first()
        .whole('b', put('2'), written(3, 2, 2))
        .whole('c', get(), read(2, ['1', 2])),
      'older',
    ],
    [
      'a value comes back',
      first()
        .start('b', put('2'))
        .whole('c', get(), read(3, ['2', 3, 2, 2]))
        .whole('d', get(), read(3, ['1', 2]))
        .end('b', written(3, 2, 2)),
      'misses a write',
    ],
    [
      'a value comes back that was unknown',
      first()
        .whole('b', put('2'), 'unknown')
        .whole('c', get(), read(3, ['2', 3, 2, 2]))
        .whole('d', get(), read(3, ['1', 2])),
      'not linearizable',
    ],
    [
      'a failed put took effect',
      first()
        .whole('b', put('2'), 'failed')
        .whole('c', get(), read(3, ['2', 3, 2, 2])),
      'failed took effect',
    ],
    ['a value nobody put', first().whole('b', get(), read(3, ['9', 3, 2, 2])), 'nobody put'],
    [
      'a put took effect twice',
      first().whole('b', get(), read(3, ['1', 3, 2, 2])),
      'at two revisions',
    ],
    ['two writes share a revision', first().whole('b', put('1', 'y'), written(2)), 'older'],
    [
      'two concurrent writes share a revision',
      new Story().start('a', put('1')).whole('b', put('1', 'y'), written(2)).end('a', written(2)),
      'two writes of one revision',
    ],
    ['another key goes back', first().whole('b', get('y'), read(1)), 'older'],
    ['a version is skipped', first().whole('b', put('2'), written(3, 3, 2)), 'not linearizable'],
    ['a delete finds nothing', first().whole('b', remove(), removed(2, 0)), 'not linearizable'],
    ['a delete takes no revision', first().whole('b', remove(), removed(2)), 'older'],
    [
      'a deleted key is read',
      first()
        .whole('b', remove(), removed(3))
        .whole('c', get(), read(3, ['1', 2])),
      'misses a write',
    ],
    [
      'a read from before the put began',
      new Story().whole('a', get(), read(2, ['1', 2])).whole('b', put('1'), 'unknown'),
      'before it was put',
    ],
    [
      'a serializable read misses what its revision has',
      first()
        .whole('b', put('2'), written(3, 2, 2))
        .whole('c', { type: 'get', key: 'x', serializable: true }, read(3, ['1', 2])),
      'misses a write',
    ],
    [
      'a serializable read invents',
      first().whole('b', { type: 'get', key: 'x', serializable: true }, read(3, ['7', 3])),
      'nobody put',
    ],
    ['equal values', first().whole('b', put('1'), written(3, 2, 2)), 'equal values'],
  ]
  test.each(cases)('%s', (_name, story, says) => {
    expect(story.verdict()).toContain(says)
  })
})

describe('speed', () => {
  test.each([
    ['ten keys', 10, 0],
    ['one key', 1, 0],
    ['ten keys, one in ten unknown', 10, 10],
    ['one key, one in twenty unknown', 1, 20],
  ])(
    '10,000 operations of 50 clients take at most a second of processor time: %s',
    (_, keys, unknownOneIn) => {
      const operations = randomHistory({
        prng: new SeededPrng(7),
        operations: 10_000,
        clients: 50,
        keys,
        unknownOneIn,
        perturbation: 'none',
      })
      const before = process.cpuUsage()
      const verdict = checkLinearizable(operations)
      const { user, system } = process.cpuUsage(before)
      console.log(`${_}: ${Math.round((user + system) / 1000)} ms`)
      expect(verdict).toEqual({ accepted: true })
      expect(user + system).toBeLessThan(1_000_000)
    },
  )
})
