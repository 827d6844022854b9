// One real member with certificates and everything that it serves under their protection.

import { writeFileSync } from 'node:fs'
import { request as plainRequest } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { authority, leaf } from './certificates.ts'
import { eventually, freePorts, type MemberProcess, ProcessCluster } from './process-cluster.ts'

export const ca = authority()
/** The member's. */
export const own = leaf(ca)
export const client = leaf(ca, { commonName: 'app', hosts: [], usages: ['client'] })

export interface Answered {
  readonly status: number | undefined
  readonly body: string
}

/** Over https unless the URL says http; rejects when there is no answer. */
export function get(url: string, options: RequestOptions = {}): Promise<Answered> {
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

/** Starts a member that serves https everywhere but at its probes, and resolves once it is ready. */
export async function startMember(flags: (cluster: ProcessCluster) => readonly string[]) {
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

/** Certificates for clients and peers, and an authority, so that both are asked for theirs. */
export function certificateFlags(cluster: ProcessCluster): readonly string[] {
  const write = (name: string, text: string): string => {
    const path = join(cluster.directory, name)
    writeFileSync(path, text)
    return path
  }
  const [cert, key] = [write('own.crt', own.certificate), write('own.key', own.key)]
  const trusted = write('ca.crt', ca.certificate)
  return ['', 'peer-'].flatMap((use) => [
    `-${use}cert-file=${cert}`,
    `-${use}key-file=${key}`,
    `-${use}trusted-ca-file=${trusted}`,
  ])
}
