// What `--help` says of the program, and of a group of commands: made from the table of commands and that of settings.

import { EXIT_CLEAN, EXIT_USAGE } from '../../../lib/exit-codes.ts'
import { MEMBER_SETTINGS, MEMBER_SWITCHES } from '../settings.ts'
import type { CommandTable } from './command.ts'
import { commandsOf, findCommand, topLevelNames } from './find-command.ts'
import { commandHelp, describeFlags } from './help.ts'

const MEMBER_EXAMPLE = `Example: the first of three members (the others differ in name, directory and ports)
  raftbase -name n1 -data-dir ./data/n1 -client-url http://127.0.0.1:2379 \\
    -peer-url http://127.0.0.1:2380 -api-addr :8080 -initial-cluster-token demo \\
    -initial-cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384

Flags take one dash or two, "-name n1" or "-name=n1". Each can also come from the environment
(RAFTBASE_INITIAL_CLUSTER) or from the file named by -config ("initial-cluster"); the command line
wins over the environment, which wins over the file. Without any flag, one member runs on the
addresses below.

Flags:
`

const MEMBER_CLOSING = `
The log goes to standard error, one JSON object a line. SIGINT and SIGTERM stop the member in order;
a second signal ends it at once.
Exit codes: 0 stopped in order, 1 refused or failed, 2 malformed command line.
`

/** `raftbase help [command]`; returns the exit code. */
export async function runHelp(argv: readonly string[], table: CommandTable): Promise<number> {
  const words = argv.filter((word) => !word.startsWith('-'))
  if (words.length === 0) return show(memberHelp(table))
  const found = findCommand(words, table)
  if (found.kind === 'command') return show(commandHelp(found.command))
  if (found.kind === 'group') return show(groupHelp(found.group, table))
  process.stderr.write(found.problem)
  return EXIT_USAGE
}

/** The program's own text: every command, and the flags of a member. */
export function memberHelp(table: CommandTable): string {
  const lines: [string, string][] = [['[flags]', 'run a member until SIGINT or SIGTERM']]
  for (const name of topLevelNames(table)) {
    const command = table.commands.find((candidate) => candidate.name === name)
    if (command !== undefined) lines.push([name, command.summary])
    else lines.push([`${name} ...`, table.groups.get(name)!])
  }
  return `raftbase: a replicated, versioned key space in one process for each member

Usage:
${usageLines(lines)}
"raftbase help COMMAND" tells more of a command.

${MEMBER_EXAMPLE}${describeFlags([...MEMBER_SETTINGS, ...MEMBER_SWITCHES])}${MEMBER_CLOSING}`
}

function groupHelp(group: string, table: CommandTable): string {
  const commands = commandsOf(group, table)
  return `raftbase ${group}: ${table.groups.get(group)}

Usage:
${usageLines(commands.map(({ name, summary }) => [name, summary]))}
Example:
  ${commands[0]!.example}

"raftbase help ${commands[0]!.name}" tells more of a command.
`
}

function usageLines(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length)) + 2
  return lines.map(([name, summary]) => `  raftbase ${name.padEnd(width)}${summary}\n`).join('')
}

function show(text: string): number {
  process.stdout.write(text)
  return EXIT_CLEAN
}
