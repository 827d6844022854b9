// The command line: a member when there is no command, else the command. Loads only what is needed; returns the exit code.

/** Runs what `argv`, without the program, asks for and returns the exit code for `process.exit`. */
export async function main(argv: readonly string[]): Promise<number> {
  const [word] = argv
  if (word === undefined || word.startsWith('-')) {
    const { runMember } = await import('./cli/member.ts')
    return runMember(argv)
  }
  const { runCommand } = await import('./cli/run.ts')
  return runCommand(argv)
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
