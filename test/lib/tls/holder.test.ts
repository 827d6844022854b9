// Certificates that are exchanged under their holder: taken when they fit together, and otherwise left, whatever is wrong with
// them.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { TlsHolder } from '../../../lib/tls/holder.ts'
import { authority, leaf, revocationList } from '../../support/certificates.ts'
import { eventually } from '../../support/process-cluster.ts'

const PERIOD_MS = 5
const ca = authority()

async function open() {
  const folder = mkdtempSync(join(tmpdir(), 'raftbase-holder-'))
  const path = (name: string) => join(folder, name)
  const write = (name: string, text: string) => writeFileSync(path(name), text)
  const first = leaf(ca)
  write('tls.crt', first.certificate)
  write('tls.key', first.key)
  write('ca.crt', ca.certificate)
  write('crl.pem', revocationList(ca, []))
  const warnings: string[] = []
  const holder = await TlsHolder.open({
    use: 'peer',
    files: {
      certificate: path('tls.crt'),
      key: path('tls.key'),
      authorities: path('ca.crt'),
      revocations: path('crl.pem'),
    },
    clock: systemClock,
    timers: systemTimers,
    log: {
      info() {},
      warn: (fields, message) => warnings.push(`${message} ${JSON.stringify(fields)}`),
    },
    periodMs: PERIOD_MS,
  })
  onTestFinished(() => {
    holder.stop()
    rmSync(folder, { recursive: true })
  })
  return { folder, holder, path, write, warnings }
}

test('a certificate comes into force with its key, and not before', async () => {
  const { holder, write, warnings } = await open()
  const before = holder.status.certificate
  const next = leaf(ca)
  write('tls.crt', next.certificate)
  await eventually('the problem', () => holder.status.problem)
  expect(holder.status.certificate).toEqual(before)
  write('tls.key', next.key)
  await eventually('the new one', () => (holder.status.problem === undefined ? true : undefined))
  expect(holder.status.certificate).not.toEqual(before)
  expect(warnings).toHaveLength(1)
})

test.each([
  ['ca.crt', 'not PEM', 'no certificate in it'],
  ['crl.pem', 'not a list', 'not a certificate revocation list'],
  ['tls.key', 'no key', 'no private key in it'],
])('damage in %s is said once and leaves what is in force', async (name, text, problem) => {
  const { holder, path, write, warnings } = await open()
  const good = readFileSync(path(name), 'utf8')
  const { material } = holder
  write(name, text)
  await eventually('the problem', () => holder.status.problem)
  expect(holder.status.problem).toContain(problem)
  expect(holder.material).toBe(material)
  write(name, good)
  await eventually('as before', () => (holder.status.problem === undefined ? true : undefined))
  expect(warnings).toHaveLength(1)
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('holder.test.ts: no openssl here, one check left out\n')

test.runIf(hasOpenssl)('a key that OpenSSL finds too short ends nothing', async () => {
  const { folder, holder, path, write } = await open()
  const short = ['-newkey', 'rsa:512', '-nodes', '-subj', '/CN=short', '-days', '1']
  const files = ['-keyout', 'short.key', '-out', 'short.crt']
  const made = spawnSync('openssl', ['req', '-x509', ...short, ...files], { cwd: folder })
  expect(made.status).toBe(0)
  const { material } = holder
  write('tls.key', readFileSync(path('short.key'), 'utf8'))
  write('tls.crt', readFileSync(path('short.crt'), 'utf8'))
  await eventually('the problem', () =>
    holder.status.problem?.includes('too small') === true ? true : undefined,
  )
  expect(holder.material).toBe(material)
})

test('what cannot be used at the start is refused with every problem', async () => {
  const files = {
    certificate: '/none.crt',
    key: '/none.key',
    authorities: undefined,
    revocations: undefined,
  }
  const log = { info() {}, warn() {} }
  const options = { use: 'peer', files, clock: systemClock, timers: systemTimers, log }
  await expect(TlsHolder.open(options)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    details: {
      problems: ['/none.crt cannot be read (ENOENT)', '/none.key cannot be read (ENOENT)'],
    },
  })
})
