// Runs once before the container scenarios: whoever asks for them explicitly gets them or a reason,
// never a silent skip.

import { runCommand } from '../../support/command.ts'

const PROBES: readonly (readonly string[])[] = [
  ['version', '--format', '{{.Server.Version}}'],
  ['compose', 'version', '--short'],
]

export async function setup(): Promise<void> {
  for (const args of PROBES) {
    const result = await runCommand('docker', args, { timeoutMs: 20_000 }).catch(
      (error: unknown) => ({
        code: -1,
        stdout: '',
        stderr: String(error),
      }),
    )
    if (result.code === 0) continue
    throw new Error(
      [
        '',
        'THE CONTAINER SCENARIOS CANNOT RUN: they need a container engine with Docker Compose.',
        `  tried:  docker ${args.join(' ')}`,
        `  got:    ${(result.stderr || result.stdout).trim() || `exit code ${result.code}`}`,
        '  fix:    install and start Docker (with the compose plugin), or put its client on PATH',
        '',
      ].join('\n'),
    )
  }
}
