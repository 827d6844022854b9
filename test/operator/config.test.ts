// The operator's settings: precedence, defaults, what is refused and how it is said, and that docs/operator-process.md lists
// exactly these. UPDATE_GOLDEN=1 rewrites its table.

import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  loadOperatorConfig,
  type LoadedConfig,
  type OperatorConfig,
} from '../../operator/src/config.ts'
import { ENVIRONMENT_PREFIX, helpText, OPERATOR_SETTINGS } from '../../operator/src/settings.ts'
import { VERSION } from '../../operator/src/version.ts'

function load(
  argv: readonly string[],
  environment: Record<string, string> = {},
  file = '{}',
): LoadedConfig {
  return loadOperatorConfig({ argv, environment, readFile: () => file, hostName: 'host-1' })
}

function configOf(...sources: Parameters<typeof load>): OperatorConfig {
  const loaded = load(...sources)
  if (loaded.kind !== 'config') throw new Error(JSON.stringify(loaded))
  return loaded.config
}

function problemsOf(...sources: Parameters<typeof load>): string[] {
  const loaded = load(...sources)
  if (loaded.kind !== 'refused') throw new Error(JSON.stringify(loaded))
  return loaded.problems.map(({ field, reason }) => `${field} ${reason}`)
}

describe('defaults', () => {
  test('without any setting it is the ServiceAccount, every namespace and the durations of the contract', () => {
    expect(configOf([])).toEqual({
      kubeconfig: undefined,
      namespace: undefined,
      watchNamespaces: undefined,
      memberRepository: 'raftbase/member',
      docsUrl: 'docs',
      readsNodes: false,
      metricsListen: { host: '::', port: 8080 },
      workers: 4,
      kubeQps: 50,
      kubeBurst: 100,
      identity: 'host-1',
      leaseName: 'raftbase-operator',
      election: { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000 },
      logLevel: 'info',
    })
  })

  test('a pod tells its name and namespace; its ServiceAccount wins over KUBECONFIG, a flag over both', () => {
    const pod = { POD_NAME: 'op-1', POD_NAMESPACE: 'ops', KUBERNETES_SERVICE_HOST: '10.0.0.1' }
    expect(configOf([], { ...pod, KUBECONFIG: '/x' })).toMatchObject({
      identity: 'op-1',
      namespace: 'ops',
      kubeconfig: undefined,
    })
    expect(configOf([], { KUBECONFIG: '/x' }).kubeconfig).toBe('/x')
    expect(configOf(['-kubeconfig', '/y'], { ...pod, KUBECONFIG: '/x' }).kubeconfig).toBe('/y')
  })

  test('variables that Kubernetes makes for services are none of ours', () => {
    const loaded = load([], {
      RAFTBASE_OPERATOR_SERVICE_HOST: '10.0.0.7',
      RAFTBASE_OPERATOR_PORT_8080_TCP_ADDR: '10.0.0.7',
      RAFTBASE_OPERATOR_METRICS_PORT: 'tcp://10.0.0.7:8080',
    })
    expect(loaded).toMatchObject({ kind: 'config', warnings: [] })
  })
})

