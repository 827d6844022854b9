// Finds a command by its words and runs it.

import { EXIT_USAGE } from '../../../lib/exit-codes.ts'
import { COMMAND_TABLE } from './commands.ts'
import { commandsOf, findCommand } from './find-command.ts'

const HELP_FLAG = /^--?(h|help)$/

/** Returns the exit code. `argv` begins with a word. */
export async function runCommand(argv: readonly string[]): Promise<number> {
  const found = findCommand(argv, COMMAND_TABLE)
  switch (found.kind) {
    case 'command':
      return found.command.run(found.command, found.rest, COMMAND_TABLE)
    case 'group': {
      const { group, rest } = found
      if (rest.some((word) => HELP_FLAG.test(word))) {
        const { runHelp } = await import('./overview.ts')
        return runHelp([group], COMMAND_TABLE)
      }
      const names = commandsOf(group, COMMAND_TABLE).map(({ name }) => name)
      return refuse(`raftbase ${group}: a command is missing: ${names.join(', ')}\n`)
    }
    default:
      return refuse(found.problem)
  }
}

function refuse(problem: string): number {
  process.stderr.write(problem)
  return EXIT_USAGE
}
