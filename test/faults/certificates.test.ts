// F44: certificates that are exchanged, expire, are revoked or of a wrong authority, with real members under a writer that
// never stops. What is exchanged costs no request and no election; what is wrong is refused, and told in both logs.

import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { MemberClient } from '../../member/src/cli/member-client.ts'
import type { Status } from '../../member/src/rest/contract.ts'
import { authority, leaf, revocationList } from '../support/certificates.ts'
import { type ProbeTls, type ProbeWrite, ProbeWriter } from '../support/probe-writer.ts'
import { eventually, type MemberProcess } from '../support/process-cluster.ts'
import { allSay, filesOf, SecureCluster, tls } from './support/secure-cluster.ts'
import { StallProbe } from './support/stalls.ts'

/** Of any write that is not held up by the machine. A member reads new files in between writes. */
const GAP_MS = 250

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
