// The chart as Helm renders it: golden files for three sets of values, and what must hold whatever the values. To rewrite
// the golden files after a change: UPDATE_GOLDEN=1 npx vitest run test/chart, then read the difference like code.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { loadOperatorConfig } from '../../operator/src/config.ts'
import * as resourceTypes from '../../operator/src/api/resource-types.ts'
import { CHART, helm, missingHelm } from '../support/helm.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const TESTDATA = join(import.meta.dirname, 'testdata')
const SKIPPED = missingHelm('the tests of the rendered chart')

/** Kinds that belong to no namespace and are only read. */
const OUTSIDE: ReadonlySet<string> = new Set(['nodes', 'persistentvolumes'])

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

interface PodSpec {
  readonly securityContext: object
  readonly containers: readonly {
    readonly image: string
    readonly securityContext: object
    readonly env: readonly { readonly name: string; readonly value?: string }[]
  }[]
}

interface Rendered {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly annotations?: Record<string, string>
  }
  readonly rules?: readonly Rule[]
  readonly spec?: PodSpec & { readonly template?: { readonly spec: PodSpec } }
}

interface Policy {
  readonly spec: {
    readonly podSelector: object
    readonly ingress: readonly {
      readonly from: readonly object[]
      readonly ports: readonly { readonly port: string }[]
    }[]
  }
}

/** Of the operator's container. */
function variablesOf(all: readonly Rendered[]): PodSpec['containers'][number]['env'] {
  return all
    .filter(({ kind }) => kind === 'Deployment')
    .flatMap(({ spec }) => spec?.template?.spec.containers ?? [])
    .flatMap(({ env }) => env)
}

function named(namespace: string): object {
  return { 'kubernetes.io/metadata.name': namespace }
}

async function render(...args: readonly string[]): Promise<string> {
  const all = ['template', 'raftbase', CHART, '--namespace', 'raftbase-system', ...args]
  const { code, stdout, stderr } = await helm(...all)
  if (code !== 0) throw new Error(stderr)
  return stdout
}

async function objects(...args: readonly string[]): Promise<readonly Rendered[]> {
  return parseAllDocuments(await render(...args))
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null)
}

function text(...path: readonly string[]): string {
  return readFileSync(join(ROOT, ...path), 'utf8')
}

