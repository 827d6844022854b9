// What a member's configuration accepts, what it makes of it, and how it says no. Texts that etcd has are etcd's
// (contract 6.3).

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { describeProblem } from '../../lib/config.ts'
import { loadMemberConfig, type MemberConfig } from '../../member/src/config.ts'
import {
  ENVIRONMENT_PREFIX,
  MEMBER_SETTINGS,
  UNSUPPORTED_ETCD_SETTINGS,
} from '../../member/src/settings.ts'

interface Given {
  readonly environment?: Record<string, string>
  readonly file?: string
  readonly workingDirectory?: string
}

function load(argv: readonly string[], given: Given = {}) {
  return loadMemberConfig({
    argv: given.file === undefined ? argv : ['-config', 'n.json', ...argv],
    environment: given.environment ?? {},
    readFile: () => given.file ?? '',
    workingDirectory: given.workingDirectory ?? '/srv/none',
  })
}

function accept(argv: readonly string[], given: Given = {}): MemberConfig {
  const loaded = load(argv, given)
  if (loaded.kind !== 'config') throw new Error(JSON.stringify(loaded))
  return loaded.config
}

function refuse(argv: readonly string[], given: Given = {}): string[] {
  const loaded = load(argv, given)
  if (loaded.kind !== 'refused') throw new Error(`accepted: ${argv.join(' ')}`)
  return loaded.problems.map(describeProblem)
}

const CLUSTER = 'n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384'

test('all flags unset are one member on the addresses of the example (design 4)', () => {
  expect(accept([])).toEqual({
    name: 'n1',
    dataDir: '/srv/none/data/n1',
    listenClient: [
      { host: '127.0.0.1', port: 2379, isSecure: false, url: 'http://127.0.0.1:2379' },
    ],
    listenPeer: [{ host: '127.0.0.1', port: 2380, isSecure: false, url: 'http://127.0.0.1:2380' }],
    advertiseClientUrls: ['http://127.0.0.1:2379'],
    advertisePeerUrls: ['http://127.0.0.1:2380'],
    apiListen: { host: '::', port: 8080 },
    advertiseApiUrls: ['http://127.0.0.1:8080'],
    initialCluster: [{ name: 'n1', peerUrls: ['http://127.0.0.1:2380'] }],
    initialClusterState: 'new',
    initialClusterToken: 'raftbase',
    listenMetrics: [],
    membershipFile: undefined,
    terminationLog: undefined,
    heartbeatMs: 100,
    electionMs: 1000,
    snapshotLogBytes: 64 * 1024 * 1024,
    quotaBackendBytes: 2 * 1024 * 1024 * 1024,
    maxRequestBytes: 1_572_864,
    autoCompaction: { mode: 'periodic', retentionMs: 0 },
    logLevel: 'info',
    tls: {
      client: undefined,
      peer: undefined,
      checksPeerHosts: true,
      versions: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', ciphers: undefined },
      selfSignedYears: 1,
    },
  })
})

test('a retention means what the mode counts, in etcd’s words (CPT-8, CPT-9)', () => {
  const revisions = ['-auto-compaction-mode=revision', '-auto-compaction-retention']
  expect(accept([...revisions, '1000']).autoCompaction).toEqual({
    mode: 'revision',
    retentionRevisions: 1000,
  })
  expect(accept(['-auto-compaction-mode=revision']).autoCompaction).toEqual({
    mode: 'revision',
    retentionRevisions: 0,
  })
  for (const text of ['5m', '-1', '1.5', '9999999999999999']) {
    expect(refuse([...revisions, text]).join('\n')).toContain('-auto-compaction-retention')
  }
  expect(refuse(['-auto-compaction-mode', 'x']).join('\n')).toContain(
    'unknown auto-compaction-mode "x"',
  )
})

test('a membership file takes the place of the initial cluster, and both together are refused', () => {
  expect(accept(['-membership-file', 'etc/membership.json']).membershipFile).toBe(
    '/srv/none/etc/membership.json',
  )
  for (const flag of ['initial-cluster-token', 'initial-cluster-state']) {
    const value = flag === 'initial-cluster-state' ? 'new' : 't'
    expect(refuse(['-membership-file', 'm.json', `-${flag}`, value]).join('\n')).toContain(
      `-${flag}: multiple discovery or bootstrap flags are set: -membership-file is given as well`,
    )
  }
})

