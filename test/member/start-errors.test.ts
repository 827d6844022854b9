// What keeps a member from starting, where etcd has the same: in etcd's words (section 6.3 of the contract), so that whoever
// looks a line up finds it. Rows whose situation needs a cluster are in node/join-plan, faults/start and faults/join.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadMemberConfig } from '../../member/src/config.ts'
import { identityOf } from '../../member/src/node/identity.ts'
import { planStart } from '../../member/src/node/start-plan.ts'
import { LAUNCHER } from './cli/support.ts'

const directory = mkdtempSync(join(tmpdir(), 'raftbase-start-'))
afterAll(() => rmSync(directory, { recursive: true }))

function reasons(flags: readonly string[]): string[] {
  const loaded = loadMemberConfig({
    argv: flags,
    environment: {},
    readFile: () => '',
    workingDirectory: directory,
  })
  if (loaded.kind !== 'refused') throw new Error(`accepted: ${flags.join(' ')}`)
  return loaded.problems.map(({ reason }) => reason)
}

const TWO = 'n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382'

describe('is refused in the words of etcd', () => {
  test.each<[string, readonly string[], string]>([
    [
      'a listener on every address that is not advertised',
      ['--listen-client-urls=http://0.0.0.0:2379'],
      '--advertise-client-urls is required when --listen-client-urls is set explicitly',
    ],
    [
      'a name in a URL to listen on',
      ['--listen-client-urls=http://db.example:2379'],
      'expected IP in URL for binding (http://db.example:2379)',
    ],
    [
      'more than one source of the first members',
      [`--initial-cluster=${TWO}`, '-membership-file=/m.json'],
      'multiple discovery or bootstrap flags are set',
    ],
    ['a state that there is not', ['--initial-cluster-state=x'], 'unexpected clusterState "x"'],
    ['no heartbeat', ['--heartbeat-interval=0'], '--heartbeat-interval must be >0 (set to 0ms)'],
    [
      'an election time-out that is too short',
      ['--heartbeat-interval=300'],
      '--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]',
    ],
    [
      'an election time-out that is too long',
      ['--election-timeout=50001'],
      '--election-timeout[50001ms] is too long, and should be set less than 50000ms',
    ],
    [
      'versions of TLS that leave nothing',
      ['--tls-min-version=TLS1.3', '--tls-max-version=TLS1.2'],
      'min version (TLS1.3) is greater than max version (TLS1.2)',
    ],
    [
      'cipher suites where only TLS 1.3 is spoken',
      ['--tls-min-version=TLS1.3', '--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
      'cipher suites cannot be configured when only TLS1.3 is enabled',
    ],
    [
      'https without a certificate',
      ['--listen-client-urls=https://127.0.0.1:2379'],
      'TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:2379 with HTTPS scheme',
    ],
    [
      'a name that is not one of the first members',
      ['--name=x', `--initial-cluster=${TWO}`],
      `couldn't find local name "x" in the initial cluster configuration`,
    ],
    [
      'a peer URL that differs from the one that is advertised',
      [`--initial-cluster=${TWO}`, '--initial-advertise-peer-urls=http://127.0.0.1:9'],
      '--initial-cluster has n1=http://127.0.0.1:2380 but missing from --initial-advertise-peer-urls=http://127.0.0.1:9',
    ],
    [
      'one URL of two members',
      ['--initial-cluster=n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2380'],
      'initial cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2380 has duplicate url',
    ],
    [
      'first members that cannot be read',
      ['--initial-cluster=http://127.0.0.1:2380'],
      'error setting up initial cluster: ',
    ],
  ])('%s', (_, flags, text) => {
    const said = reasons(flags)
    expect(said).toEqual(expect.arrayContaining([expect.stringContaining(text)]))
  })
})

test('an address that is taken is named, on one fatal line, with exit code 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const flags = ['-client-url=http://127.0.0.1:1', `-api-addr=127.0.0.1:${port}`]
  const ended = spawnSync(
    process.execPath,
    [LAUNCHER, ...flags, `-peer-url=http://127.0.0.1:${port}`, `-data-dir=${directory}/d`],
    { encoding: 'utf8', timeout: 20_000 },
  )
  const apart = spawnSync(
    process.execPath,
    [LAUNCHER, `-api-addr=127.0.0.1:${port}`, `-data-dir=${directory}/d`],
    { encoding: 'utf8', timeout: 20_000 },
  )
  taken.close()
  // Two listeners of its own on one port show before anything is opened.
  expect([ended.status, apart.status]).toEqual([1, 1])
  expect(ended.stderr).toContain(`takes port ${port}, which -peer-url takes too`)
  const fatal = apart.stderr.split('\n').filter((line) => line.includes('"level":"fatal"'))
  expect(fatal).toHaveLength(1)
  expect(fatal[0]).toContain(`listen tcp 127.0.0.1:${port}: bind: address already in use`)
})

test('a directory whose member was removed says what to do with it (STA-3)', () => {
  const members = [{ name: 'n1', peerUrls: ['http://127.0.0.1:2380'] }]
  const identity = identityOf({ token: 't', name: 'n1', members })
  const plan = planStart(
    {
      name: 'n1',
      token: 't',
      advertisePeerUrls: members[0]!.peerUrls,
      initialCluster: members,
      initialClusterState: 'new',
    },
    { path: '/d', identity, isTombstoned: true },
    undefined,
  )
  const said = plan.type === 'refuse' ? plan.error.message : plan.type
  expect(said).toContain('the member has been permanently removed from the cluster')
  expect(said).toContain('data-dir used by this member must be removed')
})
