// The nodes members may run on, and what is done to them. A scenario that takes one away needs several.

import { runCommand } from '../../support/command.ts'
import { kubectl, tryKubectl } from './kubectl.ts'
import { RUN } from './run.ts'

interface NodeObject {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly taints?: readonly { readonly effect: string }[]
    readonly unschedulable?: boolean
  }
}

/** Names of the nodes that take any pod. */
export async function workerNodes(): Promise<readonly string[]> {
  const { items } = JSON.parse(await kubectl(['get', 'nodes', '--output', 'json'])) as {
    items: readonly NodeObject[]
  }
  return items
    .filter(({ spec }) => spec.unschedulable !== true)
    .filter(({ spec }) => !spec.taints?.some(({ effect }) => effect !== 'PreferNoSchedule'))
    .map(({ metadata }) => metadata.name)
}

/** Says loudly why a scenario that takes hold of nodes is left out; undefined when it can run. */
export async function cannotTakeNodes(
  scenario: string,
  needed: number,
): Promise<string | undefined> {
  const reason = await whyNot(needed)
  if (reason !== undefined) console.warn(`!!! SKIPPED: ${scenario}: ${reason}`)
  return reason
}

async function whyNot(needed: number): Promise<string | undefined> {
  if (RUN.cluster === 'current') return 'it takes hold of nodes, and others may use this cluster'
  const { length } = await workerNodes()
  return length >= needed ? undefined : `it needs ${needed} nodes that take pods, not ${length}`
}

export async function cordon(node: string): Promise<void> {
  await kubectl(['cordon', node])
}

export async function uncordon(node: string): Promise<void> {
  await kubectl(['uncordon', node])
}

/** Whether the node was emptied within the time; what kubectl said either way. */
export async function drain(
  node: string,
  seconds: number,
): Promise<{ readonly done: boolean; readonly said: string }> {
  const { code, stdout, stderr } = await tryKubectl(
    [
      'drain',
      node,
      '--ignore-daemonsets',
      '--delete-emptydir-data',
      '--force',
      `--timeout=${seconds}s`,
    ],
    { timeoutMs: (seconds + 15) * 1000 },
  )
  return { done: code === 0, said: stdout + stderr }
}

/** As pulling the plug: a node of kind is a container of the same name. */
export async function stopWorker(node: string): Promise<void> {
  await engine(['stop', '--time', '0', node])
}

export async function startWorker(node: string): Promise<void> {
  await engine(['start', node])
}

/** Gone for good, disks and all, and Kubernetes is told so. */
export async function removeWorker(node: string): Promise<void> {
  await engine(['rm', '--force', '--volumes', node])
  await kubectl(['delete', 'node', node])
}

/** Runs a command on a node as its administrator; what it printed. */
export async function onNode(node: string, command: readonly string[]): Promise<string> {
  return engine(['exec', node, ...command])
}

async function engine(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand('docker', args, { timeoutMs: 60_000 })
  if (code !== 0) throw new Error(`docker ${args.join(' ')} ended with ${code}\n${stdout}${stderr}`)
  return stdout
}
