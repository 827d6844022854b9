// Flags of the commands beside the member itself: the command line only, no environment, no file.

import { type ConfigProblem, describeProblem, gatherSettings } from '../../../lib/config.ts'
import { EXIT_CLEAN, EXIT_USAGE } from '../../../lib/exit-codes.ts'
import type { Parsed } from '../address.ts'
import { HELP_SWITCH, type Setting } from '../settings.ts'
import { type CommandName, helpText } from './help.ts'

/** Values by name, or the exit code when there is nothing to run: help was shown, or problems were. */
export function readCommandFlags(
  command: CommandName,
  settings: readonly Setting[],
  argv: readonly string[],
): { readonly flags: CommandFlags } | { readonly exitCode: number } {
  const { values, switches, problems } = gatherSettings({
    settings: [...settings, HELP_SWITCH],
    unsupported: new Set(),
    argv,
    environment: {},
    environmentPrefix: '',
    isForeignVariable: () => true,
    fileSetting: undefined,
    readFile: () => '',
  })
  if (switches.has('help')) {
    process.stdout.write(helpText(command))
    return { exitCode: EXIT_CLEAN }
  }
  return { flags: new CommandFlags(command, settings, values, [...problems]) }
}

export class CommandFlags {
  readonly #command: CommandName
  readonly #settings: readonly Setting[]
  readonly #values: ReadonlyMap<string, { readonly text: string; readonly field: string }>
  readonly #problems: ConfigProblem[]

  constructor(
    command: CommandName,
    settings: readonly Setting[],
    values: ReadonlyMap<string, { readonly text: string; readonly field: string }>,
    problems: ConfigProblem[],
  ) {
    this.#command = command
    this.#settings = settings
    this.#values = values
    this.#problems = problems
  }

  read<T>(name: string, fallback: T, parse: (text: string) => Parsed<T>): T {
    const given = this.#values.get(name)
    if (given === undefined) return fallback
    const parsed = parse(given.text)
    if (parsed.ok) return parsed.value
    const accepted = this.#settings.find((setting) => setting.name === name)!.accepted
    const { reason } = parsed
    this.#problems.push({ kind: 'usage', field: given.field, given: given.text, reason, accepted })
    return fallback
  }

  /** Prints every problem; the exit code when there is one. Called after the last `read`. */
  refusal(): number | undefined {
    for (const problem of this.#problems) {
      process.stderr.write(`raftbase ${this.#command}: ${describeProblem(problem)}\n`)
    }
    return this.#problems.length === 0 ? undefined : EXIT_USAGE
  }
}