describe('values', () => {
  test('flags win over the environment, which wins over the file', () => {
    const environment = {
      RAFTBASE_OPERATOR_CONFIG: 'x.json',
      RAFTBASE_OPERATOR_WORKERS: '2',
      RAFTBASE_OPERATOR_LEASE_NAME: 'from-environment',
    }
    const file = '{"workers":1,"lease-name":"from-file","log-level":"debug"}'
    expect(configOf(['--lease-name=from-flag'], environment, file)).toMatchObject({
      leaseName: 'from-flag',
      workers: 2,
      logLevel: 'debug',
    })
  })

  test('namespaces are sorted, once each; none means all', () => {
    expect(configOf(['-watch-namespaces', 'b, a,b']).watchNamespaces).toEqual(['a', 'b'])
    const empty = { RAFTBASE_OPERATOR_WATCH_NAMESPACES: '' }
    expect(configOf([], empty).watchNamespaces).toBeUndefined()
  })

  test.each([
    [':9090', { host: '::', port: 9090 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
  ])('-metrics-addr %s', (text, address) => {
    expect(configOf(['-metrics-addr', text]).metricsListen).toEqual(address)
  })

  test.each([
    ['raftbase/member', true],
    ['ghcr.io/acme/raftbase', true],
    ['localhost:5000/raftbase/member', true],
    ['raftbase/member:0.1.0', false],
    ['raftbase/member@sha256:00', false],
    ['Raftbase/Member', false],
    ['a//b', false],
    ['', false],
  ])('-member-image %j is accepted: %j', (text, isAccepted) => {
    expect(load([`-member-image=${text}`]).kind).toBe(isAccepted ? 'config' : 'refused')
  })
})

describe('where the documents lie', () => {
  test.each([
    ['https://git.example.org/raftbase/docs', 'https://git.example.org/raftbase/docs'],
    ['https://git.example.org/raftbase/docs/', 'https://git.example.org/raftbase/docs'],
    ['docs', 'docs'],
  ])('-docs-url %s', (text, docsUrl) => {
    expect(configOf(['-docs-url', text]).docsUrl).toBe(docsUrl)
  })

  test.each([
    '',
    '/',
    'a b',
    'https://x.org/docs#top',
    'https://x.org/?page=docs',
    'x'.repeat(201),
  ])('-docs-url %j is refused', (text) => {
    expect(problemsOf([`-docs-url=${text}`])).toEqual([
      '-docs-url has a value that is not accepted',
    ])
  })
})

describe('refusals', () => {
  test('all problems are told together, each under the name its user wrote', () => {
    const problems = problemsOf(
      ['-workers', '0', '-lease-duration', 'soon', '-watch-namespaces', 'a,B'],
      { RAFTBASE_OPERATOR_METRICS_ADDR: 'example.org:80', RAFTBASE_OPERATOR_LOG_LEVEL: 'loud' },
    )
    expect(problems.toSorted()).toEqual([
      '-lease-duration has a value that is not accepted',
      '-watch-namespaces has a value that is not accepted',
      '-workers has a value that is not accepted',
      'RAFTBASE_OPERATOR_LOG_LEVEL has a value that is not accepted',
      'RAFTBASE_OPERATOR_METRICS_ADDR has a value that is not accepted',
    ])
  })

  test.each([
    [
      ['-lease-duration', '12s'],
      '-lease-duration is not longer than renew-deadline and retry-period together',
    ],
    [['-renew-deadline', '2s'], '-renew-deadline is not longer than retry-period'],
    [['-retry-period', '50ms'], '-retry-period is too short'],
  ])('%j: two operators could act at once', (argv, problem) => {
    expect(problemsOf(argv)).toContain(problem)
  })

  test('every accepted range is told with its refusal', () => {
    const loaded = load(['-kube-qps', '0'])
    expect(loaded).toMatchObject({ problems: [{ given: '0', accepted: '1 to 1000' }] })
  })
})

describe('documents', () => {
  test('--help lists every setting with its default and range', () => {
    const text = helpText()
    for (const { name, accepted } of OPERATOR_SETTINGS) {
      expect(text).toContain(`  -${name} `)
      expect(text).toContain(accepted)
    }
    expect(Math.max(...text.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(160)
    expect(load(['--help']).kind).toBe('help')
    expect(load(['-version']).kind).toBe('version')
  })

  test('the table of docs/operator-process.md is the table of settings', () => {
    const path = new URL('../../docs/operator-process.md', import.meta.url)
    const rows = OPERATOR_SETTINGS.map(({ name, help, fallback, accepted }) => {
      const variable = `${ENVIRONMENT_PREFIX}${name.toUpperCase().replaceAll('-', '_')}`
      return `| \`-${name}\`, \`${variable}\` | ${help} | ${fallback} | ${accepted} |\n`
    })
    const pattern = /(?:^\| `-.*\n)+/m
    const text = readFileSync(path, 'utf8')
    if (process.env['UPDATE_GOLDEN'] === '1')
      writeFileSync(
        path,
        text.replace(pattern, () => rows.join('')),
      )
    expect(readFileSync(path, 'utf8').match(pattern)?.[0]).toBe(rows.join(''))
  })

  test('the version is that of package.json', () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
    expect(JSON.parse(text)).toMatchObject({ version: VERSION })
  })
})
