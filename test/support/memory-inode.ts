// What MemoryFileSystem keeps of a file and of a directory: what is durable, what reads show, and the changes between the
// two, each of which a power loss may keep, drop or tear on its own.

import type { Prng } from '../../lib/prng.ts'

/** What becomes of the unflushed when power is lost: all kept, none, or any subset with torn writes as the Prng says. */
export type Survival = 'all' | 'none' | Prng

const SECTOR_BYTES = 512

interface PendingWrite {
  readonly type: 'write'
  readonly position: number
  readonly bytes: Uint8Array
}

interface PendingTruncate {
  readonly type: 'truncate'
  readonly size: number
}

type PendingChange = PendingWrite | PendingTruncate

/** Bytes that can be written anywhere; what lies between is zero. */
class Image {
  #bytes = new Uint8Array(0)
  size = 0

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, Math.min(this.#bytes.length * 2, end + 2 ** 22)))
      larger.set(this.#bytes.subarray(0, this.size))
      this.#bytes = larger
    }
    this.#bytes.set(bytes, position)
    this.size = Math.max(this.size, end)
  }

  truncate(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size, this.size)
    else this.write(new Uint8Array(1), Math.max(0, size - 1))
    this.size = size
  }

  view(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(Math.min(from, this.size), Math.min(to, this.size))
  }

  clone(): Image {
    const copy = new Image()
    copy.#bytes = this.#bytes.slice(0, this.size)
    copy.size = this.size
    return copy
  }
}

export class MemoryInode {
  #current = new Image()
  #durable = new Image()
  /** In the order they were made. */
  #pending: PendingChange[] = []

  get size(): number {
    return this.#current.size
  }

  get isFlushed(): boolean {
    return this.#pending.length === 0
  }

  contents(): Uint8Array {
    return this.#current.view(0, this.size).slice()
  }

  read(buffer: Uint8Array, position: number): number {
    const found = this.#current.view(position, position + buffer.length)
    buffer.set(found)
    return found.length
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return
    this.#current.write(bytes, position)
    this.#pending.push({ type: 'write', position, bytes: bytes.slice() })
  }

  truncate(size: number): void {
    this.#current.truncate(size)
    this.#pending.push({ type: 'truncate', size })
  }

