// One snapshot on its way: pieces travel one by one, each with its delay, and the receiver's answer comes back. A stream
// breaks when a connection or a process does, when it is cut for long, or when its sender gives up.

import { RaftbaseError } from '../../lib/errors.ts'
import type { MemberId } from '../../member/src/raft/types.ts'
import type { Endpoint, SimNetwork, Stream } from './network.ts'

/** Without progress for so long a stream is given up on both sides. */
const IDLE_MS = 5000

type Answer = 'done' | { readonly error: unknown }

export class SnapshotStream implements Stream {
  readonly #network: SimNetwork
  readonly #from: Endpoint
  readonly #to: Endpoint
  /** Arrived and not taken yet. */
  readonly #arrived: Uint8Array[] = []
  #isComplete = false
  #isBroken = false
  #wakeReceiver: () => void = () => undefined
  #wakeSender: () => void = () => undefined
  #answer: Answer | undefined
  #lastProgressMs: number

  constructor(options: { network: SimNetwork; from: Endpoint; to: Endpoint }) {
    this.#network = options.network
    this.#from = options.from
    this.#to = options.to
    this.#lastProgressMs = options.network.world.nowMs
  }

  involves(peer: MemberId): boolean {
    return this.#from.id === peer || this.#to.id === peer
  }

  /** Both sides learn that nothing more will come. */
  break(): void {
    if (this.#isBroken) return
    this.#isBroken = true
    const { world } = this.#network
    for (const [transport, wake] of [
      [this.#from, () => this.#wakeSender()],
      [this.#to, () => this.#wakeReceiver()],
    ] as const) {
      world.schedule({ delayMs: 0, owner: transport.process, run: () => world.act(wake) })
    }
  }

  /** In the sender's process. Resolves when the receiver has it. */
  async send(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    this.#from.openStream(this)
    this.#to.openStream(this)
    this.#watch()
    const onAbort = (): void => this.break()
    signal.addEventListener('abort', onAbort)
    try {
      this.#post(() => this.#receive())
      for await (const chunk of chunks) {
        const piece = chunk.slice()
        await this.#from.process.sleep(this.#network.delayMs())
        this.#mustBeOpen()
        this.#post(() => {
          this.#arrived.push(piece)
          this.#wakeReceiver()
        })
      }
      await this.#from.process.sleep(this.#network.delayMs())
      this.#mustBeOpen()
      this.#post(() => {
        this.#isComplete = true
        this.#wakeReceiver()
      })
      await this.#answered()
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.break()
      this.#from.closeStream(this)
      this.#to.closeStream(this)
    }
  }

  async #answered(): Promise<void> {
    while (this.#answer === undefined) {
      this.#mustBeOpen()
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve
      })
    }
    if (this.#answer !== 'done') throw this.#answer.error
  }

  /** In the receiver's process. */
  #receive(): void {
    const answer = (value: Answer): void => {
      const { world } = this.#network
      world.schedule({
        delayMs: this.#network.delayMs(),
        owner: this.#from.process,
        run: () =>
          world.act(() => {
            if (this.#isBroken || !this.#network.isOpen(this.#from.id, this.#to.id)) return
            this.#answer = value
            this.#wakeSender()
          }),
      })
    }
    this.#to.receiveSnapshot(this.#from.id, this.#chunks()).then(
      () => answer('done'),
      (error: unknown) => answer({ error }),
    )
  }

  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const chunk = this.#arrived.shift()
      if (chunk !== undefined) {
        yield chunk
        continue
      }
      if (this.#isComplete) return
      if (this.#isBroken) throw new RaftbaseError('PEER_UNREACHABLE', 'snapshot ended early')
      await new Promise<void>((resolve) => {
        this.#wakeReceiver = resolve
      })
    }
  }

  /** Something the receiver sees now; a paused one sees it later. */
  #post(run: () => void): void {
    const { world } = this.#network
    this.#lastProgressMs = world.nowMs
    world.schedule({ delayMs: 0, owner: this.#to.process, run: () => world.act(run) })
  }

  #mustBeOpen(): void {
    const isOpen = this.#network.isOpen(this.#from.id, this.#to.id)
    if (!this.#isBroken && isOpen) return
    throw new RaftbaseError('PEER_UNREACHABLE', 'snapshot was not answered')
  }

  #watch(): void {
    const { world } = this.#network
    world.schedule({
      delayMs: IDLE_MS,
      run: () => {
        if (this.#isBroken) return
        const isOpen = this.#network.isOpen(this.#from.id, this.#to.id)
        const isIdle = world.nowMs - this.#lastProgressMs >= IDLE_MS
        if (isIdle || !isOpen) world.act(() => this.break())
        else this.#watch()
      },
    })
  }
}
