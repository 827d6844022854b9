// `raftbase --version`: four lines as etcd prints them; tools parse the first.

import { EXIT_CLEAN } from '../../../lib/exit-codes.ts'
import { VERSION } from '../version.ts'
import { readCommandFlags } from './command-flags.ts'
import type { Command } from './command.ts'

/** Returns the exit code. */
export async function runVersion(command: Command, argv: readonly string[]): Promise<number> {
  const read = readCommandFlags(command, argv)
  if ('exitCode' in read) return read.exitCode
  const refusal = read.flags.refusal()
  if (refusal !== undefined) return refusal
  process.stdout.write(versionText(process.env))
  return EXIT_CLEAN
}

/** `environment.RAFTBASE_GIT_SHA` is set by the image build. */
export function versionText(environment: NodeJS.ProcessEnv): string {
  return [
    `raftbase Version: ${VERSION}`,
    `Git SHA: ${environment['RAFTBASE_GIT_SHA'] ?? 'unknown'}`,
    `Node.js Version: ${process.versions.node}`,
    `Node.js OS/Arch: ${process.platform}/${process.arch}`,
    '',
  ].join('\n')
}
