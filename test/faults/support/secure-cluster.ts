// Real members with certificates, whose files are exchanged as Kubernetes exchanges those of a mounted Secret.

import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { CertificatePair } from '../../../lib/pki/certificate.ts'
import { MemberClient } from '../../../member/src/cli/member-client.ts'
import type { Status } from '../../../member/src/rest/contract.ts'
import type { ProbeTls } from '../../support/probe-writer.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../../support/process-cluster.ts'

const NAMES = ['ca.crt', 'tls.crt', 'tls.key', 'crl.pem'] as const

export type Files = Partial<Record<(typeof NAMES)[number], string>>

/** Three members, each with a directory of certificates as Kubernetes mounts a Secret. */
export class SecureCluster {
  readonly cluster: ProcessCluster
  readonly #files = new Map<MemberProcess, Files>()
  #generation = 0

  static async start(files: (number: number) => Files): Promise<SecureCluster> {
    const cluster = await ProcessCluster.create(3)
    onTestFinished(() => cluster.destroy())
    const secure = new SecureCluster(cluster)
    for (const [i, member] of cluster.members.entries()) {
      mkdirSync(secure.#folder(member))
      for (const name of NAMES) symlinkSync(`..data/${name}`, join(secure.#folder(member), name))
      secure.publish(member, files(i + 1))
      secure.startMember(member)
    }
    return secure
  }

  private constructor(cluster: ProcessCluster) {
    this.cluster = cluster
  }

  /** All of them at once, by an exchange of the link to the directory. */
  publish(member: MemberProcess, changed: Files): void {
    const files = { ...this.#files.get(member), ...changed }
    this.#files.set(member, files)
    const folder = this.#folder(member)
    const data = `..${++this.#generation}`
    mkdirSync(join(folder, data))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, data, name), text)
    symlinkSync(data, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }

  startMember(member: MemberProcess): void {
    const path = (name: (typeof NAMES)[number]) => join(this.#folder(member), name)
    const certificates = ['', 'peer-'].flatMap((use) => [
      `-${use}cert-file=${path('tls.crt')}`,
      `-${use}key-file=${path('tls.key')}`,
      `-${use}trusted-ca-file=${path('ca.crt')}`,
    ])
    const flags = this.cluster.flags(member).map((flag) => flag.replaceAll('http://', 'https://'))
    const all = [...flags, ...certificates, `-peer-crl-file=${path('crl.pem')}`]
    this.cluster.start(member, all)
  }

  apiUrl(member: MemberProcess): string {
    return member.api.replace('http:', 'https:')
  }

  #folder(member: MemberProcess): string {
    return join(this.cluster.directory, `certificates-${member.name}`)
  }
}

export function tls(signers: readonly CertificatePair[], own: CertificatePair): ProbeTls {
  const ca = signers.map(({ certificate }) => certificate).join('')
  return { ca, cert: own.certificate, key: own.key }
}

export function filesOf(pair: CertificatePair): Files {
  return { 'tls.crt': pair.certificate, 'tls.key': pair.key }
}

/** Asks members how they are until all of them answer what is waited for. */
export async function allSay(
  secure: SecureCluster,
  options: { members: readonly MemberProcess[]; as: ProbeTls; what: string },
  isSo: (status: Status) => boolean,
): Promise<void> {
  const { ca, cert, key } = options.as
  const [caBytes, certBytes, keyBytes] = [ca, cert, key].map((text) => Buffer.from(text))
  const client = new MemberClient({
    timeoutMs: 1000,
    tls: { ca: caBytes, cert: certBytes, key: keyBytes },
  })
  try {
    await eventually(
      options.what,
      async () => {
        for (const member of options.members) {
          try {
            if (!isSo(await client.status(secure.apiUrl(member)))) return undefined
          } catch {
            return undefined // It starts, or does not let us in yet: asked again until the deadline.
          }
        }
        return true
      },
      { timeoutMs: 20_000, everyMs: 50, explain: () => secure.cluster.outputs() },
    )
  } finally {
    client.close()
  }
}
