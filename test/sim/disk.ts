// The disk of one member: MemoryFileSystem, which keeps flushed and unflushed state apart, with the time that operations
// take and the faults they meet. A process that is killed while an operation is under way never sees its end; what of it
// reached the platters is decided when power is lost.

import type { Prng } from '../../lib/prng.ts'
import {
  isChange,
  MemoryFileSystem,
  type Fault,
  type Operation,
} from '../support/memory-file-system.ts'
import type { SimProcess } from './process.ts'

export interface DiskSpeed {
  /** A flush takes between one and two of these, in milliseconds. */
  readonly flushMs: number
  /** Any other change takes up to so much. */
  readonly changeMs: number
}

/** A fault that waits for its operation. */
export interface ArmedFault {
  /** Which change, counted from now: 1 is the next one. */
  countdown: number
  readonly type: 'crash' | 'powerLoss' | 'error' | 'flushError'
  /** Of a write cut short by it: how much of the bytes gets there, in 1/256. */
  readonly keptOf256: number
}

const ROOT = '/data'

export class SimDisk {
  #fs: MemoryFileSystem
  readonly #prng: Prng
  readonly #onCrash: (losesPower: boolean) => void
  speed: DiskSpeed
  /** How many times slower than `speed` at present. */
  slowness = 1
  #wasSlow = false
  #hung: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined
  #process: SimProcess | undefined
  #armed: ArmedFault[] = []
  /** Faults that happened to an operation in this life of the process: what may have ended it. */
  injectedCount = 0

  constructor(options: { prng: Prng; speed: DiskSpeed; onCrash: (losesPower: boolean) => void }) {
    this.#prng = options.prng
    this.#onCrash = options.onCrash
    this.speed = options.speed
    this.#fs = this.#attended(new MemoryFileSystem())
  }

  get fs(): MemoryFileSystem {
    return this.#fs
  }

  /** It is taken out, and a blank one put in its place, or an earlier copy of it. */
  exchange(earlier?: MemoryFileSystem): void {
    this.#fs.kill()
    const fs = earlier?.clone() ?? new MemoryFileSystem()
    this.#fs = this.#attended(fs)
  }

  /** Where the member keeps its data on it. */
  get root(): string {
    return ROOT
  }

  /** From now on its operations belong to this process. */
  attach(process: SimProcess): void {
    this.#process = process
    this.#armed = []
    this.injectedCount = 0
    this.#wasSlow = false
  }

  arm(fault: ArmedFault): void {
    this.#armed.push(fault)
  }

  disarm(): void {
    this.#armed = []
  }

  /** Every file under the member's directory, with its path. */
  files(): string[] {
    const found: string[] = []
    for (const directory of [ROOT, `${ROOT}/wal`, `${ROOT}/snap`]) {
      for (const name of this.fs.names(directory)) found.push(`${directory}/${name}`)
    }
    return found
  }

  /** From now on nothing can grow. */
  fill(): void {
    let used = 0
    for (const path of this.files()) used += this.fs.contents(path).length
    this.fs.capacityBytes = used
  }

  makeRoom(): void {
    this.fs.capacityBytes = Number.POSITIVE_INFINITY
  }

  /** From now on no change returns. */
  hang(): void {
    this.#hung ??= Promise.withResolvers<void>()
  }

  /** What hung returns, late. */
  release(): void {
    this.#hung?.resolve()
    this.#hung = undefined
  }

  /** Whether any operation of this life of the process was slow or hung, even if the disk is well by now. */
  get wasSlow(): boolean {
    return this.#wasSlow
  }

  get isFull(): boolean {
    return this.fs.capacityBytes !== Number.POSITIVE_INFINITY
  }

  #attended(fs: MemoryFileSystem): MemoryFileSystem {
    fs.fault = (operation) => this.#faultOf(operation)
    fs.delay = (operation) => this.#delay(operation)
    return fs
  }

  #faultOf(operation: Operation): Fault | undefined {
    if (this.#armed.length === 0 || !isChange(operation)) return undefined
    const isFlush = operation.kind === 'flush' || operation.kind === 'writeAndFlush'
    for (const armed of this.#armed) {
      if (armed.type === 'flushError' && !isFlush) continue
      armed.countdown--
      if (armed.countdown > 0) continue
      this.#armed = this.#armed.filter((other) => other !== armed)
      this.injectedCount++
      const keptBytes = Math.floor((operation.bytes * armed.keptOf256) / 256)
      const isEnd = armed.type === 'crash' || armed.type === 'powerLoss'
      if (!isEnd) return { type: 'error', code: 'DISK_FAILED', keptBytes }
      this.#onCrash(armed.type === 'powerLoss')
      return { type: 'crash', keptBytes }
    }
    return undefined
  }

  async #delay(operation: Operation): Promise<void> {
    const process = this.#process
    if (process === undefined || !isChange(operation)) return
    const { flushMs, changeMs } = this.speed
    const isFlush = operation.kind.toLowerCase().includes('flush')
    const share = this.#prng.next(1024) / 1024
    const ms = isFlush ? flushMs * (1 + share) : changeMs * share
    if (this.#hung !== undefined || this.slowness > 1) this.#wasSlow = true
    if (this.#hung !== undefined) await this.#hung.promise
    if (this.slowness > 1) this.#wasSlow = true
    await process.sleep(ms * this.slowness)
  }
}
