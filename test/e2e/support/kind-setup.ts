// Runs once before the Kubernetes scenarios, and once after: builds both images from their Dockerfiles, brings them to a
// cluster, and installs the chart with Helm. Both projects of the configuration ask for it; the first one to do so gets it
// done, and undone at the end of the run.
//
//   E2E_CLUSTER=current     the cluster that the kubeconfig means, instead of one of kind's that is made and removed
//   E2E_LOAD_IMAGE=COMMAND  brings the images it is given to the nodes of the current cluster; without it the nodes must
//                           have them, or be able to pull them
//   E2E_KIND_IMAGE=IMAGE    the node image of the kind cluster, instead of the one kind was published with
//   E2E_KEEP=1              leaves cluster and release for a look around

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../support/command.ts'
import { printOperator } from './diagnostics.ts'
import { kubectl } from './kubectl.ts'
import { applyCrd, installOperator, uninstallOperator } from './operator-release.ts'
import { namespaceOf, RUN, SCENARIOS } from './run.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const KIND_CONFIG = JSON.stringify({
  kind: 'Cluster',
  apiVersion: 'kind.x-k8s.io/v1alpha4',
  nodes: [{ role: 'control-plane' }, { role: 'worker' }, { role: 'worker' }, { role: 'worker' }],
  // Apart from the defaults, which another cluster on this machine may have.
  networking: { podSubnet: '10.112.0.0/16', serviceSubnet: '10.113.0.0/16' },
  // Instead of a minute: scenarios wait for changed Secrets and ConfigMaps to arrive.
  kubeadmConfigPatches: [JSON.stringify({ kind: 'KubeletConfiguration', syncFrequency: '10s' })],
})

type Undo = () => Promise<void>

/** Of this process: each project loads this module anew. */
const shared = globalThis as { raftbaseKindSetup?: Promise<Undo> }

export async function setup(): Promise<Undo | void> {
  if (shared.raftbaseKindSetup !== undefined) {
    await shared.raftbaseKindSetup
    return
  }
  shared.raftbaseKindSetup = setUp()
  return await shared.raftbaseKindSetup
}

async function setUp(): Promise<Undo> {
  const current = RUN.cluster === 'current'
  await requireTools(
    current ? ['docker', 'kubectl', 'helm'] : ['docker', 'kubectl', 'helm', 'kind'],
  )
  process.env['E2E_RUN_ID'] = randomBytes(3).toString('hex')
  const undo: Undo[] = []
  const teardown: Undo = async () => {
    if (process.env['E2E_KEEP'] === '1') {
      say(`E2E_KEEP=1: kept; export KUBECONFIG=${process.env['KUBECONFIG'] ?? ''}`)
      return
    }
    const failures: unknown[] = []
    for (const step of undo.toReversed()) await step().catch((error) => failures.push(error))
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'))
  }
  try {
    await prepare(current, undo)
    return teardown
  } catch (error) {
    await printOperator()
    await teardown()
    throw error
  }
}

async function prepare(current: boolean, undo: Undo[]): Promise<void> {
  const built = buildImages()
  const created = current ? undefined : createKindCluster(undo)
  // Both end before either's failure is told: what is half made could not be removed.
  await Promise.allSettled([built, created])
  await built
  const { memberImage, nextMemberImage, brokenMemberImage } = RUN
  const { operatorImage, nextOperatorImage, olderOperatorImage } = RUN
  const members = [memberImage, nextMemberImage, brokenMemberImage]
  const operators = [operatorImage, nextOperatorImage, olderOperatorImage]
  await loadImages([...members, ...operators], await created)
  const namespaces = [RUN.operatorNamespace, ...SCENARIOS.map(namespaceOf)]
  if (current) undo.push(() => removeNamespaces(namespaces))
  for (const name of namespaces) await createNamespace(name)
  if (current) {
    await applyCrd()
    undo.push(uninstallOperator, () => removeClusters(namespaces))
  }
  await timed('chart installed', installOperator)
}

async function buildImages(): Promise<void> {
  await timed('images built', async () => {
    await run('make', ['--no-print-directory', 'images'], 540_000)
    await run('docker', ['tag', RUN.memberImage, RUN.nextMemberImage], 20_000)
    await run('docker', ['tag', RUN.operatorImage, RUN.nextOperatorImage], 20_000)
    // The operator does not know the settings of a member, and ends.
    await run('docker', ['tag', RUN.operatorImage, RUN.brokenMemberImage], 20_000)
    await buildOlderOperator()
  })
}