  /** Returns what makes durable the changes made so far, and none of those made while the flush is under way. */
  beginFlush(): () => void {
    const flushing = new Set(this.#pending)
    return () => {
      for (const change of this.#pending) if (flushing.has(change)) this.#apply(change)
      this.#pending = this.#pending.filter((change) => !flushing.has(change))
    }
  }

  /** Makes the bytes of a range durable as they are, and nothing else. */
  flushRange(from: number, to: number): void {
    if (this.#pending.some((change) => change.type === 'truncate')) {
      this.beginFlush()()
      return
    }
    this.#durable.write(this.#current.view(from, to), from)
    this.#pending = (this.#pending as PendingWrite[]).flatMap((change) => without(change, from, to))
  }

  /** A flush failed: what it was to make durable never will be, although reads show it. */
  loseUnflushed(): void {
    this.#pending = []
  }

  /** The same of a write that was to be durable at once. */
  loseRange(from: number, to: number): void {
    if (this.#pending.some((change) => change.type === 'truncate')) return this.loseUnflushed()
    this.#pending = (this.#pending as PendingWrite[]).flatMap((change) => without(change, from, to))
  }

  losePower(survival: Survival): void {
    for (const change of this.#pending) this.#survive(change, survival)
    this.#pending = []
    this.#current = this.#durable.clone()
  }

  damage(offset: number, mask: number): void {
    for (const image of [this.#current, this.#durable]) {
      const byte = image.view(offset, offset + 1)
      if (byte.length === 1) byte[0]! ^= mask
    }
  }

  clone(): MemoryInode {
    const copy = new MemoryInode()
    copy.#current = this.#current.clone()
    copy.#durable = this.#durable.clone()
    copy.#pending = [...this.#pending]
    return copy
  }

  #apply(change: PendingChange): void {
    if (change.type === 'write') this.#durable.write(change.bytes, change.position)
    else this.#durable.truncate(change.size)
  }

  #survive(change: PendingChange, survival: Survival): void {
    if (survival === 'none') return
    const fate = survival === 'all' ? 0 : survival.next(4)
    if (fate === 0) this.#apply(change)
    if (fate < 2 || survival === 'all' || change.type === 'truncate') return
    const { bytes, position } = change
    if (fate === 2) {
      this.#durable.write(bytes.subarray(0, survival.next(bytes.length + 1)), position)
      return
    }
    let at = position
    while (at < position + bytes.length) {
      const end = Math.min(
        position + bytes.length,
        (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES,
      )
      const isKept = survival.next(2) === 1
      if (isKept) this.#durable.write(bytes.subarray(at - position, end - position), at)
      at = end
    }
  }
}

/** What of a write lies outside a range. */
function without(change: PendingWrite, from: number, to: number): PendingWrite[] {
  const { position, bytes } = change
  const end = position + bytes.length
  if (end <= from || position >= to) return [change]
  const parts: PendingWrite[] = []
  if (position < from) parts.push({ ...change, bytes: bytes.subarray(0, from - position) })
  if (end > to) parts.push({ type: 'write', position: to, bytes: bytes.subarray(to - position) })
  return parts
}

type EntryChange =
  | { readonly type: 'link'; readonly name: string; readonly inode: MemoryInode }
  | { readonly type: 'unlink'; readonly name: string }
  | {
      readonly type: 'rename'
      readonly name: string
      readonly to: string
      readonly inode: MemoryInode
    }

export class MemoryDirectory {
  current = new Map<string, MemoryInode>()
  #durable = new Map<string, MemoryInode>()
  #pending: EntryChange[] = []

  link(name: string, inode: MemoryInode): void {
    this.#make({ type: 'link', name, inode })
  }

  unlink(name: string): void {
    this.#make({ type: 'unlink', name })
  }

  /** Atomic: a power loss leaves the file under the old name or the new one. */
  rename(name: string, to: string): void {
    const inode = this.current.get(name)
    if (inode !== undefined) this.#make({ type: 'rename', name, to, inode })
  }

  flush(): void {
    this.#durable = new Map(this.current)
    this.#pending = []
  }

  /** Adds the files that are still there to `inodes`. */
  losePower(survival: Survival, inodes: Set<MemoryInode>): void {
    for (const change of this.#pending) {
      const isKept = survival === 'all' || (survival !== 'none' && survival.next(2) === 1)
      if (isKept) apply(change, this.#durable)
    }
    this.#pending = []
    this.current = new Map(this.#durable)
    for (const inode of this.current.values()) inodes.add(inode)
  }

  clone(inodes: Map<MemoryInode, MemoryInode>): MemoryDirectory {
    const copied = (inode: MemoryInode): MemoryInode => {
      const copy = inodes.get(inode) ?? inode.clone()
      inodes.set(inode, copy)
      return copy
    }
    const copy = new MemoryDirectory()
    for (const [name, inode] of this.current) copy.current.set(name, copied(inode))
    for (const [name, inode] of this.#durable) copy.#durable.set(name, copied(inode))
    copy.#pending = this.#pending.map((change) =>
      change.type === 'unlink' ? change : { ...change, inode: copied(change.inode) },
    )
    return copy
  }

  #make(change: EntryChange): void {
    apply(change, this.current)
    this.#pending.push(change)
  }
}

function apply(change: EntryChange, entries: Map<string, MemoryInode>): void {
  switch (change.type) {
    case 'link':
      entries.set(change.name, change.inode)
      return
    case 'unlink':
      entries.delete(change.name)
      return
    case 'rename':
      entries.delete(change.name)
      entries.set(change.to, change.inode)
  }
}
