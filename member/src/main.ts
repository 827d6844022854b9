// The command line: finds the command, loads only what it needs, returns its exit code. `raftbase` alone is a member.

import { EXIT_CLEAN, EXIT_USAGE } from '../../lib/exit-codes.ts'
import { unreachable } from '../../lib/assert.ts'
import { suggest } from '../../lib/suggest.ts'

const COMMANDS = ['dev', 'status', 'help', 'version'] as const
/** Words that will be commands; until then they are told apart from typing errors. */
const COMMANDS_TO_COME: readonly string[] = ['member', 'snapshot']

/** Runs one command and returns the exit code for `process.exit`. `argv` is without the program. */
export async function main(argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv
  if (word === undefined || word.startsWith('-')) {
    const { runMember } = await import('./cli/member.ts')
    return runMember(argv)
  }
  const command = COMMANDS.find((candidate) => candidate === word)
  switch (command) {
    case 'dev': {
      const { runDev } = await import('./cli/dev.ts')
      return runDev(rest)
    }
    case 'status': {
      const { runStatus } = await import('./cli/status.ts')
      return runStatus(rest)
    }
    case 'help': {
      const { helpText } = await import('./cli/help.ts')
      process.stdout.write(helpText(rest[0]))
      return EXIT_CLEAN
    }
    case 'version': {
      const { versionText } = await import('./cli/version.ts')
      process.stdout.write(versionText(process.env))
      return EXIT_CLEAN
    }
    case undefined:
      process.stderr.write(`raftbase: ${describeUnknown(word)}\n`)
      return EXIT_USAGE
    default:
      return unreachable(command)
  }
}

function describeUnknown(word: string): string {
  if (COMMANDS_TO_COME.includes(word)) return `the command ${word} is not supported yet`
  const meant = suggest(word, COMMANDS)
  const hint = meant === undefined ? 'see raftbase --help' : `did you mean ${meant}?`
  return `${JSON.stringify(word.slice(0, 64))} is not a command; ${hint}`
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
