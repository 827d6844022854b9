// What a command is: how it is found, what it accepts, and what `--help` and completion say about it. The table is
// commands.ts; what a command does is loaded when it runs.

import type { Setting } from '../settings.ts'

export interface CommandSetting extends Setting {
  /** Whether the environment may give it too, as RAFTBASE_ENDPOINTS gives `endpoints`. */
  readonly isInEnvironment?: boolean
  /** Every value there is, for completion; undefined where they cannot be listed. */
  readonly words?: readonly string[]
}

export interface CommandArgument {
  /** As help shows it: `MEMBER`. */
  readonly name: string
  readonly isOptional?: boolean
  /** Takes all words that are left. Only the last argument. */
  readonly isRepeated?: boolean
  /** As {@link CommandSetting.words}. */
  readonly words?: readonly string[]
}

export interface Command {
  /** The words that call it: `member add`. */
  readonly name: string
  /** One line for lists: an imperative without a full stop. */
  readonly summary: string
  readonly arguments: readonly CommandArgument[]
  /** Without the switch for help, which every command has. */
  readonly settings: readonly CommandSetting[]
  /** A line or more that can be typed as they stand. */
  readonly example: string
  /** What there is to know before using it. Help breaks the lines; a blank one separates paragraphs. */
  readonly about: string
  /** What its exit codes mean, on one line. */
  readonly exitCodes: string
  /** Runs it with what follows its name and returns the exit code. */
  readonly run: (command: Command, argv: readonly string[], table: CommandTable) => Promise<number>
}

export interface CommandTable {
  /** Words that begin the names of several commands, with what `--help` says of each. */
  readonly groups: ReadonlyMap<string, string>
  readonly commands: readonly Command[]
}

/** `MEMBER [LEARNER]`, as a usage line shows the arguments; empty without any. */
export function describeArguments({ arguments: all }: Command): string {
  return all
    .map(({ name, isOptional = false, isRepeated = false }) => {
      const repeated = isRepeated ? `${name}...` : name
      return isOptional ? `[${repeated}]` : repeated
    })
    .join(' ')
}
