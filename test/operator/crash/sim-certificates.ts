// The certificates of a cluster as its pods have them: each kubelet brings a changed Secret late, an application's later still.
// Everybody must be able to talk to everybody at every moment, whoever has the newest files and whoever those before, and a
// key that signs must never get lost. The operator is a client like others: who does not trust it does not answer it.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Status } from '../../../member/src/rest/contract.ts'
import type { MemberAnswer } from '../../../operator/src/member-client/member-client.ts'
import type { MemberTrust } from '../../../operator/src/member-client/trust.ts'
import type { FakeApiStore, StoredObject } from '../../support/fake-api-store.ts'
import { isRunning, type SimKubernetes } from './sim-kubernetes.ts'

/** Of the one cluster there is. */
const [NAMESPACE, NAME] = ['prod', 'demo'] as const
/** Between two looks of a kubelet at a Secret; no two have the same rhythm. */
const KUBELET_MS = 30_000
const KUBELET_STAGGER_MS = 6500
/** Of an application, which no exchange waits for. */
const APPLICATION_MS = 120_000

/** What lies in one Secret. */
interface Files {
  readonly certificate: X509Certificate
  readonly fromMs: number
  readonly toMs: number
  readonly sha256: string
  readonly trusts: readonly X509Certificate[]
  readonly trustedSha256: readonly string[]
}

interface Mount {
  readonly name: string
  readonly uses: readonly ('peer' | 'server')[]
  readonly files: Map<string, Files>
  readonly isMutual: boolean
  readonly everyMs: number
  nextLookMs: number
}

interface Authority {
  readonly owner: string
  readonly current: string
  readonly next: string | undefined
}

