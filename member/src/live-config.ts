// The configuration of a member while it runs. What may change without a restart is taken over from the file whenever that
// changes; what may not is named until the process has been started anew. A file that is refused is refused whole: the values
// before it stay, and so does the epoch that is told. Flags and environment win over the file as they do at a start.

import { invariant } from '../../lib/assert.ts'
import { describeProblem } from '../../lib/config.ts'
import type { Clock, Timers } from '../../lib/clock.ts'
import type { LogLevel } from '../../lib/log-level.ts'
import type { Logger } from '../../lib/logger.ts'
import { type FileContents, NOT_A_FILE, WatchedFiles } from '../../lib/watched-files.ts'
import { type LoadedConfig, loadMemberConfig, type MemberConfig } from './config.ts'
import { CONFIG_BYTES_MAX } from './limits.ts'
import type { AutoCompaction, ConfigFileStatus } from './node/member-node.ts'
import { MEMBER_SETTINGS } from './settings.ts'

/** What may change. */
export interface DynamicSettings {
  readonly logLevel: LogLevel
  readonly snapshotLogBytes: number
  /** Undefined: no quota. */
  readonly quotaBackendBytes: number | undefined
  readonly maxRequestBytes: number
  readonly autoCompaction: AutoCompaction
}

export interface LiveConfigOptions {
  /** With what the process was started. */
  readonly loaded: Extract<LoadedConfig, { readonly kind: 'config' }>
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly workingDirectory: string
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Logger
}

export class LiveConfig {
  readonly #options: LiveConfigOptions
  readonly #files: WatchedFiles | undefined
  readonly #listeners = new Set<(settings: DynamicSettings) => void>()
  readonly #statusListeners = new Set<() => void>()
  #current: DynamicSettings
  #epoch: number | undefined
  #problem: string | undefined
  #pendingRestart: readonly string[] = []

  constructor(options: LiveConfigOptions) {
    const { loaded, clock, timers } = options
    this.#options = options
    this.#current = dynamicOf(loaded.config)
    this.#epoch = loaded.fileEpoch
    if (loaded.file === undefined) return
    this.#files = new WatchedFiles({
      paths: [loaded.file],
      bytesMax: CONFIG_BYTES_MAX,
      clock,
      timers,
      onChange: (contents) => this.#take(contents),
    })
  }

  /** As they are now. */
  get current(): DynamicSettings {
    return this.#current
  }

  /** Undefined without a file. */
  get status(): ConfigFileStatus | undefined {
    if (this.#options.loaded.file === undefined) return undefined
    return {
      ...(this.#epoch === undefined ? {} : { epoch: this.#epoch }),
      pendingRestart: this.#pendingRestart,
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    }
  }

  /** Calls `listener` with the new settings when one of them has changed. It must not throw. */
  onChange(listener: (settings: DynamicSettings) => void): void {
    this.#listeners.add(listener)
  }

  /** Calls `listener` when the status has changed. It must not throw. */
  onStatus(listener: () => void): void {
    this.#statusListeners.add(listener)
  }

  /** From now on the file is looked at every second: it may have changed since the process read it. Never rejects. */
  async start(): Promise<void> {
    const contents = await this.#files?.start()
    if (contents === undefined) return
    // A pipe, as a shell makes of `-config <(…)`: it was read when the process started, and will not change.
    if ([...contents.values()].some(({ error }) => error === NOT_A_FILE)) this.stop()
    else this.#take(contents)
  }

  stop(): void {
    this.#files?.stop()
  }

  #take(contents: FileContents): void {
    const before = JSON.stringify(this.status)
    const problem = this.#read(contents)
    const { log } = this.#options
    if (problem !== undefined && problem !== this.#problem) {
      log.error({ problem }, 'changed configuration refused, the one before stays in force')
    }
    this.#problem = problem
    if (JSON.stringify(this.status) === before) return
    for (const listener of this.#statusListeners) listener()
  }

  /** Returns what is wrong. */
  #read(contents: FileContents): string | undefined {
    const { argv, environment, workingDirectory } = this.#options
    const content = contents.get(this.#options.loaded.file!)!
    if (content.bytes === undefined) return `cannot be read (${content.error})`
    const text = content.bytes.toString('utf8')
    const readFile = (): string => text
    const loaded = loadMemberConfig({ argv, environment, readFile, workingDirectory })
    if (loaded.kind === 'refused') return loaded.problems.map(describeProblem).join('; ')
    invariant(loaded.kind === 'config', 'a file asks for no more than settings')
    const epoch = loaded.fileEpoch
    if (this.#epoch !== undefined && (epoch === undefined || epoch < this.#epoch)) {
      return `epoch fell from ${this.#epoch} to ${epoch ?? 'none'}`
    }
    this.#epoch = epoch
    this.#apply(loaded)
    return undefined
  }

  #apply({ config, given }: LiveConfigOptions['loaded']): void {
    const { log, loaded } = this.#options
    const [settings, before] = [dynamicOf(config), this.#current]
    if (JSON.stringify(settings) !== JSON.stringify(before)) {
      this.#current = settings
      for (const listener of this.#listeners) listener(settings)
      log.info({ ...changed(settings, before), epoch: this.#epoch }, 'configuration changed')
    }
    const names = [...new Set([...given.keys(), ...loaded.given.keys()])]
    const pending = names
      .filter((name) => isStatic(name) && given.get(name) !== loaded.given.get(name))
      .toSorted()
    if (pending.join() === this.#pendingRestart.join()) return
    this.#pendingRestart = pending
    if (pending.length === 0) log.info('no changed setting waits for a restart any more')
    else log.warn({ settings: pending }, 'changed settings wait for a restart')
  }
}

function dynamicOf(config: MemberConfig): DynamicSettings {
  const { logLevel, snapshotLogBytes, quotaBackendBytes, maxRequestBytes, autoCompaction } = config
  return { logLevel, snapshotLogBytes, quotaBackendBytes, maxRequestBytes, autoCompaction }
}

/** Those of `settings` that differ. */
function changed(settings: DynamicSettings, before: DynamicSettings): Partial<DynamicSettings> {
  const entries = Object.entries(settings)
  return Object.fromEntries(
    entries.filter(([name, value]) => {
      return JSON.stringify(value) !== JSON.stringify(before[name as keyof DynamicSettings])
    }),
  )
}

/** Whether a change of it takes effect at the next start. */
function isStatic(name: string): boolean {
  return MEMBER_SETTINGS.some((setting) => setting.name === name && !('isDynamic' in setting))
}