test('the probes have listeners of their own when they are asked for, on ports of their own', () => {
  const argv = ['-listen-metrics-urls', 'http://127.0.0.1:9090,http://[::1]:9090']
  expect(accept(argv).listenMetrics.map(({ url }) => url)).toEqual([
    'http://127.0.0.1:9090',
    'http://[::1]:9090',
  ])
  expect(refuse(['-listen-metrics-urls', 'http://127.0.0.1:8080']).join('\n')).toContain(
    'takes port 8080, which -api-addr takes too',
  )
})

test('the configuration is frozen', () => {
  expect(() => Object.assign(accept([]).initialCluster[0]!, { name: 'n2' })).toThrow(TypeError)
})

test("the second command of the original's example is accepted as it stands (design 4)", () => {
  const argv =
    `-name n2 -data-dir ./data/n2 -client-url http://127.0.0.1:2381 -peer-url http://127.0.0.1:2382
    -api-addr :8081 -initial-cluster ${CLUSTER} -initial-cluster-token raftbase-demo`.split(/\s+/)
  const config = accept(argv)
  expect(config).toMatchObject({
    name: 'n2',
    dataDir: '/srv/none/data/n2',
    advertisePeerUrls: ['http://127.0.0.1:2382'],
    apiListen: { host: '::', port: 8081 },
    advertiseApiUrls: ['http://127.0.0.1:8081'],
    initialClusterToken: 'raftbase-demo',
  })
  expect(config.initialCluster.map((member) => member.name)).toEqual(['n1', 'n2', 'n3'])
})

test('a member that listens on every address advertises names', () => {
  const config = accept([
    '-client-url=http://0.0.0.0:2379',
    '-peer-url=http://[::]:2380',
    '-advertise-client-url=http://A.example:2379/',
    '-advertise-peer-url=http://a.example:2380',
    '-initial-cluster=n1=http://a.example:2380,n2=http://b.example:2380',
  ])
  expect(config).toMatchObject({
    listenPeer: [{ host: '::', port: 2380, url: 'http://[::]:2380' }],
    advertiseClientUrls: ['http://a.example:2379'],
    advertiseApiUrls: ['http://a.example:8080'],
  })
})

test("etcd's spellings set the same settings (contract 6.2)", () => {
  const ours = accept([
    '-client-url=http://127.0.0.1:1,http://[::1]:1',
    '-peer-url=http://127.0.0.1:2',
    '-advertise-client-url=http://a:1',
    '-advertise-peer-url=http://a:2',
  ])
  const theirs = accept([
    '--listen-client-urls=http://127.0.0.1:1,http://[0:0::1]:1',
    '--listen-peer-urls=http://127.0.0.1:2',
    '--advertise-client-urls=http://a:1',
    '--initial-advertise-peer-urls=http://a:2',
  ])
  expect(theirs).toEqual(ours)
})

