// Flags and arguments of the commands beside the member itself: the command line, and for a few the environment. No file.

import {
  type ConfigProblem,
  describeProblem,
  gatherSettings,
  quoteGiven,
  variable,
} from '../../../lib/config.ts'
import { EXIT_CLEAN, EXIT_USAGE } from '../../../lib/exit-codes.ts'
import type { Parsed } from '../address.ts'
import { ENVIRONMENT_PREFIX, HELP_SWITCH } from '../settings.ts'
import type { Command } from './command.ts'
import { commandHelp } from './help.ts'

/** What was given, or the exit code when there is nothing to run: help was shown. */
export function readCommandFlags(
  command: Command,
  argv: readonly string[],
): { readonly flags: CommandFlags } | { readonly exitCode: number } {
  const { settings } = command
  const variables = new Set(
    settings
      .filter(({ isInEnvironment }) => isInEnvironment === true)
      .flatMap(({ name, aliases }) => [name, ...aliases])
      .map((name) => variable(ENVIRONMENT_PREFIX, name)),
  )
  const { values, switches, words, problems } = gatherSettings({
    settings: [...settings, HELP_SWITCH],
    unsupported: new Set(),
    argv,
    environment: process.env,
    environmentPrefix: ENVIRONMENT_PREFIX,
    isForeignVariable: (field) => !variables.has(field),
    fileSetting: undefined,
    readFile: () => '',
    takesArguments: true,
  })
  if (switches.has('help')) {
    process.stdout.write(commandHelp(command))
    return { exitCode: EXIT_CLEAN }
  }
  return { flags: new CommandFlags({ command, values, switches, words, problems }) }
}

export class CommandFlags {
  readonly #command: Command
  readonly #values: ReadonlyMap<string, { readonly text: string; readonly field: string }>
  readonly #switches: ReadonlySet<string>
  readonly #problems: ConfigProblem[]
  /** The arguments, as many as the command takes. */
  readonly words: readonly string[]

  constructor(options: {
    readonly command: Command
    readonly values: ReadonlyMap<string, { readonly text: string; readonly field: string }>
    readonly switches: ReadonlySet<string>
    readonly words: readonly string[]
    readonly problems: readonly ConfigProblem[]
  }) {
    this.#command = options.command
    this.#values = options.values
    this.#switches = options.switches
    this.#problems = [...options.problems]
    this.words = options.words
    this.#checkArguments()
  }

  read<T>(name: string, fallback: T, parse: (text: string) => Parsed<T>): T {
    const given = this.#values.get(name)
    if (given === undefined) return fallback
    const parsed = parse(given.text)
    if (parsed.ok) return parsed.value
    const accepted = this.#command.settings.find((setting) => setting.name === name)!.accepted
    const { reason } = parsed
    this.#problems.push({ kind: 'usage', field: given.field, given: given.text, reason, accepted })
    return fallback
  }

  isGiven(name: string): boolean {
    return this.#values.has(name) || this.#switches.has(name)
  }

  /** Files a problem with an argument or a flag, under the name help gives it. */
  refuse(problem: Omit<ConfigProblem, 'kind'>): void {
    this.#problems.push({ kind: 'usage', ...problem })
  }

  /** Prints every problem; the exit code when there is one. Called after the last `read`. */
  refusal(): number | undefined {
    const { name } = this.#command
    for (const problem of this.#problems) {
      process.stderr.write(`raftbase ${name}: ${describeProblem(problem)}\n`)
    }
    return this.#problems.length === 0 ? undefined : EXIT_USAGE
  }

  #checkArguments(): void {
    const expected = this.#command.arguments
    const missing = expected
      .slice(this.words.length)
      .filter(({ isOptional }) => isOptional !== true)
    for (const { name } of missing) this.refuse({ field: name, reason: 'is missing' })
    for (const [position, word] of this.words.entries()) {
      const argument = expected[Math.min(position, expected.length - 1)]
      if (position >= expected.length && argument?.isRepeated !== true) {
        this.refuse({ field: quoteGiven(word), reason: 'is one argument too many' })
      } else if (argument?.words?.includes(word) === false) {
        const accepted = argument.words.join(', ')
        this.refuse({ field: argument.name, given: word, reason: 'is not one of them', accepted })
      }
    }
  }
}
