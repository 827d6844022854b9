// What the commands that work on files of this machine have in common: one flag for the output, no cluster.

import type { CommandFlags } from './command-flags.ts'
import { readCommandFlags } from './command-flags.ts'
import { type Printed, printOutcome } from './client-command.ts'
import { readOutput } from './client-settings.ts'
import type { Command } from './command.ts'

/** Reads the flags that `read` reads and runs `run`. Returns the exit code, as runClientCommand does. */
export async function runLocalCommand<Own>(options: {
  readonly command: Command
  readonly argv: readonly string[]
  readonly read: (flags: CommandFlags) => Own
  readonly run: (own: Own) => Promise<Printed>
}): Promise<number> {
  const { command, argv } = options
  const found = readCommandFlags(command, argv)
  if ('exitCode' in found) return found.exitCode
  const output = readOutput(found.flags)
  const own = options.read(found.flags)
  const refusal = found.flags.refusal()
  if (refusal !== undefined) return refusal
  return printOutcome({ command, output }, () => options.run(own))
}
