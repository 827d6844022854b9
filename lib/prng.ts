// Randomness arrives as a Prng, so that a simulation replays from its seed. The real one is seeded once from the system.

import { randomBytes } from 'node:crypto'

export interface Prng {
  /** A uniform integer in [0, bound). `bound` is a positive integer up to 2^32. */
  next(bound: number): number
}

/** sfc32 (Chris Doty-Humphrey's Small Fast Counter generator): quick, and the same on every platform. */
export class SeededPrng implements Prng {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 2 ** 32) | 0
    this.#c = 0x9e3779b9 | 0
    for (let i = 0; i < 15; i++) this.#next32()
  }

  next(bound: number): number {
    return Math.floor((this.#next32() / 2 ** 32) * bound)
  }

  #next32(): number {
    const result = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + result) | 0
    return result >>> 0
  }
}

/** A Prng seeded from the system's entropy. */
export function systemPrng(): Prng {
  return new SeededPrng(randomBytes(6).readUIntBE(0, 6))
}

/** Sixteen lower-case hex digits from the system's entropy: an identifier that is never reused. */
export function randomId(): string {
  return randomBytes(8).toString('hex')
}