describe.each<[string, string, string, Partial<MemberConfig>]>([
  ['name', 'a.b_c-9', 'x', { name: 'a.b_c-9' }],
  ['data-dir', '/srv/other', 'x', { dataDir: '/srv/other' }],
  ['api-addr', '[::1]:9', ':1', { apiListen: { host: '::1', port: 9 } }],
  ['api-addr', 'localhost:9', ':1', { apiListen: { host: '127.0.0.1', port: 9 } }],
  ['advertise-api-url', 'http://a:9', 'http://b:9', { advertiseApiUrls: ['http://a:9'] }],
  ['initial-cluster-state', 'existing', 'new', { initialClusterState: 'existing' }],
  ['heartbeat-interval', '20', '30', { heartbeatMs: 20 }],
  ['election-timeout', '50000', '900', { electionMs: 50_000 }],
  ['snapshot-log-bytes', '65536', '70000', { snapshotLogBytes: 65_536 }],
  ['quota-backend-bytes', '-1', '0', { quotaBackendBytes: undefined }],
  ['quota-backend-bytes', '0', '-1', { quotaBackendBytes: 2 ** 31 }],
  ['max-request-bytes', '1024', '2048', { maxRequestBytes: 1024 }],
  ['auto-compaction-mode', 'periodic', 'revision', {}],
  ...(
    [
      ['0', 0],
      ['1', 3_600_000],
      ['5m', 300_000],
      ['1h30m', 5_400_000],
      ['1.5h', 5_400_000],
      ['1s', 1000],
      ['87600', 87_600 * 3_600_000],
    ] as const
  ).map(([text, retentionMs]): [string, string, string, Partial<MemberConfig>] => [
    'auto-compaction-retention',
    text,
    '2h',
    { autoCompaction: { mode: 'periodic', retentionMs } },
  ]),
  ['log-level', 'debug', 'warn', { logLevel: 'debug' }],
  ['log-format', 'json', 'json', {}],
])('-%s %s', (name, value, other, expected) => {
  const variable = `${ENVIRONMENT_PREFIX}${name.toUpperCase().replaceAll('-', '_')}`
  const file = (text: string) => JSON.stringify({ [name]: text })

  test('means the same as a flag, as a variable and in the file', () => {
    const config = accept([`-${name}`, value])
    expect(config).toMatchObject(expected)
    expect(accept([], { environment: { [variable]: value } })).toEqual(config)
    expect(accept([], { file: file(value) })).toEqual(config)
  })

  test('the flag wins over the variable, which wins over the file', () => {
    const config = accept([`-${name}`, value])
    const environment = { [variable]: other }
    expect(accept([`-${name}`, value], { environment, file: file(other) })).toEqual(config)
    expect(accept([], { environment: { [variable]: value }, file: file(other) })).toEqual(config)
  })
})

describe('a value is refused with the field, the reason, what was given and what is accepted', () => {
  const listen =
    'http://IP:PORT or https://IP:PORT, several separated by commas; localhost stands for 127.0.0.1'
  const name = '1 to 63 letters, digits, dots, dashes, underscores; first a letter or digit'
  test.each([
    [
      '-client-url=http://db.example:2379',
      `-client-url: expected IP in URL for binding (http://db.example:2379) (given "http://db.example:2379"); accepted: ${listen}`,
    ],
    [
      '-peer-url=https://127.0.0.1:2380',
      `-peer-url: TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url https://127.0.0.1:2380 with HTTPS scheme (given "https://127.0.0.1:2380"); accepted: ${listen}`,
    ],
    ['-name=../n1', `-name: is not a member name (given "../n1"); accepted: ${name}`],
    [
      '-heartbeat-interval=0',
      '-heartbeat-interval: --heartbeat-interval must be >0 (set to 0ms) (given "0"); accepted: 10 to 10000 (milliseconds)',
    ],
    [
      '-election-timeout=499',
      '-election-timeout: --election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms] (given "499"); accepted: 5 times -heartbeat-interval to 50000 (milliseconds)',
    ],
    [
      '-election-timeout=50001',
      '-election-timeout: --election-timeout[50001ms] is too long, and should be set less than 50000ms (given "50001"); accepted: 5 times -heartbeat-interval to 50000 (milliseconds)',
    ],
    [
      '-log-level=trace',
      '-log-level: is not one of the accepted words (given "trace"); accepted: debug, info, warn, error or fatal',
    ],
    [
      '-max-request-bytes=1.5MiB',
      '-max-request-bytes: is not an integer (given "1.5MiB"); accepted: 1024 to 16777216 (bytes)',
    ],
  ])('%s', (flag, problem) => {
    expect(refuse([flag])).toEqual([problem])
  })

  test.each([
    ['-name', ['', '.', '..', '.n1', '-n1', 'a/b', 'a\\b', 'n 1', 'n\u00001', 'é', 'a'.repeat(64)]],
    ['-data-dir', ['', 'a\u0000b', 'a\nb', 'x'.repeat(1025)]],
    [
      '-client-url',
      [
        '127.0.0.1:2379',
        'http://127.0.0.1',
        'http://127.0.0.1:',
        'http://127.0.0.1:0',
        'http://127.0.0.1:65536',
        'http://127.0.0.1:99999999999999999999',
        'http://127.0.0.1:2379/path',
        'http://127.0.0.1:2379?query',
        'http://user@127.0.0.1:2379',
        'http://:2379',
        'http://[127.0.0.1]:2379',
        'http://::1:2379',
        'http://[::1:2379',
        'http://127.0.0.256:2379',
        'unix://socket:1',
        'http://127.0.0.1:1,',
        'http://127.0.0.1:1,http://127.0.0.1:1',
        Array.from({ length: 9 }, (_, i) => `http://127.0.0.1:${i + 1}`).join(','),
        '',
      ],
    ],
    [
      '-advertise-client-url',
      ['http://0.0.0.0:1', 'http://[::]:1', 'http://-a:1', 'http://1.2.3:1'],
    ],
    ['-api-addr', ['8080', ':0', ':65536', 'a:1', '::1:8080', '[127.0.0.1]:1', '127.0.0.1:', '']],
    ['-initial-cluster-token', ['', 'a b', 'é', 'a'.repeat(129)]],
    ['-initial-cluster-state', ['New', 'old', '']],
    ['-heartbeat-interval', ['9', '10001', '-5', '1e2', '0x10', '', '9'.repeat(400)]],
    ['-snapshot-log-bytes', ['65535', '-1']],
    ['-quota-backend-bytes', ['1', '68719476737']],
    ['-max-request-bytes', ['1023', '16777217']],
    ['-auto-compaction-mode', ['hourly', '', 'Periodic']],
    [
      '-auto-compaction-retention',
      ['-1', '999ms', '87601', '1d', 'h', '1h-30m', '1 h', '', 'NaN', '9'.repeat(30)],
    ],
    ['-log-format', ['text']],
    [
      '-initial-cluster',
      [
        'n1',
        'n1=',
        '=http://127.0.0.1:2380',
        'n1=http://127.0.0.1:2380,',
        'n1=http://127.0.0.1:2380,n2=https://127.0.0.1:2382',
      ],
    ],
  ])('%s has its bounds', (flag, values) => {
    for (const value of values) {
      const problems = refuse([`${flag}=${value}`])
      const shape = expect.stringMatching(new RegExp(`^${flag}: .*; accepted: `)) as string
      expect({ value, problems }).toEqual({ value, problems: [shape] })
    }
  })
})

