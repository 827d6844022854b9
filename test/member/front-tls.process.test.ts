// One real member with certificates: what it serves to whom, what stays plain, and what it makes itself.

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { eventually } from '../support/process-cluster.ts'
import { ca, certificateFlags, client, get, own, startMember } from '../support/secure-member.ts'

describe('with certificates, and clients that need one', () => {
  const flags = certificateFlags
  const trust = { ca: ca.certificate }
  const as = { ...trust, cert: client.certificate, key: client.key }

  test('probes and metrics stay plain and ask for nothing; the API and the client URL do', async () => {
    const { probes, api, health, member } = await startMember(flags)
    for (const path of ['/startupz', '/livez', '/readyz', '/healthz', '/metrics']) {
      expect([path, (await get(probes + path)).status]).toEqual([path, 200])
    }
    for (const url of [`${api}/readyz`, `${api}/v1/kv/a`, health]) {
      expect((await get(url, as)).status).toBeLessThan(500)
      const refused = await get(url, trust)
      expect(refused.status).toBe(403)
      expect(JSON.parse(refused.body)).toMatchObject({
        code: 'CERTIFICATE_REFUSED',
        reason: 'missing',
        outcome: 'notApplied',
      })
      await expect(get(url.replace('https:', 'http:'))).rejects.toThrow(/hang up|ECONNRESET/)
    }
    const lines = member.output.match(/rejected connection on client endpoint/g)
    // One for each reason and address, not for each attempt.
    expect(lines).toHaveLength(2)
  })

  test('only clients with an allowed common name come in', async () => {
    const { api } = await startMember((cluster) => [
      ...flags(cluster),
      '-client-cert-allowed-cn=app,ops',
    ])
    expect((await get(`${api}/readyz`, as)).status).toBe(200)
    const other = { ...trust, cert: own.certificate, key: own.key }
    const refused = await get(`${api}/readyz`, other)
    expect(JSON.parse(refused.body)).toMatchObject({
      reason: 'commonName',
      expected: 'app, ops',
      got: 'member',
    })
  })

  test('versions and cipher suites are those that are configured', async () => {
    const { api } = await startMember((cluster) => [
      ...flags(cluster),
      '-tls-max-version=TLS1.2',
      '-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    ])
    await expect(get(`${api}/readyz`, { ...as, minVersion: 'TLSv1.3' })).rejects.toThrow(/version/)
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256'
    await expect(get(`${api}/readyz`, { ...as, maxVersion: 'TLSv1.2', ciphers })).rejects.toThrow(
      /handshake/,
    )
    expect((await get(`${api}/readyz`, as)).status).toBe(200)
  })
})

test('with auto-TLS it makes certificates in its data directory, once, and demands none', async () => {
  const { cluster, member, api } = await startMember(() => ['-auto-tls', '-peer-auto-tls'])
  const file = (use: string, name: string) => join(member.dataDir, 'fixtures', use, name)
  const made = readFileSync(file('client', 'cert.pem'))
  const certificate = new X509Certificate(made)
  expect(certificate.checkIP('127.0.0.1')).toBeDefined()
  const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000
  expect(Math.round(days)).toBe(365)
  expect(statSync(file('client', 'key.pem')).mode & 0o777).toBe(0o600)
  expect((await get(`${api}/readyz`, { ca: made })).status).toBe(200)
  expect(member.output).toContain('serving with a certificate that signs itself')
  await cluster.kill(member, 'SIGTERM')
  const flags = cluster.flags(member).map((flag) => flag.replaceAll('http:', 'https:'))
  cluster.start(member, [...flags, '-auto-tls', '-peer-auto-tls'])
  await eventually('ready again', async () => {
    try {
      return (await get(`${api}/readyz`, { ca: made })).status === 200 ? true : undefined
    } catch {
      return undefined // Not up yet: asked again until the deadline.
    }
  })
  expect(readFileSync(file('client', 'cert.pem'))).toEqual(made)
})
