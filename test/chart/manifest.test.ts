// The plain manifest that is made from the chart, for those who install without Helm: whole by itself, applied to a real API
// server twice, with the rights of the chart.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { ApiServer, missingApiServer } from '../support/api-server.ts'
import { CHART, HELM, helm, missingHelm } from '../support/helm.ts'

const WHAT = 'the tests of install.yaml'
const SKIPPED = missingApiServer(WHAT) ?? missingHelm(WHAT)
const OPERATOR = '--as=system:serviceaccount:raftbase-system:raftbase-operator'

let server: ApiServer
let manifest = ''

beforeAll(async () => {
  if (SKIPPED !== undefined) return
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-manifest-'))
  const PATH = `${dirname(HELM!)}${delimiter}${process.env['PATH']}`
  const made = spawnSync('make', ['-s', 'install-manifest', `DIST=${directory}`], {
    cwd: join(import.meta.dirname, '../..'),
    env: { ...process.env, PATH },
    encoding: 'utf8',
  })
  if (made.status !== 0) throw new Error(made.stderr)
  manifest = readFileSync(join(directory, 'install.yaml'), 'utf8')
  rmSync(directory, { recursive: true })
  server = await ApiServer.start()
}, 120_000)

afterAll(async () => {
  await server?.stop()
}, 30_000)

describe.skipIf(SKIPPED !== undefined)('install.yaml', { timeout: 60_000 }, () => {
  test('has everything, and nothing that only Helm understands', () => {
    const objects = parseAllDocuments(manifest)
      .map((document) => document.toJS() as { kind: string; metadata: object } | null)
      .filter((object) => object !== null)
    const kinds = new Set(objects.map(({ kind }) => kind))
    expect(objects[0]).toMatchObject({ kind: 'Namespace', metadata: { name: 'raftbase-system' } })
    for (const kind of ['CustomResourceDefinition', 'Deployment', 'ClusterRole', 'Role']) {
      expect(kinds).toContain(kind)
    }
    expect(kinds).toContain('ValidatingAdmissionPolicy')
    expect(kinds).not.toContain('Pod')
    expect(manifest).not.toMatch(/managed-by: Helm|helm\.sh\/(?!resource-policy: keep)/)
  })

  test('its network policies and dashboards are accepted as well', async () => {
    const { code, stdout } = await helm(
      'template',
      'raftbase',
      CHART,
      ...'--namespace default --skip-tests --set networkPolicy.enabled=true'.split(' '),
      ...'--set monitoring.dashboards.enabled=true'.split(' '),
      ...'--set networkPolicy.memberNamespaces={default,kube-system}'.split(' '),
      ...'--show-only templates/networkpolicy.yaml'.split(' '),
      ...'--show-only templates/dashboards.yaml'.split(' '),
    )
    expect(code).toBe(0)
    const applied = await server.mustKubectl(['apply', '--server-side', '-f', '-'], stdout)
    expect(applied.match(/networkpolicy\S+ serverside-applied/g)).toHaveLength(3)
    expect(applied.match(/configmap\S+ serverside-applied/g)).toHaveLength(2)
  })

  test('is accepted by an API server, twice, and gives the operator the rights of the chart', async () => {
    const apply = ['apply', '--server-side', '-f', '-']
    const first = await server.mustKubectl(apply, manifest)
    expect(first).toContain('deployment.apps/raftbase-operator serverside-applied')
    await server.mustKubectl(apply, manifest)
    await server.servesRaftClusters()
    const can = async (...args: readonly string[]): Promise<string> =>
      (await server.kubectl(['auth', 'can-i', ...args, OPERATOR])).stdout.trim()
    expect(await can('list', 'raftclusters.raftbase.io', '-A')).toBe('yes')
    expect(await can('update', 'leases.coordination.k8s.io', '-n', 'raftbase-system')).toBe('yes')
    expect(await can('create', 'pods', '-n', 'default')).toBe('no')
  })
})