const problem = (argv: readonly string[]) => refuse(argv).map((text) => text.split(' (given')[0])

describe('an initial cluster that cannot be meant is refused with what differs', () => {
  test('own name missing', () => {
    expect(problem(['-name=n4', `-initial-cluster=${CLUSTER}`])).toEqual([
      '-initial-cluster: couldn\'t find local name "n4" in the initial cluster configuration, which has n1, n2, n3',
    ])
  })

  test('a name twice', () => {
    expect(problem(['-initial-cluster=n1=http://127.0.0.1:2380,n1=http://127.0.0.1:2382'])).toEqual(
      ['-initial-cluster: error setting up initial cluster: the name n1 is there twice'],
    )
  })

  test('a URL twice, however it is spelled', () => {
    expect(problem(['-initial-cluster=n1=http://A:2380,n2=http://a:2380/'])).toEqual([
      '-initial-cluster: initial cluster n1=http://A:2380,n2=http://a:2380/ has duplicate url http://a:2380, of n1 and of n2',
    ])
  })

  test('another URL than the one advertised', () => {
    expect(problem(['-advertise-peer-url=http://a:1', '-initial-cluster=n1=http://b:1'])).toEqual([
      '-advertise-peer-url: --initial-cluster has n1=http://b:1 but missing from --initial-advertise-peer-urls=http://a:1',
    ])
  })

  test('another URL than the one listened on, which is what is advertised', () => {
    const argv = ['-peer-url', 'http://127.0.0.1:1', '-initial-cluster', CLUSTER]
    expect(refuse(argv)[0]).toContain(
      '-advertise-peer-url: --initial-cluster has n1=http://127.0.0.1:2380 but missing from --initial-advertise-peer-urls=http://127.0.0.1:1 (-peer-url, as nothing else is advertised)',
    )
  })
})

