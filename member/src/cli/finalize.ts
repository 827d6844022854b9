// `raftbase finalize`.

import { type Printed, runClientCommand } from './client-command.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Command } from './command.ts'
import { readEpoch } from './membership.ts'

/** Returns the exit code. */
export function runFinalize(command: Command, argv: readonly string[]): Promise<number> {
  return runClientCommand({ command, argv, read: readEpoch, run: finalize })
}

/** Safe to repeat: the level never falls. */
async function finalize(
  cluster: ClusterClient,
  { expectedEpoch }: { readonly expectedEpoch: number | undefined },
): Promise<Printed> {
  const change = { method: 'POST', path: '/cluster/finalize', body: {}, expectedEpoch } as const
  const answer = await cluster.change(change)
  return { json: answer, text: `feature level ${String(answer['featureLevel'])}\n` }
}