export class SimCertificates {
  readonly #store: FakeApiStore
  readonly #kubernetes: SimKubernetes
  /** By uid of the pod. */
  readonly #mounts = new Map<string, Mount>()
  readonly #application: Mount = {
    name: 'an application',
    uses: [],
    files: new Map(),
    isMutual: true,
    everyMs: APPLICATION_MS,
    nextLookMs: 0,
  }
  readonly #read = new Map<string, Files>()
  /** By what lies in the files: the same ones are shown again and again. */
  readonly #parsed = new Map<string, Files>()
  readonly #named = new Map<string, boolean>()
  readonly #met = new Map<string, boolean>()
  #authority: Authority | undefined
  #authorityVersion: string | undefined
  /** What must never happen and did. */
  readonly breaches: string[] = []

  constructor(store: FakeApiStore, kubernetes: SimKubernetes) {
    this.#store = store
    this.#kubernetes = kubernetes
  }

  /** Kubelets bring what has changed. */
  step(nowMs: number): void {
    const pods = this.#kubernetes.pods().filter((pod) => isRunning(pod))
    for (const uid of this.#mounts.keys()) {
      if (!pods.some(({ metadata }) => metadata.uid === uid)) this.#mounts.delete(uid)
    }
    for (const pod of pods) this.#look(this.#mountOf(pod), nowMs)
    const isSecured = [...this.#mounts.values()].some(({ uses }) => uses.includes('server'))
    if (isSecured) this.#look(this.#application, nowMs, 'client')
    else this.#application.files.clear()
  }

  /** After anything has changed: what every pod has must go together with what every other has. */
  check(nowMs: number): void {
    this.#checkAuthority()
    const mounts = [...this.#mounts.values()]
    for (const one of mounts) {
      for (const other of mounts) {
        if (one !== other) this.#mustMeet(one, other, 'peer', nowMs)
      }
      const asked = one.files.get('server')
      const shown = this.#application.files.get('client')
      if (asked === undefined || shown === undefined) continue
      this.#holds(this.#meets(asked, shown, nowMs), `an application trusts ${one.name}`)
      if (one.isMutual) this.#holds(this.#meets(shown, asked, nowMs), `${one.name} an application`)
    }
  }

  /** How many members speak to clients by https alone. */
  get securedCount(): number {
    return [...this.#mounts.values()].filter(({ uses }) => uses.includes('server')).length
  }

  /** What a member says of its certificates. */
  tlsOf(podUid: string): Status['tls'] {
    const mount = this.#mounts.get(podUid)
    if (mount === undefined || mount.uses.length === 0) return undefined
    const use = (name: 'peer' | 'server') => {
      const files = mount.files.get(name)
      if (files === undefined) return undefined
      const notAfter = files.certificate.validToDate.toISOString()
      return { certificate: { sha256: files.sha256, notAfter }, trusts: [...files.trustedSha256] }
    }
    const [peer, client] = [use('peer'), use('server')]
    return { ...(peer === undefined ? {} : { peer }), ...(client === undefined ? {} : { client }) }
  }

  /** A request of the operator: refused as the member's listener would, or the operator itself. */
  refusalOf(baseUrl: string, trust: MemberTrust, nowMs: number): MemberAnswer | undefined {
    const url = new URL(baseUrl)
    const pod = this.#kubernetes.pods().find((one) => addressOf(one) === url.hostname)
    if (pod === undefined) return undefined
    const mount = this.#mountOf(pod)
    this.#look(mount, nowMs)
    const files = mount.files.get('server')
    const isSecure = url.protocol === 'https:'
    if (isSecure !== (files !== undefined)) return refused('another protocol')
    if (files === undefined) return undefined
    let shown: Files
    try {
      const { ca, cert, servername } = trust.of(url) as Readonly<Record<string, string>>
      shown = this.#filesOf(cert!, ca!)
      if (!this.#isNamed(files, servername!)) return refused('another name')
    } catch (error) {
      return refused(String(error))
    }
    if (!this.#meets(files, shown, nowMs)) return refused('the operator does not trust the member')
    if (mount.isMutual && !this.#meets(shown, files, nowMs)) return refused('the member refuses it')
    return undefined
  }

  #mountOf(pod: StoredObject): Mount {
    const { uid, name } = pod.metadata
    let mount = this.#mounts.get(uid)
    if (mount !== undefined) return mount
    const args = argumentsOf(pod)
    const has = (flag: string): boolean => args.some((one) => one.startsWith(`${flag}=`))
    mount = {
      name,
      uses: [
        ...(has('-peer-cert-file') ? ['peer' as const] : []),
        ...(has('-cert-file') ? ['server' as const] : []),
      ],
      files: new Map(),
      isMutual: has('-trusted-ca-file'),
      everyMs: KUBELET_MS + KUBELET_STAGGER_MS * Number(name.split('-').at(-1)),
      nextLookMs: 0,
    }
    this.#mounts.set(uid, mount)
    return mount
  }

  #look(mount: Mount, nowMs: number, ...others: readonly string[]): void {
    if (nowMs < mount.nextLookMs) return
    mount.nextLookMs = nowMs + mount.everyMs
    for (const use of [...mount.uses, ...others]) {
      const secret = this.#secret(`${NAME}-${use}-tls`)
      if (secret === undefined) continue
      const files = this.#filesIn(secret)
      if (files !== undefined) mount.files.set(use, files)
    }
  }

  #mustMeet(one: Mount, other: Mount, use: 'peer', nowMs: number): void {
    const [shown, trusting] = [one.files.get(use), other.files.get(use)]
    if (shown === undefined || trusting === undefined) {
      // A pod does not start without the Secrets of its template.
      const lacks = [one, other].find(({ uses, files }) => uses.includes(use) && !files.has(use))
      this.#holds(lacks === undefined, `${lacks?.name} has its certificate`)
      return
    }
    this.#holds(this.#meets(shown, trusting, nowMs), `${other.name} trusts its peer ${one.name}`)
  }

  /** A key that signs stays until nobody needs it: the one of now stays, or the one that was next takes its place. */
  #checkAuthority(): void {
    const secret = this.#secret(`${NAME}-ca`)
    if (secret === undefined) {
      this.#authority = undefined
      return
    }
    if (secret.metadata.resourceVersion === this.#authorityVersion) return
    this.#authorityVersion = secret.metadata.resourceVersion
    const owners = (secret.metadata['ownerReferences'] ?? []) as unknown as { uid: string }[]
    const current = pairIn(secret, 'tls')
    const next = pairIn(secret, 'next')
    const owner = owners[0]?.uid ?? ''
    const before = this.#authority?.owner === owner ? this.#authority : undefined
    this.#holds(current !== undefined, 'the authority has its key')
    if (current === undefined) return
    if (before !== undefined && before.current !== current) {
      this.#holds(before.next === current, 'only the next authority takes the place of the current')
      const previous = textIn(secret, 'previous.crt')
      this.#holds(
        previous !== undefined && sha256Of(new X509Certificate(previous)) === before.current,
        'the authority before stays trusted',
      )
    } else if (before?.next !== undefined) {
      this.#holds(next === before.next, 'the next authority stays until it signs')
    }
    this.#authority = { owner, current, next }
  }

  #meets(shown: Files, trusting: Files, nowMs: number): boolean {
    if (nowMs < shown.fromMs || nowMs > shown.toMs) return false
    const key = `${shown.sha256} ${trusting.trustedSha256.join()}`
    let met = this.#met.get(key)
    if (met === undefined) {
      met = trusting.trusts.some(
        (authority) =>
          shown.certificate.checkIssued(authority) && shown.certificate.verify(authority.publicKey),
      )
      this.#met.set(key, met)
    }
    return met
  }

  #filesIn(secret: StoredObject): Files | undefined {
    const version = `${secret.metadata.name} ${secret.metadata.resourceVersion}`
    const known = this.#read.get(version)
    if (known !== undefined) return known
    if (pairIn(secret, 'tls') === undefined) {
      this.#holds(false, `${secret.metadata.name} holds a certificate and its key`)
      return undefined
    }
    const files = this.#filesOf(textIn(secret, 'tls.crt') ?? '', textIn(secret, 'ca.crt') ?? '')
    this.#read.set(version, files)
    return files
  }

  #filesOf(certificate: string, authorities: string): Files {
    const key = `${certificate}|${authorities}`
    let files = this.#parsed.get(key)
    if (files === undefined) this.#parsed.set(key, (files = filesOf(certificate, authorities)))
    return files
  }

  #isNamed({ certificate, sha256 }: Files, name: string): boolean {
    const key = `${sha256} ${name}`
    const isNamed = this.#named.get(key) ?? certificate.checkHost(name) !== undefined
    this.#named.set(key, isNamed)
    return isNamed
  }

  #secret(name: string): StoredObject | undefined {
    return this.#store.find({ collection: 'v1/secrets', namespace: NAMESPACE, name })
  }

  #holds(fact: boolean, what: string): void {
    if (!fact) this.breaches.push(`not so: ${what}`)
  }
}