describe.skipIf(SKIPPED !== undefined)('the chart', () => {
  test('passes helm lint without a warning', async () => {
    expect(await helm('lint', '--strict', '--quiet', CHART)).toMatchObject({ code: 0, stdout: '' })
  })

  test.each(['default', 'namespaces', 'everything'])('renders the values of %s', async (name) => {
    const values = join(TESTDATA, name, 'values.yaml')
    // The definition is a file of its own already; the test pod's script and the dashboards as well.
    const rendered = (await render('--values', values, '--set', 'crds.enabled=false'))
      .replace(/(helm-test\.mjs: \|\n)(?: {4}.*\n|\n)*/, '$1    (files/helm-test.mjs)\n')
      .replace(/(raftbase-\w+\.json: \|\n)(?: {4}.*\n|\n)*/g, '$1    (files/dashboards)\n')
    const golden = join(TESTDATA, name, 'rendered.yaml')
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, rendered)
    expect(rendered).toBe(readFileSync(golden, 'utf8'))
  })

  test('installs the CustomResourceDefinition, and leaves it at an uninstall', async () => {
    const crd = (await objects()).find(({ kind }) => kind === 'CustomResourceDefinition')
    expect(crd).toEqual(parse(text('crds', 'raftclusters.yaml')))
    expect(crd?.metadata.annotations?.['helm.sh/resource-policy']).toBe('keep')
  })

  test('has a chart beside it with the definition alone, of the same version', async () => {
    const alone = join(ROOT, 'charts', 'raftbase-crds')
    expect(await helm('lint', '--strict', '--quiet', alone)).toMatchObject({ code: 0, stdout: '' })
    const { code, stdout } = await helm('template', 'crds', alone)
    expect(code).toBe(0)
    expect(parse(stdout)).toEqual(parse(text('crds', 'raftclusters.yaml')))
    const versions = ['raftbase-crds', 'raftbase-operator'].map((name) => {
      const { version, appVersion } = parse(text('charts', name, 'Chart.yaml')) as Rendered & {
        version: string
        appVersion: string
      }
      return { version, appVersion }
    })
    expect(versions[0]).toEqual(versions[1])
  })

  test('its network policies let in peers from members, clients with the label, and monitoring, nobody else (X18)', async () => {
    const made = await objects(
      '--set=networkPolicy.enabled=true',
      '--set=networkPolicy.memberNamespaces={prod}',
    )
    const policies = made.filter(({ kind }) => kind === 'NetworkPolicy') as unknown as Policy[]
    const [operator, members] = policies.map(({ spec }) => spec)
    const monitoring = { namespaceSelector: { matchLabels: named('monitoring') } }
    expect(operator!.ingress).toEqual([
      { from: [monitoring], ports: [{ port: 'health', protocol: 'TCP' }] },
    ])
    const doors = members!.ingress.flatMap(({ from, ports }) =>
      ports.map(({ port }) => [port, JSON.stringify(from)] as const),
    )
    const through = (port: string): string[] =>
      doors.filter(([name]) => name === port).map(([, from]) => from)
    const member = {
      matchLabels: { 'app.kubernetes.io/name': 'raftbase' },
      matchExpressions: [{ key: 'raftbase.io/cluster', operator: 'Exists' }],
    }
    expect(members!.podSelector).toEqual(member)
    // Without a namespace: of the policy's own.
    expect(through('peer')).toEqual([JSON.stringify([{ podSelector: member }])])
    const labelled = {
      namespaceSelector: {},
      podSelector: { matchLabels: { 'raftbase.io/client': 'true' } },
    }
    expect(through('client')).toEqual([JSON.stringify([labelled])])
    expect(through('metrics')).toEqual([JSON.stringify([monitoring])])
    const acting = {
      namespaceSelector: { matchLabels: named('raftbase-system') },
      podSelector: {
        matchLabels: {
          'app.kubernetes.io/name': 'raftbase-operator',
          'app.kubernetes.io/instance': 'raftbase',
        },
      },
    }
    expect(through('api')).toEqual([JSON.stringify([acting]), JSON.stringify([labelled])])
    expect(new Set(doors.map(([port]) => port))).toEqual(
      new Set(['peer', 'client', 'metrics', 'api']),
    )
  })

  test('says of itself on Artifact Hub what it installs', () => {
    const chart = parse(text('charts', 'raftbase-operator', 'Chart.yaml')) as {
      readonly appVersion: string
      readonly annotations: Readonly<Record<string, string>>
    }
    const values = parse(text('charts', 'raftbase-operator', 'values.yaml')) as {
      readonly image: { readonly repository: string }
      readonly memberImage: { readonly repository: string }
    }
    const said = (name: string): unknown => parse(chart.annotations[`artifacthub.io/${name}`]!)
    expect(said('images')).toEqual([
      { name: 'operator', image: `${values.image.repository}:${chart.appVersion}` },
      { name: 'member', image: `${values.memberImage.repository}:${chart.appVersion}` },
    ])
    const crd = parse(text('crds', 'raftclusters.yaml')) as { spec: { names: { kind: string } } }
    const { kind } = crd.spec.names
    expect(said('crds')).toMatchObject([{ kind, name: 'raftclusters.raftbase.io' }])
    expect(said('crdsExamples')).toMatchObject([{ kind, spec: { version: chart.appVersion } }])
    expect(said('license')).toBe('Apache-2.0')
  })

  test('gives the operator rights on exactly the kinds of objects it works with', async () => {
    const types = Object.values(resourceTypes).filter((value) => typeof value === 'object')
    const wanted = types.map(({ group, resource }) => `${resource}.${group}`)
    const granted = (await operatorRules())
      .flatMap(({ apiGroups, resources }) =>
        apiGroups.flatMap((group) => resources.map((resource) => `${resource}.${group}`)),
      )
      .filter((name) => !name.includes('/') && name !== 'events.')
    expect([...new Set(granted)].toSorted()).toEqual(wanted.toSorted())
  })

  test('gives it none on nodes and volumes where that is not wanted, and tells it so', async () => {
    for (const set of ['rbac.nodes=false', 'rbac.scope=Namespaces,rbac.namespaces={prod}']) {
      const all = await objects('--set', set)
      const granted = all.flatMap(({ rules = [] }) => rules.flatMap(({ resources }) => resources))
      expect(granted.filter((name) => OUTSIDE.has(name))).toEqual([])
      expect(variablesOf(all).map(({ name }) => name)).not.toContain('RAFTBASE_OPERATOR_READ_NODES')
    }
  })

  test('sets nothing but settings that the operator has', async () => {
    const values = join(TESTDATA, 'everything', 'values.yaml')
    const environment = Object.fromEntries(
      [...variablesOf(await objects()), ...variablesOf(await objects('--values', values))].map(
        ({ name, value = '' }) => [name, value],
      ),
    )
    const loaded = loadOperatorConfig({
      argv: [],
      environment,
      readFile: () => '{}',
      hostName: 'host',
    })
    expect(loaded).toMatchObject({ kind: 'config', warnings: [] })
    expect(loaded).toMatchObject({
      config: { memberRepository: 'example.org/team/raftbase-member', watchNamespaces: ['prod'] },
    })
  })

  test('its right to Secrets can be kept to namespaces, or not be given (X17)', async () => {
    const [two, none] = ['rbac.secrets.namespaces={prod,test}', 'rbac.secrets.enabled=false']
    const one = ['--set=rbac.scope=Namespaces', '--set=rbac.namespaces={prod}']
    expect(await secretsIn()).toEqual(['ClusterRole (everywhere)'])
    expect(await secretsIn(`--set=${two}`)).toEqual(['Role prod', 'Role test'])
    expect(await secretsIn(`--set=${none}`)).toEqual([])
    expect(await secretsIn(`--set=${none},${two}`)).toEqual([])
    expect(await secretsIn(...one)).toEqual(['Role prod'])
    expect(await secretsIn(...one, `--set=${none}`)).toEqual([])
  })

  test('cert-manager is used only where that is wanted', async () => {
    expect(rulesFor(await objects(), 'cert-manager.io')).toEqual([])
    const narrow = ['--set=rbac.scope=Namespaces', '--set=rbac.namespaces={prod}']
    const all = await objects('--set=rbac.certManager=true', ...narrow)
    expect(rulesFor(all, 'cert-manager.io')).toEqual([
      {
        apiGroups: ['cert-manager.io'],
        resources: ['certificates'],
        verbs: ['get', 'list', 'create', 'patch', 'delete'],
      },
      { apiGroups: ['cert-manager.io'], resources: ['issuers'], verbs: ['get'] },
    ])
  })

  test('objects of the Prometheus operator are made for clusters only where that is wanted', async () => {
    const group = 'monitoring.coreos.com'
    const rule = {
      apiGroups: ['monitoring.coreos.com'],
      resources: ['podmonitors', 'prometheusrules'],
      verbs: ['get', 'list', 'create', 'patch', 'delete'],
    }
    // What the chart itself makes is made by who installs it.
    const own = ['podMonitors', 'alerts'].map((one) => `--set=monitoring.${one}.enabled=true`)
    expect(rulesFor(await objects(...own), group)).toEqual([])
    const wide = ['--set=rbac.monitoring=true']
    expect(rulesFor(await objects(...wide), group)).toEqual([rule])
    const narrow = ['--set=rbac.scope=Namespaces', '--set=rbac.namespaces={prod}']
    expect(rulesFor(await objects(...wide, ...narrow), group)).toEqual([rule])
  })

  test('gives it no right by wildcard, to list secrets, to make pods, or to give rights', async () => {
    for (const { resources, verbs } of await operatorRules()) {
      expect(resources.filter((name) => name.includes('*') || /role/.test(name))).toEqual([])
      // One by one, by names that it knows.
      const bulk = ['list', 'watch', 'delete', 'deletecollection']
      const isSecrets = resources.includes('secrets')
      expect(verbs.filter((verb) => isSecrets && bulk.includes(verb))).toEqual([])
      expect(
        verbs.filter((verb) => ['*', 'escalate', 'bind', 'impersonate'].includes(verb)),
      ).toEqual([])
      expect(resources.includes('pods') && verbs.includes('create')).toBe(false)
    }
  })

  test('an operator of two namespaces has one right outside of them: to let RaftClusters go', async () => {
    const values = join(TESTDATA, 'namespaces', 'values.yaml')
    const all = await objects('--values', values)
    const wide = all.filter(({ kind }) => kind === 'ClusterRole')
    expect(wide.map(({ rules }) => rules)).toEqual([
      [
        { apiGroups: ['raftbase.io'], resources: ['raftclusters'], verbs: ['get', 'patch'] },
        { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
      ],
    ])
    expect(all.filter(({ kind }) => kind === 'Role').length).toBe(4)
  })

  test('every pod complies with the restricted Pod Security level (X16)', async () => {
    const specs = (await objects())
      .map(({ kind, spec }) => (kind === 'Pod' ? spec : spec?.template?.spec))
      .filter((spec) => spec !== undefined)
    expect(specs.length).toBe(2)
    for (const { securityContext, containers } of specs) {
      expect(securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      for (const container of containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
      }
    }
  })

  test.each([
    { set: 'replicaCount=-1', said: 'replicaCount' },
    { set: 'replicas=2', said: 'replicas' },
    { set: 'image.pullPolicy=Sometimes', said: 'pullPolicy' },
    { set: 'image.digest=sha256:12', said: 'digest' },
    { set: 'memberImage.tag=1', said: 'tag' },
    { set: 'memberImage.repository=raftbase/member:1', said: 'repository' },
    { set: 'rbac.scope=namespace', said: 'scope' },
    { set: 'rbac.namespaces[0]=Prod', said: 'namespaces' },
    { set: 'logLevel=loud', said: 'logLevel' },
    { set: 'metrics.service.port=0', said: 'port' },
    { set: 'crds.enabled=yes', said: 'enabled' },
    { set: 'podLabels.a=1', said: 'podLabels' },
    { set: 'monitoring.enabled=true', said: 'monitoring' },
    { set: 'monitoring.podMonitors.interval=often', said: 'interval' },
    { set: 'networkPolicy.apiServerPorts[0]=0', said: 'apiServerPorts' },
    { set: 'networkPolicy.memberNamespaces[0]=Prod', said: 'memberNamespaces' },
    { set: 'rbac.scope=Namespaces', said: 'needs at least one namespace in rbac.namespaces' },
    { set: 'rbac.namespaces[0]=prod', said: 'goes with rbac.scope=Namespaces' },
    {
      set: 'rbac.scope=Namespaces,rbac.namespaces[0]=prod,test.namespace=other',
      said: 'not one of rbac.namespaces',
    },
  ])('refuses $set and says why', async ({ set, said }) => {
    const { code, stderr } = await helm('template', 'raftbase', CHART, '--set', set)
    expect(code).not.toBe(0)
    expect(stderr).toContain(said)
  })
})

describe('the files of the chart', () => {
  test('have the CustomResourceDefinition of crds/ (make chart copies it)', () => {
    const copy = text('charts', 'raftbase-operator', 'files', 'raftclusters.yaml')
    expect(copy).toBe(text('crds', 'raftclusters.yaml'))
  })

  test('have the version of package.json', () => {
    const { version } = JSON.parse(text('package.json')) as { version: string }
    const chart = parse(text('charts', 'raftbase-operator', 'Chart.yaml')) as Record<string, string>
    expect(chart).toMatchObject({ version, appVersion: version })
    const example = parse(text('examples', 'raftcluster.yaml')) as { spec: { version: string } }
    expect(example.spec.version).toBe(version)
  })

  test('are installed as the README says, with the example it shows', () => {
    expect(text('README.md')).toContain(
      `\n\`\`\`yaml\n${text('examples', 'raftcluster.yaml')}\`\`\`\n`,
    )
  })

  test('describe each value in the schema, and nothing that is no value', () => {
    const values = parse(text('charts', 'raftbase-operator', 'values.yaml')) as object
    const schema = JSON.parse(text('charts', 'raftbase-operator', 'values.schema.json')) as Schema
    expect(keysOf(values, schema)).toEqual([])
  })
})

/** Who has a right to Secrets, and where. */
async function secretsIn(...args: readonly string[]): Promise<readonly string[]> {
  return (await objects(...args))
    .filter(({ rules }) => rules?.some(({ resources }) => resources.includes('secrets')))
    .map(({ kind, metadata: { namespace } }) => `${kind} ${namespace ?? '(everywhere)'}`)
}

function rulesFor(all: readonly Rendered[], group: string): readonly Rule[] {
  return all.flatMap(({ rules = [] }) => rules.filter(({ apiGroups }) => apiGroups.includes(group)))
}

async function operatorRules(): Promise<readonly Rule[]> {
  const names = ['raftbase-operator', 'raftbase-operator-leader-election']
  // With everything that it can be allowed.
  const all = await objects('--set=rbac.certManager=true,rbac.monitoring=true')
  const roles = all.filter(
    ({ kind, metadata }) => kind.endsWith('Role') && names.includes(metadata.name),
  )
  expect(roles.length).toBe(2)
  return roles.flatMap(({ rules }) => rules!)
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
  readonly $ref?: string
  readonly definitions?: Readonly<Record<string, Schema>>
}

/** Where values and schema name different keys, as sentences. */
function keysOf(values: object, root: Schema, schema: Schema = root, path = ''): string[] {
  const resolved =
    schema.$ref === undefined ? schema : root.definitions![schema.$ref.split('/').at(-1)!]!
  const { properties, additionalProperties } = resolved
  if (properties === undefined) return []
  const problems: string[] = []
  if (additionalProperties !== false) problems.push(`${path} accepts keys that mean nothing`)
  for (const [key, value] of Object.entries(values)) {
    const inner = properties[key]
    if (inner === undefined) problems.push(`${path}.${key} is not in the schema`)
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      problems.push(...keysOf(value as object, root, inner, `${path}.${key}`))
  }
  for (const key of Object.keys(properties))
    if (!(key in values) && key !== 'global' && !path.startsWith('.resources'))
      problems.push(`${path}.${key} is no value`)
  return problems
}
