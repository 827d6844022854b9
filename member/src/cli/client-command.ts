// What every command that talks to a running cluster has in common: its flags, its client, and how it says that it failed.

import { InvariantViolation } from '../../../lib/assert.ts'
import { escapeControls } from '../../../lib/config.ts'
import { RaftbaseError } from '../../../lib/errors.ts'
import { EXIT_CLEAN, EXIT_FAILED } from '../../../lib/exit-codes.ts'
import { type ClientFlags, readClientFlags } from './client-settings.ts'
import { ClusterClient, GaveUpError } from './cluster-client.ts'
import { type CommandFlags, readCommandFlags } from './command-flags.ts'
import type { Command } from './command.ts'
import { ProblemError, reasonOf } from './member-client.ts'

/** What a command prints: JSON for programs, text for people. */
export interface Printed {
  readonly json: object
  readonly text: string
}

/** A refusal of the command's own, before or after a member was asked. */
export class CommandError extends Error {
  readonly code: string

  constructor(message: string, code = 'INVALID_ARGUMENT') {
    super(message)
    this.name = 'CommandError'
    this.code = code
  }
}

/**
 * Reads the flags of every client, then those that `read` reads, and runs `run` with both. Returns the exit code: 0 when
 * `run` resolves, 1 when it rejects, 2 when the command line is malformed.
 */
export async function runClientCommand<Own>(options: {
  readonly command: Command
  readonly argv: readonly string[]
  readonly read: (flags: CommandFlags) => Own
  readonly run: (client: ClusterClient, own: Own) => Promise<Printed>
}): Promise<number> {
  const { command, argv } = options
  const found = readCommandFlags(command, argv)
  if ('exitCode' in found) return found.exitCode
  const client = readClientFlags(found.flags)
  const own = options.read(found.flags)
  const refusal = found.flags.refusal()
  if (refusal !== undefined) return refusal
  const cluster = new ClusterClient(client)
  const { output } = client
  try {
    return await printOutcome({ command, output }, () => options.run(cluster, own))
  } finally {
    cluster.close()
  }
}

interface Outlet {
  readonly command: Command
  readonly output: ClientFlags['output']
}

/** Prints what `run` resolves with, or why it rejects. Returns the exit code. */
export async function printOutcome(to: Outlet, run: () => Promise<Printed>): Promise<number> {
  try {
    const { json, text } = await run()
    process.stdout.write(to.output === 'json' ? `${JSON.stringify(json, null, 2)}\n` : text)
    return EXIT_CLEAN
  } catch (error) {
    process.stderr.write(describeFailure(error, to))
    return EXIT_FAILED
  }
}

/** One line; with `-o json` an object whose `code` is one of docs/errors.md. */
function describeFailure(error: unknown, { command, output }: Outlet): string {
  const failure = failureOf(error)
  if (output === 'json') return `${JSON.stringify(failure)}\n`
  const { code, detail, ...details } = failure
  const shown = Object.entries(details)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]) => ` ${name}=${Array.isArray(value) ? value.join(',') : String(value)}`)
  return escapeControls(`raftbase ${command.name}: ${detail} (${code})${shown.join('')}`) + '\n'
}

/** In a problem document for programs, and already said or of no use to a person. */
const HIDDEN: ReadonlySet<string> = new Set(['type', 'title', 'status'])

function failureOf(error: unknown): { readonly code: string; readonly detail: string } {
  if (error instanceof ProblemError) return error.problem
  if (error instanceof CommandError) return { code: error.code, detail: error.message }
  if (error instanceof RaftbaseError) {
    return { ...error.details, code: error.code, detail: error.message }
  }
  const isInDoubt = error instanceof GaveUpError && error.isInDoubt
  if (isInDoubt) return { code: 'OUTCOME_UNKNOWN', detail: reasonOf(error) }
  const isBug = error instanceof TypeError || error instanceof InvariantViolation
  return { code: isBug ? 'INTERNAL' : 'PEER_UNREACHABLE', detail: reasonOf(error) }
}
