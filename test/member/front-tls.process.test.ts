// One real member with certificates: what it serves to whom, what stays plain, and what it makes itself.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { request as plainRequest } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import { join } from 'node:path'
import { X509Certificate } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { authority, leaf } from '../support/certificates.ts'
import {
  eventually,
  freePorts,
  type MemberProcess,
  ProcessCluster,
} from '../support/process-cluster.ts'

const ca = authority()
const own = leaf(ca)
const client = leaf(ca, { commonName: 'app', hosts: [], usages: ['client'] })

interface Answered {
  readonly status: number | undefined
  readonly body: string
}

/** Over https unless the URL says http; rejects when there is no answer. */
function get(url: string, options: RequestOptions = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const start = url.startsWith('https:') ? request : plainRequest
    const sent = start(url, { agent: false, ...options }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode, body }))
    })
    sent.once('error', reject)
    sent.end()
  })
}

async function startMember(flags: (cluster: ProcessCluster) => readonly string[]) {
  const cluster = await ProcessCluster.create(1)
  onTestFinished(() => cluster.destroy())
  const [member] = cluster.members as [MemberProcess]
  const [probePort] = await freePorts(1)
  const probes = `http://127.0.0.1:${probePort}`
  const secured = cluster.flags(member).map((flag) => flag.replaceAll('http:', 'https:'))
  cluster.start(member, [...secured, `-listen-metrics-urls=${probes}`, ...flags(cluster)])
  await eventually(
    'ready',
    async () => {
      try {
        return (await get(`${probes}/readyz`)).status === 200 ? true : undefined
      } catch {
        return undefined // Not up yet: asked again until the deadline.
      }
    },
    { explain: () => cluster.outputs() },
  )
  const api = `https://127.0.0.1:${member.apiPort}`
  return { cluster, member, probes, api, health: `https://127.0.0.1:${member.clientPort}/health` }
}

function write(cluster: ProcessCluster, name: string, text: string): string {
  const path = join(cluster.directory, name)
  writeFileSync(path, text)
  return path
}

describe('with certificates, and clients that need one', () => {
  const flags = (cluster: ProcessCluster) => {
    const [cert, key] = [
      write(cluster, 'own.crt', own.certificate),
      write(cluster, 'own.key', own.key),
    ]
    const trusted = write(cluster, 'ca.crt', ca.certificate)
    return ['', 'peer-'].flatMap((use) => [
      `-${use}cert-file=${cert}`,
      `-${use}key-file=${key}`,
      `-${use}trusted-ca-file=${trusted}`,
    ])
  }
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

  test('X1: nothing of peers is served on the client port or the API, nor the reverse', async () => {
    const { api, health, member } = await startMember(flags)
    for (const url of [api, health.replace('/health', '')]) {
      const { status } = await get(`${url}/raftbase/member?id=0000000000000001`, as)
      expect([404, 501]).toContain(status)
    }
    const peer = `https://127.0.0.1:${member.peerPort}`
    for (const path of ['/v1/status', '/metrics', '/cluster/nodes', '/health']) {
      const both = { ...trust, cert: own.certificate, key: own.key }
      expect([path, (await get(peer + path, both)).status]).toEqual([path, 404])
    }
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
