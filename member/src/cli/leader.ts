// `raftbase leader transfer`.

import { type Printed, runClientCommand } from './client-command.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { Command } from './command.ts'
import { readEpoch } from './membership.ts'

/** Returns the exit code. */
export function runTransfer(command: Command, argv: readonly string[]): Promise<number> {
  return runClientCommand({
    command,
    argv,
    read: (flags) => ({ target: flags.words[0], ...readEpoch(flags) }),
    run: transfer,
  })
}

/** Names the leader it means to replace: repeated after a lost answer, it does not move leadership a second time. */
async function transfer(
  cluster: ClusterClient,
  {
    target,
    expectedEpoch,
  }: { readonly target: string | undefined; readonly expectedEpoch: number | undefined },
): Promise<Printed> {
  const { nodes } = await cluster.nodes()
  const from = nodes.find(({ status }) => status === 'leader')?.id
  const answer = await cluster.change({
    method: 'POST',
    path: '/cluster/leader',
    body: target === undefined ? { from } : { target },
    expectedEpoch,
    // Each attempt holds writes up: one that failed is told, not repeated.
    isTriedOnce: true,
  })
  const { leader, leaderName } = answer
  return { json: answer, text: `${String(leaderName ?? leader)} leads\n` }
}
