// F44: certificates that are exchanged, expire, are revoked or of a wrong authority, with real members under a writer that
// never stops. What is exchanged costs no request and no election; what is wrong is refused, and told in both logs.

import { X509Certificate } from 'node:crypto'
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { CertificatePair } from '../../lib/pki/certificate.ts'
import { MemberClient } from '../../member/src/cli/member-client.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import { authority, leaf, revocationList } from '../support/certificates.ts'
import { type ProbeTls, type ProbeWrite, ProbeWriter } from '../support/probe-writer.ts'
import { eventually, type MemberProcess, ProcessCluster } from '../support/process-cluster.ts'
import { StallProbe } from './support/stalls.ts'

/** Of any write that is not held up by the machine. A member reads new files in between writes. */
const GAP_MS = 250
const NAMES = ['ca.crt', 'tls.crt', 'tls.key', 'crl.pem'] as const

type Files = Partial<Record<(typeof NAMES)[number], string>>

/** Three members, each with a directory of certificates as Kubernetes mounts a Secret. */
class SecureCluster {
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

function tls(signers: readonly CertificatePair[], own: CertificatePair): ProbeTls {
  const ca = signers.map(({ certificate }) => certificate).join('')
  return { ca, cert: own.certificate, key: own.key }
}

function filesOf(pair: CertificatePair): Files {
  return { 'tls.crt': pair.certificate, 'tls.key': pair.key }
}

/** Asks members how they are until all of them answer what is waited for. */
async function allSay(
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

function linesOf(member: MemberProcess, message: string): Record<string, unknown>[] {
  return member.output
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes(`"msg":"${message}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const isReady = (status: Status) => status.ready

test('F44: authority, certificates and keys are exchanged under load: no request lost, no election', {
  timeout: 120_000,
}, async () => {
  const [first, second] = [authority('first'), authority('second')]
  const old = tls([first, second], leaf(first, { hosts: [], usages: ['client'] }))
  const next = tls([first, second], leaf(second, { hosts: [], usages: ['client'] }))
  const empty = revocationList(first, [])
  const start = () => ({ 'ca.crt': first.certificate, 'crl.pem': empty, ...filesOf(leaf(first)) })
  const secure = await SecureCluster.start(start)
  const { members } = secure.cluster
  await allSay(secure, { members, as: old, what: 'ready' }, isReady)
  const terms = new Set<number | undefined>()
  const seen = (status: Status): void => void terms.add(status.term)
  const stalls = new StallProbe(() => secure.cluster.running.map(({ child }) => child!.pid!))
  const writer = new ProbeWriter({
    endpoints: () => members.map((member) => secure.apiUrl(member)),
  })
  writer.useTls(old)
  // Both authorities are trusted.
  const both = first.certificate + second.certificate
  for (const member of members) secure.publish(member, { 'ca.crt': both })
  await allSay(secure, { members, as: old, what: 'trust in both' }, (status) => {
    seen(status)
    return status.tls?.peer?.trusts?.length === 2 && status.tls.client?.trusts?.length === 2
  })
  // New certificates, of which one comes before its key.
  const [early, ...others] = members as [MemberProcess, MemberProcess, MemberProcess]
  const pair = leaf(second)
  secure.publish(early, { 'tls.crt': pair.certificate })
  await allSay(
    secure,
    { members: [early], as: old, what: 'a word on the pair' },
    (status) => status.tls?.peer?.problem?.includes('is not the key of') ?? false,
  )
  secure.publish(early, filesOf(pair))
  for (const member of others) secure.publish(member, filesOf(leaf(second)))
  const before = writer.acknowledged.length
  const sha256 = new X509Certificate(pair.certificate).fingerprint256
    .replaceAll(':', '')
    .toLowerCase()
  await allSay(
    secure,
    { members: [early], as: old, what: 'the new certificate' },
    ({ tls: now }) => now?.peer?.certificate?.sha256 === sha256 && now.peer.problem === undefined,
  )
  // Connections of before are replaced by new ones, under both certificates of clients.
  writer.useTls(next)
  for (const member of members) secure.publish(member, { 'ca.crt': second.certificate })
  await allSay(secure, { members, as: next, what: 'trust in the second only' }, (status) => {
    seen(status)
    return status.tls?.peer?.trusts?.length === 1 && status.tls.client?.trusts?.length === 1
  })
  await eventually('more writes', () =>
    writer.acknowledged.length > before + 100 ? true : undefined,
  )
  const report = await writer.stop()
  const gap = longestGap(report.writes)
  const heldUpMs = stalls.between(gap.fromMs, gap.toMs)
  const gapMs = gap.toMs - gap.fromMs
  process.stdout.write(
    `F44: longest gap ${Math.round(gapMs)} ms, of which the machine held up ${Math.round(heldUpMs)} ms\n`,
  )
  stalls.stop()
  expect(report.writes.filter(({ outcome }) => outcome !== 'done')).toEqual([])
  expect(gapMs).toBeLessThanOrEqual(GAP_MS + heldUpMs)
  expect(terms.size).toBe(1)
  // A client of the first authority is not let in any more.
  const client = new MemberClient({
    timeoutMs: 1000,
    tls: { ca: Buffer.from(both), cert: Buffer.from(old.cert), key: Buffer.from(old.key) },
  })
  await expect(client.status(secure.apiUrl(early))).rejects.toMatchObject({
    problem: { reason: 'authority' },
  })
  client.close()
  // Nor does anybody need it after a crash.
  await secure.cluster.kill(early)
  secure.startMember(early)
  await allSay(secure, { members, as: next, what: 'back' }, isReady)
  expect(
    linesOf(early, 'new certificates cannot be used; the ones before stay in force'),
  ).toHaveLength(2)
})

test('F44: a member with a wrong certificate is refused, says why, and is back with a right one without a restart', {
  timeout: 120_000,
}, async () => {
  const ca = authority()
  const as = tls([ca], leaf(ca, { hosts: [], usages: ['client'] }))
  const good = leaf(ca)
  const base = { 'ca.crt': ca.certificate, 'crl.pem': revocationList(ca, []) }
  const secure = await SecureCluster.start(() => ({ ...base, ...filesOf(good) }))
  const { members } = secure.cluster
  await allSay(secure, { members, as, what: 'ready' }, isReady)
  const leader = await leaderOf(secure, as)
  const [victim, other] = members.filter((member) => member !== leader) as [
    MemberProcess,
    MemberProcess,
  ]
  const writer = new ProbeWriter({
    endpoints: () => [leader, other].map((member) => secure.apiUrl(member)),
  })
  writer.useTls(as)
  const expired = { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 }
  const revoked = leaf(ca)
  for (const { reason, pair } of [
    { reason: 'expired', pair: leaf(ca, expired) },
    { reason: 'authority', pair: leaf(authority('foreign')) },
    { reason: 'revoked', pair: revoked },
    { reason: 'hostName', pair: leaf(ca, { hosts: ['elsewhere.example'] }) },
  ]) {
    await secure.cluster.kill(victim)
    const list = revocationList(ca, reason === 'revoked' ? [revoked] : [])
    for (const member of [leader, other]) secure.publish(member, { 'crl.pem': list })
    if (reason === 'revoked') await listRead([leader, other])
    secure.publish(victim, filesOf(pair))
    for (const member of members) member.output = ''
    secure.startMember(victim)
    const refusals = (member: MemberProcess) =>
      ['rejected connection on peer endpoint', 'refused a peer connection']
        .flatMap((message) => linesOf(member, message))
        .filter((line) => line['reason'] === reason)
    await eventually(`${reason}: refused by ${leader.name}`, () => refusals(leader)[0], {
      explain: () => secure.cluster.outputs(),
    })
    await eventually(
      `${reason}: told by ${victim.name}`,
      () => linesOf(victim, 'peer connection refused').find((line) => line['reason'] === reason),
      { explain: () => secure.cluster.outputs() },
    )
    // However often it tries.
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect({ reason, lines: refusals(leader).length }).toEqual({ reason, lines: 1 })
    secure.publish(victim, filesOf(good))
    await allSay(secure, { members: [victim], as, what: `${reason}: back` }, isReady)
  }
  const report = await writer.stop()
  expect(report.writes.filter(({ outcome }) => outcome !== 'done')).toEqual([])
  expect(report.writes.length).toBeGreaterThan(500)
})

/** Resolves when each has said that it took a list that revokes something. */
async function listRead(members: readonly MemberProcess[]): Promise<void> {
  await eventually('the list read', () =>
    members.every((member) =>
      linesOf(member, 'new certificates in force').some(
        (line) => line['use'] === 'peer' && line['revoked'] === 1,
      ),
    )
      ? true
      : undefined,
  )
}

async function leaderOf(secure: SecureCluster, as: ProbeTls): Promise<MemberProcess> {
  let leader: MemberProcess | undefined
  for (const member of secure.cluster.members) {
    await allSay(secure, { members: [member], as, what: 'a role' }, ({ role }) => {
      if (role === 'leader') leader = member
      return role !== undefined
    })
  }
  if (leader === undefined) throw new Error('no leader')
  return leader
}

/** Between two writes that were acknowledged one after the other. */
function longestGap(writes: readonly ProbeWrite[]): { fromMs: number; toMs: number } {
  const ends = writes.map(({ endedMs }) => endedMs).toSorted((a, b) => a - b)
  let [fromMs, toMs] = [0, 0]
  for (const [i, end] of ends.entries()) {
    const before = ends[i - 1] ?? end
    if (end - before > toMs - fromMs) [fromMs, toMs] = [before, end]
  }
  return { fromMs, toMs }
}
