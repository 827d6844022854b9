// What a person would look at when a scenario has failed, printed before anything of it is removed.

import { tryKubectl } from './kubectl.ts'
import { RUN } from './run.ts'

const OPERATOR_LABEL = 'app.kubernetes.io/name=raftbase-operator'

/** Objects, events and logs of a scenario's namespace, then the operator's. */
export async function printDiagnostics(namespace: string): Promise<void> {
  await print(['get', 'nodes', '--output', 'wide'])
  await print([
    'get',
    'raftclusters,statefulsets,pods,persistentvolumeclaims,services,configmaps,poddisruptionbudgets',
    '--namespace',
    namespace,
    '--output',
    'wide',
  ])
  await print(['get', 'events', '--namespace', namespace, '--sort-by=.lastTimestamp'])
  await print(['describe', 'raftclusters,pods', '--namespace', namespace])
  await print([
    'logs',
    '--namespace',
    namespace,
    '--selector',
    'app.kubernetes.io/name=raftbase',
    '--tail=100',
    '--prefix',
    '--ignore-errors',
  ])
  await printOperator()
}

export async function printOperator(): Promise<void> {
  const namespace = ['--namespace', RUN.operatorNamespace]
  await print(['get', 'pods,leases', ...namespace, '--output', 'wide'])
  await print(['get', 'events', ...namespace, '--sort-by=.lastTimestamp'])
  const logs = ['logs', ...namespace, '--selector', OPERATOR_LABEL, '--tail=200', '--prefix']
  await print([...logs, '--ignore-errors'])
}

async function print(args: readonly string[]): Promise<void> {
  const { stdout, stderr } = await tryKubectl(args).catch((error: unknown) => ({
    stdout: '',
    stderr: String(error),
  }))
  console.error(`--- kubectl ${args.join(' ')}\n${stdout}${stderr}`)
}
