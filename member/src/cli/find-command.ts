// PURE: which command words mean, and what was probably meant by those that mean none.

import { quoteGiven } from '../../../lib/config.ts'
import { suggest } from '../../../lib/suggest.ts'
import type { Command, CommandTable } from './command.ts'

export type FoundCommand =
  | { readonly kind: 'command'; readonly command: Command; readonly rest: readonly string[] }
  /** A word that begins the names of several commands, and nothing behind it but flags. */
  | { readonly kind: 'group'; readonly group: string; readonly rest: readonly string[] }
  /** `problem` is one line for standard error. */
  | { readonly kind: 'unknown'; readonly problem: string }

/** `argv` begins with a word; what follows the name of the command is `rest`. */
export function findCommand(argv: readonly string[], table: CommandTable): FoundCommand {
  const { commands, groups } = table
  const [first = '', second] = argv
  if (!groups.has(first)) {
    const command = commands.find(({ name }) => name === first)
    if (command !== undefined) return { kind: 'command', command, rest: argv.slice(1) }
    return unknown('raftbase', first, topLevelNames(table))
  }
  if (second === undefined || second.startsWith('-')) {
    return { kind: 'group', group: first, rest: argv.slice(1) }
  }
  const command = commands.find(({ name }) => name === `${first} ${second}`)
  if (command !== undefined) return { kind: 'command', command, rest: argv.slice(2) }
  const names = commandsOf(first, table).map(({ name }) => name.slice(first.length + 1))
  return unknown(`raftbase ${first}`, second, names)
}

export function commandsOf(group: string, { commands }: CommandTable): readonly Command[] {
  return commands.filter(({ name }) => name.startsWith(`${group} `))
}

/** What may stand first. */
export function topLevelNames({ commands, groups }: CommandTable): readonly string[] {
  const single = commands.map(({ name }) => name).filter((name) => !name.includes(' '))
  return [...groups.keys(), ...single]
}

function unknown(prefix: string, word: string, names: readonly string[]): FoundCommand {
  const meant = suggest(word, names)
  const hint = meant === undefined ? `see ${prefix} --help` : `did you mean ${meant}?`
  const problem = `${prefix}: ${quoteGiven(word.slice(0, 64))} is not a command; ${hint}\n`
  return { kind: 'unknown', problem }
}