/** Everything of it is as it is now but for one number: which revision of the template is its newest. */
async function buildOlderOperator(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-older-operator-'))
  try {
    const inside = '/app/operator/src/resources/render.js'
    const file = join(directory, 'render.js')
    const container = (await run('docker', ['create', RUN.operatorImage], 20_000)).trim()
    await run('docker', ['cp', `${container}:${inside}`, file], 20_000)
    await run('docker', ['rm', container], 20_000)
    const text = readFileSync(file, 'utf8')
    const older = text.replace(
      /^(export const RENDERER_REVISION = )2\b/m,
      (_, rest: string) => `${rest}1`,
    )
    if (older === text) throw new Error('render.js names no RENDERER_REVISION 2')
    writeFileSync(file, older)
    const dockerfile = `FROM ${RUN.operatorImage}\nCOPY render.js ${inside}\n`
    writeFileSync(join(directory, 'Dockerfile'), dockerfile)
    await run('docker', ['build', '--tag', RUN.olderOperatorImage, directory], 60_000)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function createKindCluster(undo: Undo[]): Promise<string> {
  const name = `raftbase-e2e-${RUN.id}`
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-e2e-'))
  process.env['KUBECONFIG'] = join(directory, 'kubeconfig')
  undo.push(async () => {
    await run('kind', ['delete', 'cluster', '--name', name], 120_000)
    rmSync(directory, { recursive: true })
  })
  const image = process.env['E2E_KIND_IMAGE']
  await timed('kind cluster created', async () => {
    await run(
      'kind',
      ['create', 'cluster', '--name', name, '--config', '-', '--wait', '180s'].concat(
        image === undefined || image === '' ? [] : ['--image', image],
      ),
      300_000,
      KIND_CONFIG,
    )
    // The workers may come later than the control plane.
    await kubectl(['wait', 'nodes', '--all', '--for=condition=Ready', '--timeout=120s'], {
      timeoutMs: 130_000,
    })
  })
  return name
}

async function loadImages(images: readonly string[], kindCluster: string | undefined) {
  const load = process.env['E2E_LOAD_IMAGE']
  await timed('images loaded', async () => {
    if (kindCluster !== undefined)
      await run('kind', ['load', 'docker-image', ...images, '--name', kindCluster], 240_000)
    else if (load !== undefined && load !== '')
      await run('sh', ['-c', `${load} ${images.join(' ')}`], 240_000)
    else say(`E2E_LOAD_IMAGE is not set: the nodes are expected to have ${images.join(' and ')}`)
  })
}

/** Every namespace enforces the restricted level: whatever does not comply does not start. */
async function createNamespace(name: string): Promise<void> {
  await kubectl(['create', 'namespace', name])
  await kubectl(['label', 'namespace', name, 'pod-security.kubernetes.io/enforce=restricted'])
}

/** What failed scenarios left: without an operator its finalizer would hold its namespace. */
async function removeClusters(namespaces: readonly string[]): Promise<void> {
  for (const name of namespaces) {
    await kubectl(['delete', 'raftclusters', '--all', '--namespace', name, '--timeout=60s'], {
      timeoutMs: 70_000,
    })
  }
}

async function removeNamespaces(names: readonly string[]): Promise<void> {
  await kubectl(['delete', 'namespaces', ...names, '--ignore-not-found', '--timeout=120s'], {
    timeoutMs: 130_000,
  })
}

async function requireTools(tools: readonly string[]): Promise<void> {
  const missing: string[] = []
  for (const tool of tools) {
    const result = await runCommand(tool, ['version'], { timeoutMs: 20_000 }).catch(() => undefined)
    // kubectl has no cluster to ask yet; docker needs its engine.
    if (result === undefined || (tool === 'docker' && result.code !== 0)) missing.push(tool)
  }
  if (missing.length === 0) return
  throw new Error(
    [
      '',
      `THE KUBERNETES SCENARIOS CANNOT RUN: no ${missing.join(', no ')} that works.`,
      '  need:   docker (for the images), kubectl, helm, and kind unless E2E_CLUSTER=current',
      '  fix:    install what is missing, start the container engine, put all of them on PATH',
      '',
    ].join('\n'),
  )
}

/** What it printed. */
async function run(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  input?: string,
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args, {
    timeoutMs,
    cwd: ROOT,
    ...(input === undefined ? {} : { input }),
  })
  if (code !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`)
  return stdout
}

async function timed(what: string, act: () => Promise<void>): Promise<void> {
  const startedMs = performance.now()
  await act()
  say(`${what} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`)
}

function say(text: string): void {
  process.stdout.write(`e2e: ${text}\n`)
}