test('a listener on every address needs an advertised URL', () => {
  expect(refuse(['-client-url=http://0.0.0.0:1', '--listen-peer-urls=http://[::]:2'])).toEqual([
    '-advertise-client-url: --advertise-client-urls is required when --listen-client-urls is set explicitly to every address (http://0.0.0.0:1); accepted: http://HOST:PORT or https://HOST:PORT with a name or an IP, several separated by commas',
    '-advertise-peer-url: --initial-advertise-peer-urls is required when --listen-peer-urls is set explicitly to every address (http://[::]:2); accepted: http://HOST:PORT or https://HOST:PORT with a name or an IP, several separated by commas',
  ])
})

describe('two listeners on one port', () => {
  test.each([
    [['-client-url=http://127.0.0.1:5', '-peer-url=http://127.0.0.1:5'], '-peer-url'],
    [['-client-url=http://127.0.0.1:8080'], '-api-addr'],
    [['-peer-url=http://[::1]:7', '-api-addr=:7'], '-api-addr'],
    [['-peer-url=http://127.0.0.2:7', '-api-addr=0.0.0.0:7'], '-api-addr'],
  ])('%j are refused', (argv, field) => {
    expect(refuse(argv)[0]).toMatch(new RegExp(`^${field}: takes port \\d+, which -.* takes too`))
  })

  test.each([
    [['-client-url=http://127.0.0.1:5', '-peer-url=http://127.0.0.2:5']],
    [['-peer-url=http://[::1]:7', '-api-addr=127.0.0.1:7']],
  ])('%j are different addresses', (argv) => {
    expect(accept(argv).name).toBe('n1')
  })
})

test('every problem is reported together, under the name its user wrote', () => {
  const problems = refuse(['-nmae=n1', '--listen-client-urls=http://a:1', '-election-timeout=1'], {
    environment: { RAFTBASE_PEER_URLS: 'nowhere', RAFTBASE_BCRYPT_COST: 'x' },
    file: '{"log-level": "loud", "quota": 1}',
  })
  expect(problems.map((problem) => problem.split(': ').slice(0, -1)[0])).toEqual([
    '-nmae',
    'RAFTBASE_BCRYPT_COST',
    'n.json',
    '-listen-client-urls',
    'RAFTBASE_PEER_URLS',
    'n.json',
    '-election-timeout',
  ])
})

test('variables that Kubernetes adds for services are nobody’s mistake', () => {
  const environment = {
    RAFTBASE_SERVICE_HOST: '10.0.0.1',
    RAFTBASE_PEER_PORT: 'tcp://10.0.0.1:2380',
    RAFTBASE_PEER_PORT_2380_TCP_ADDR: '10.0.0.1',
    RAFTBASE_CLIENT_SERVICE_PORT_HTTP: '2379',
  }
  expect(load([], { environment })).toMatchObject({ kind: 'config', warnings: [] })
})

describe('a data directory', () => {
  const directory = mkdtempSync(join(tmpdir(), 'raftbase-config-'))
  afterAll(() => rmSync(directory, { recursive: true }))

  test('that is a file is refused', () => {
    writeFileSync(join(directory, 'file'), '')
    expect(refuse(['-data-dir=file'], { workingDirectory: directory })[0]).toMatch(
      /^-data-dir: is not a directory/,
    )
  })

  test('below a file is left to whoever opens it', () => {
    writeFileSync(join(directory, 'parent'), '')
    expect(accept(['-data-dir=parent/n1'], { workingDirectory: directory }).dataDir).toBe(
      join(directory, 'parent/n1'),
    )
  })
})

test.each(['-help', '--h', '-version'])('%s wins over whatever else is wrong', (flag) => {
  expect(load(['-nmae=x', flag]).kind).toBe(flag === '-version' ? 'version' : 'help')
})

test('no two settings share a spelling, and none is an unsupported one', () => {
  const spellings = MEMBER_SETTINGS.flatMap((setting) => [setting.name, ...setting.aliases])
  expect(new Set(spellings).size).toBe(spellings.length)
  expect(spellings.filter((name) => UNSUPPORTED_ETCD_SETTINGS.has(name))).toEqual([])
})
