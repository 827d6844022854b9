// Configuration files that are rewritten while everything else happens, some of them with mistakes: each content is taken over
// and acknowledged by its epoch, or refused whole with the reason while the one before stays in force.

import { renameSync, rmSync, writeFileSync } from 'node:fs'
import type { SeededPrng } from '../../../lib/prng.ts'
import type { MemberProcess } from '../../support/process-cluster.ts'
import { sleep } from './duration.ts'
import { type FaultRun, PATIENCE_MS } from './fault-run.ts'
import { type ConfigFileSeen, statusOf } from './status-watch.ts'

/** Far above what a run fills, so that no write is refused for them. */
const SETTINGS: Readonly<Record<string, readonly unknown[]>> = {
  'log-level': ['debug', 'info', 'warn'],
  'quota-backend-bytes': [2_000_000_000, 4_000_000_000],
  'max-request-bytes': [1_572_864, 10_000_000],
  'auto-compaction-retention': ['0', '1s', '1h'],
  'election-timeout': [1000, 1100],
}

const MISTAKES: readonly ((epoch: number) => string | undefined)[] = [
  () => '{',
  (epoch) => JSON.stringify({ epoch, 'quota-backend-bytes': 1 }),
  (epoch) => JSON.stringify({ epoch, 'no-such-setting': 1 }),
  (epoch) => JSON.stringify({ epoch: epoch - 2 }),
  // No file at all.
  () => undefined,
]

export function configFileOf(member: MemberProcess): string {
  return `${member.dataDir}.json`
}

export class ConfigRewriter {
  readonly #run: FaultRun
  readonly #prng: SeededPrng
  /** The newest that a member was given without a mistake. */
  readonly #epochs = new Map<MemberProcess, number>()
  acknowledged = 0
  refused = 0

  constructor(run: FaultRun, prng: SeededPrng) {
    this.#run = run
    this.#prng = prng
  }

  /** One content without a mistake, after one with a mistake half of the time. Nothing else is done to the process meanwhile. */
  async rewrite(member: MemberProcess): Promise<void> {
    const before = this.#epochs.get(member) ?? 0
    if (before > 0 && this.#prng.next(2) === 0) {
      write(member, MISTAKES[this.#prng.next(MISTAKES.length)]!(before + 1))
      await this.#seen(member, 'a mistake refused', (seen) => {
        return seen.problem !== undefined && seen.epoch === before
      })
      this.refused++
    }
    const epoch = before + 1
    const content: Record<string, unknown> = { epoch }
    for (const [name, values] of Object.entries(SETTINGS)) {
      if (this.#prng.next(2) === 0) content[name] = values[this.#prng.next(values.length)]
    }
    write(member, JSON.stringify(content))
    this.#epochs.set(member, epoch)
    await this.#seen(member, `${JSON.stringify(content)} acknowledged`, (seen) => {
      return seen.epoch === epoch && seen.problem === undefined
    })
    this.acknowledged++
  }

  /** Rejects unless a member, started anew or not, still has the newest content. */
  async settled(member: MemberProcess): Promise<void> {
    const newest = this.#epochs.get(member)
    if (newest === undefined) return
    await this.#seen(member, `epoch ${newest}`, ({ epoch, problem }) => {
      return epoch === newest && problem === undefined
    })
  }

  async #seen(
    member: MemberProcess,
    what: string,
    holds: (seen: ConfigFileSeen) => boolean,
  ): Promise<void> {
    const untilMs = performance.now() + PATIENCE_MS
    while (performance.now() < untilMs) {
      // One that was removed from the cluster meanwhile has ended.
      if (member.child === undefined) return
      const configFile = (await statusOf(member))?.configFile
      if (configFile !== undefined && holds(configFile)) return
      await sleep(50)
    }
    throw new Error(`${member.name}: ${what}\n${this.#run.explain()}`)
  }
}

/** Whole, and renamed into its place, as an editor does; undefined: it is gone. */
function write(member: MemberProcess, text: string | undefined): void {
  const path = configFileOf(member)
  if (text === undefined) return rmSync(path)
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

/** What a member has to be started with: the file is there before it. */
export function withConfigFile(member: MemberProcess): Readonly<Record<string, string>> {
  write(member, JSON.stringify({ epoch: 0 }))
  return { RAFTBASE_CONFIG: configFileOf(member) }
}
