// The chart, installed by Helm as its users do. In a cluster of this run's own the operator serves every namespace; in one
// that is shared with others only the scenarios' own, and the CRD belongs to nobody's release.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asDocumented } from './drills.ts'
import { getObject, helm, kubectl } from './kubectl.ts'
import { namespaceOf, OPERATOR_DEPLOYMENT, RUN, SCENARIOS } from './run.ts'
import { waitFor } from './wait.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const CHART = join(ROOT, 'charts', 'raftbase-operator')

export async function installOperator(): Promise<void> {
  await release(['install', RUN.release, CHART])
}

/** In the place of the one that runs: an operator that knows the first revision of the template only. */
export async function installOlderOperator(): Promise<void> {
  const tag = RUN.olderOperatorImage.slice(RUN.olderOperatorImage.lastIndexOf(':') + 1)
  await release(['upgrade', RUN.release, CHART, '--set', `image.tag=${tag}`])
}

/** As users do when a version comes out: a newer chart with a newer image of the operator, and other values, too. */
export async function upgradeOperator(values: readonly string[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-chart-'))
  try {
    const versions = ['--version', '99.0.0', '--app-version', RUN.nextVersion]
    await helm(['package', CHART, ...versions, '--destination', directory], 30_000)
    const chart = join(directory, 'raftbase-operator-99.0.0.tgz')
    const set = values.flatMap((value) => ['--set', value])
    await release(['upgrade', RUN.release, chart, ...set])
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function release(args: readonly string[]): Promise<void> {
  const shared = RUN.cluster === 'kind' ? [] : sharedClusterValues()
  const where = ['--namespace', RUN.operatorNamespace, ...shared]
  await helm([...args, ...where, '--wait', '--timeout', '120s'], 150_000)
}

export async function uninstallOperator(): Promise<void> {
  await helm(
    ['uninstall', RUN.release, '--namespace', RUN.operatorNamespace, '--wait', '--timeout', '60s'],
    90_000,
  )
}

/** `helm test`; returns what the test's pod printed. */
export async function testRelease(): Promise<string> {
  const args = ['test', RUN.release, '--namespace', RUN.operatorNamespace, '--logs']
  return helm([...args, '--timeout', '150s'], 180_000)
}

/** Kills every operator at once, without a chance to end what it is doing. */
export async function killOperators(): Promise<void> {
  const how = '-l app.kubernetes.io/name=raftbase-operator --grace-period=0 --force --wait=false'
  const command = `kubectl delete pods -n raftbase-system ${how}`
  await asDocumented('default', command, { 'raftbase-system': RUN.operatorNamespace })
}

export async function operatorLogs(lines: number): Promise<string> {
  return kubectl([
    'logs',
    `--namespace=${RUN.operatorNamespace}`,
    `--selector=app.kubernetes.io/name=raftbase-operator`,
    `--tail=${lines}`,
    '--prefix',
    '--ignore-errors',
  ])
}

/** Name of the pod whose operator acts: the one that the Lease names. */
export async function actingOperator(): Promise<string> {
  const what = { what: 'an operator that acts', timeoutMs: 60_000, periodMs: 100 }
  return waitFor(what, async () => {
    type Lease = { readonly spec: { readonly holderIdentity?: string } }
    const lease = await getObject<Lease>(RUN.operatorNamespace, 'lease', 'raftbase-operator')
    const pod = lease?.spec.holderIdentity?.split('_')[0] ?? ''
    return pod === '' ? { notYet: lease } : pod
  })
}

export async function operatorRolledOut(): Promise<void> {
  const deployment = `deployment/${OPERATOR_DEPLOYMENT}`
  await kubectl(
    ['rollout', 'status', deployment, '--namespace', RUN.operatorNamespace, '--timeout=90s'],
    { timeoutMs: 100_000 },
  )
}

/** Where somebody else's CRD may be installed already: it is brought up to date and left there. */
export async function applyCrd(): Promise<void> {
  const file = join(ROOT, 'crds', 'raftclusters.yaml')
  await kubectl(['apply', '--server-side', '--force-conflicts', '--filename', file])
  // A CRD that has no conditions yet is an error to kubectl wait, not something to wait for.
  await waitFor({ what: 'the CRD to be established', timeoutMs: 30_000 }, () =>
    kubectl(['wait', '--for=condition=Established', 'crd/raftclusters.raftbase.io']),
  )
}

function sharedClusterValues(): string[] {
  const namespaces = SCENARIOS.map(namespaceOf)
  return ['--set', 'crds.enabled=false', '--set', 'rbac.scope=Namespaces'].concat(
    namespaces.flatMap((name, i) => ['--set', `rbac.namespaces[${i}]=${name}`]),
  )
}