function refused(detail: string): MemberAnswer {
  return { kind: 'silent', reason: 'failed', detail }
}

function argumentsOf(pod: StoredObject): readonly string[] {
  const { containers } = pod['spec'] as unknown as { containers: readonly { args?: string[] }[] }
  return containers[0]?.args ?? []
}

function addressOf(pod: StoredObject): string | undefined {
  return (pod['status'] as { podIP?: string } | undefined)?.podIP
}

function filesOf(certificate: string, authorities: string): Files {
  const blocks = authorities.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----\n?/g) ?? []
  const trusts = blocks.map((block) => new X509Certificate(block))
  const own = new X509Certificate(certificate)
  return {
    certificate: own,
    fromMs: own.validFromDate.getTime(),
    toMs: own.validToDate.getTime(),
    sha256: sha256Of(own),
    trusts,
    trustedSha256: trusts.map(sha256Of),
  }
}

/** Fingerprint of a certificate that lies there with its key. */
function pairIn(secret: StoredObject, field: 'tls' | 'next'): string | undefined {
  const [certificate, key] = [textIn(secret, `${field}.crt`), textIn(secret, `${field}.key`)]
  if (certificate === undefined || key === undefined) return undefined
  const parsed = new X509Certificate(certificate)
  return parsed.checkPrivateKey(createPrivateKey(key)) ? sha256Of(parsed) : undefined
}

function textIn(secret: StoredObject, field: string): string | undefined {
  const value = (secret['data'] as Record<string, string> | undefined)?.[field]
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8')
}

function sha256Of(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}
