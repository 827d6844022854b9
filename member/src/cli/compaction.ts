// `raftbase compaction`.

import { runClientCommand, type Printed } from './client-command.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Command } from './command.ts'
import type { CommandFlags } from './command-flags.ts'
import { ProblemError } from './member-client.ts'

/** Returns the exit code. */
export function runCompaction(command: Command, argv: readonly string[]): Promise<number> {
  return runClientCommand({ command, argv, read: readRevision, run: compact })
}

function readRevision(flags: CommandFlags): number {
  const given = flags.words[0]
  const revision = /^[0-9]{1,16}$/.test(given ?? '') ? Number(given) : 0
  if (revision >= 1 && Number.isSafeInteger(revision)) return revision
  // A missing one has been said already.
  if (given !== undefined) {
    const accepted = 'an integer from 1 on'
    flags.refuse({ field: 'REVISION', given, reason: 'is not a revision', accepted })
  }
  return 0
}

/** What has happened before is done, so that repeating it after a lost answer is safe. */
async function compact(cluster: ClusterClient, revision: number): Promise<Printed> {
  try {
    const change = { method: 'POST', path: '/v1/compaction', body: { revision } } as const
    const json = await cluster.change(change)
    return { json, text: `compacted revision ${revision}\n` }
  } catch (error) {
    if (!(error instanceof ProblemError) || error.problem.code !== 'REVISION_COMPACTED') throw error
    const { compactRevision = revision, revision: current } = error.problem
    const json = { compactRevision, ...(current === undefined ? {} : { revision: current }) }
    return { json, text: `compacted before, up to revision ${compactRevision}\n` }
  }
}
