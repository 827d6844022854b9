// A first-in first-out queue that cannot be built without a limit: whoever enqueues learns at once that it is full.

import { invariant } from './assert.ts'

export class BoundedQueue<T> {
  readonly limit: number
  #head = 0
  #items: (T | undefined)[] = []

  constructor(limit: number) {
    invariant(Number.isInteger(limit) && limit > 0, 'queue limit is not a positive integer', {
      limit,
    })
    this.limit = limit
  }

  get count(): number {
    return this.#items.length - this.#head
  }

  /** Appends `item`, or returns false when the queue holds `limit` items already. */
  maybePush(item: T): boolean {
    if (this.count >= this.limit) return false
    this.#items.push(item)
    return true
  }

  /** Removes and returns the oldest item, or undefined when there is none. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head++
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Removes and returns everything, oldest first. */
  drain(): T[] {
    const items = this.#items.slice(this.#head) as T[]
    this.#items.length = 0
    this.#head = 0
    return items
  }
}
