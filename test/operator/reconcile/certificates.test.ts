// The certificates of a cluster through its whole life: the real plan, the real keys and signatures, on Secrets that behave
// like an API server's, with members that take what their kubelets bring them. Time is the test's.

import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import { KubeError } from '../../../operator/src/kube/errors.ts'
import type { KubeApi, PatchOptions } from '../../../operator/src/kube/kube-api.ts'
import { describeAction } from '../../../operator/src/reconcile/actions.ts'
import { Certificates } from '../../../operator/src/reconcile/certificates.ts'
import type { MemberReport, Observed } from '../../../operator/src/reconcile/observed.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { observationOf, UID } from '../support/observation.ts'

const SIGNAL = new AbortController().signal
const DAY_MS = 24 * 3_600_000
const SECURE = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }

function unused(): never {
  throw new Error('not asked of a test')
}

/** As much of an API server as Secrets need: versions, preconditions, merge patches. */
class Secrets {
  readonly objects = new Map<string, KubeObject>()
  /** Requests, for those who count. */
  readonly requests: string[] = []
  #version = 1

  get api(): KubeApi {
    return {
      get: async (_: ResourceType, { name }: ObjectKey) => {
        this.requests.push(`get ${name}`)
        return this.objects.get(name)
      },
      create: async (_: ResourceType, object: KubeObject) => {
        const { name } = object.metadata
        if (this.objects.has(name)) throw new KubeError('alreadyExists', 'it is there')
        return this.put({ ...object, metadata: { ...object.metadata, uid: `uid-${name}` } })
      },
      patch: async (
        _: ResourceType,
        { name }: ObjectKey,
        patch: Readonly<Record<string, unknown>>,
        { preconditions }: PatchOptions,
      ) => {
        const before = this.objects.get(name)
        if (before === undefined) throw new KubeError('notFound', 'it is gone')
        const { uid, resourceVersion } = before.metadata
        if (preconditions?.uid !== uid || preconditions?.resourceVersion !== resourceVersion) {
          throw new KubeError('conflict', 'it is another one')
        }
        const metadata = patch['metadata'] as { annotations: Record<string, string> }
        const annotations = { ...before.metadata.annotations, ...metadata.annotations }
        const data = { ...(before['data'] as object), ...(patch['data'] as object) }
        const kept = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null))
        return this.put({ ...before, metadata: { ...before.metadata, annotations }, data: kept })
      },
      list: unused,
      watch: unused,
      replace: unused,
      apply: unused,
      applyStatus: unused,
      delete: unused,
    }
  }

  put(object: KubeObject): KubeObject {
    const resourceVersion = String(this.#version++)
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion } }
    this.objects.set(object.metadata.name, stored)
    return stored
  }

  pem(name: string, field: string): string {
    const data = this.objects.get(name)?.['data'] as Record<string, string> | undefined
    return Buffer.from(data?.[field] ?? '', 'base64').toString()
  }

  certificate(name: string, field = 'tls.crt'): X509Certificate {
    return new X509Certificate(this.pem(name, field))
  }

  trusts(name: string): string[] {
    const blocks = this.pem(name, 'ca.crt').match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g)
    return (blocks ?? []).map((pem) => fingerprint(new X509Certificate(pem)))
  }
}

function fingerprint(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}

/** Everything that a pass would write if nothing were there. */
function appliedBy(observed: Observed): string {
  return plan({ ...observed, children: new Map() })
    .actions.flatMap((action) => (action.type === 'apply' ? [stringify(action.object)] : []))
    .join('---\n')
}

function meets(certificate: X509Certificate, authorities: string): boolean {
  const blocks = authorities.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []
  return blocks.some((pem) => certificate.verify(new X509Certificate(pem).publicKey))
}

/** A healthy cluster `prod/demo` whose members take new files when the test says so. */
class Scene {
  readonly secrets = new Secrets()
  nowMs = Date.parse('2026-03-01T09:00:00Z')
  annotations: Record<string, string> = {}
  readonly events: string[] = []
  readonly #certificates: Certificates
  readonly #spec: Readonly<Record<string, unknown>>
  /** What each member has in force. */
  #inForce: MemberReport['tls'] = {}
  /** Members that do not take what is new. */
  readonly stuck = new Set<number>()
  readonly #stuckWith = new Map<number, MemberReport['tls']>()

  constructor(tls: object = SECURE) {
    this.#spec = { tls }
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs }
    this.#certificates = new Certificates({ api: this.secrets.api, clock })
  }

  /** Kubelets bring the files, members take them. */
  deliver(): void {
    for (const ordinal of this.stuck) {
      if (!this.#stuckWith.has(ordinal)) this.#stuckWith.set(ordinal, this.#inForce)
    }
    const use = (name: string) => ({
      certificate: fingerprint(this.secrets.certificate(name)),
      trusts: this.secrets.trusts(name),
    })
    this.#inForce = { peer: use('demo-peer-tls'), client: use('demo-server-tls') }
  }

  async observe(): Promise<Observed> {
    const base = observationOf({ story: '', spec: this.#spec, annotations: this.annotations })
    const cluster = base.cluster
    const tls = await this.#certificates.look(cluster, SIGNAL)
    const sightings = base.sightings.map((sighting, ordinal) => {
      const own = this.stuck.has(ordinal)
        ? (this.#stuckWith.get(ordinal) ?? this.#inForce)
        : this.#inForce
      return { ...sighting, report: { ...sighting.report!, tls: own ?? {} } }
    })
    const now = `${new Date(this.nowMs).toISOString().slice(0, 19)}Z`
    return { ...base, now, sightings, ...(tls === undefined ? {} : { tls: tls.facts }) }
  }

  /** One pass; what it does about certificates. */
  async pass(): Promise<string[]> {
    const observed = await this.observe()
    const done: string[] = []
    for (const action of plan(observed).actions) {
      if (action.type !== 'writeCertificate') continue
      const told = await this.#certificates.write(action, observed.cluster, SIGNAL)
      this.events.push(...told.map(({ reason }) => reason))
      done.push(describeAction(action))
    }
    return done
  }

  /** Passes until nothing is left to do; what they did. */
  async settle(): Promise<string[]> {
    const done: string[] = []
    for (let i = 0; i < 20; i++) {
      const actions = await this.pass()
      if (actions.length === 0) return done
      done.push(...actions)
    }
    throw new Error(`it does not settle: ${done.join('; ')}`)
  }

  async condition(): Promise<string> {
    const { conditions = [] } = plan(await this.observe()).status
    const found = conditions.find(({ type }) => type === 'TLSReady')
    return found === undefined ? 'none' : `${found.status} ${found.reason}: ${found.message}`
  }

  static async issued(tls?: object): Promise<Scene> {
    const scene = new Scene(tls)
    await scene.settle()
    scene.deliver()
    return scene
  }
}

describe('a new cluster', () => {
  test('has its authority first, then every certificate, then nothing more to do', async () => {
    const scene = new Scene()
    expect(await scene.condition()).toMatch(/^False Issuing/)
    expect(await scene.pass()).toEqual(['write newAuthority into Secret demo-ca: there is none'])
    expect(await scene.pass()).toEqual(
      ['peer', 'server', 'client', 'operator'].map(
        (use) => `write leaf into Secret demo-${use}-tls: there is none`,
      ),
    )
    scene.deliver()
    expect(await scene.pass()).toEqual([])
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events).toEqual([])
  })

  test('certificates are signed by it, for the names and uses they need, and no key but its own signs', async () => {
    const { secrets } = await Scene.issued()
    const authority = secrets.certificate('demo-ca')
    for (const use of ['peer', 'server', 'client', 'operator']) {
      const leaf = secrets.certificate(`demo-${use}-tls`)
      expect(leaf.verify(authority.publicKey)).toBe(true)
      expect(leaf.ca).toBe(false)
      expect(secrets.trusts(`demo-${use}-tls`)).toEqual([fingerprint(authority)])
    }
    const peer = secrets.certificate('demo-peer-tls')
    const host = 'demo-1.demo-peer.prod.svc.cluster.local'
    expect(peer.checkHost(host)).toBeDefined()
    expect(peer.keyUsage).toHaveLength(2)
    const server = secrets.certificate('demo-server-tls')
    for (const name of ['demo-client', 'demo-client.prod', 'demo-client.prod.svc', host]) {
      expect(server.checkHost(name)).toBeDefined()
    }
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    const client = secrets.certificate('demo-client-tls')
    expect(client.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(client.subjectAltName).toBeUndefined()
    const owners = [...secrets.objects.values()].map(({ metadata }) => metadata.ownerReferences)
    expect(owners.every((owner) => owner?.[0]?.uid === UID)).toBe(true)
  })

  test('without spec.tls there is none of it, and no Secret is even looked at', async () => {
    const scene = new Scene({})
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe('none')
    expect(scene.secrets.requests).toEqual([])
  })

  test('the plan carries no key, and the pods nothing that changes with a certificate', async () => {
    const scene = await Scene.issued()
    const observed = await scene.observe()
    expect(JSON.stringify(observed.tls)).not.toMatch(/PRIVATE|BEGIN/)
    const before = appliedBy(observed)
    expect(before).toContain('-peer-cert-file=/etc/raftbase/peer-tls/tls.crt')
    expect(before).toContain('https://demo-0.demo-peer.prod.svc.cluster.local:2380')
    scene.nowMs += 61 * DAY_MS
    await scene.settle()
    expect(appliedBy(await scene.observe())).toBe(before)
  })

  test('two operators at once make one authority', async () => {
    const scene = new Scene()
    const observed = await scene.observe()
    const [action] = plan(observed).actions
    if (action?.type !== 'writeCertificate') throw new Error('no authority is made')
    const clock = { monotonicMs: () => 0, wallMs: () => scene.nowMs }
    const [one, other] = [0, 1].map(() => new Certificates({ api: scene.secrets.api, clock }))
    await one!.write(action, observed.cluster, SIGNAL)
    await expect(other!.write(action, observed.cluster, SIGNAL)).rejects.toMatchObject({
      code: 'alreadyExists',
    })
  })
})

describe('renewal', () => {
  test('comes at two thirds of the life, with a new key, and is told', async () => {
    const scene = await Scene.issued()
    const before = scene.secrets.pem('demo-peer-tls', 'tls.key')
    scene.nowMs += 59 * DAY_MS
    expect(await scene.settle()).toEqual([])
    scene.nowMs += 2 * DAY_MS
    const done = await scene.settle()
    expect(done).toHaveLength(4)
    expect(done[0]).toBe('write leaf into Secret demo-peer-tls: two thirds of its life are over')
    expect(scene.events).toEqual(Array(4).fill('CertificateRenewed'))
    expect(scene.secrets.pem('demo-peer-tls', 'tls.key')).not.toBe(before)
    expect(await scene.condition()).toMatch(
      /^False NotInForce: not in force yet at demo-0, demo-1, demo-2/,
    )
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
  })

  test('what was deleted, damaged or emptied is made anew', async () => {
    const scene = await Scene.issued()
    scene.secrets.objects.delete('demo-client-tls')
    const peer = scene.secrets.objects.get('demo-peer-tls')!
    const server = scene.secrets.objects.get('demo-server-tls')!
    scene.secrets.put({ ...peer, data: { 'tls.crt': 'bm9uc2Vuc2U=' } })
    const { 'ca.crt': _, ...rest } = server['data'] as Record<string, string>
    scene.secrets.put({ ...server, data: rest })
    scene.nowMs += 60_000
    expect(await scene.settle()).toEqual([
      'write leaf into Secret demo-peer-tls: no certificate with its key',
      'write trust into Secret demo-server-tls: others are trusted now',
      'write leaf into Secret demo-client-tls: there is none',
    ])
  })

  test('a damaged authority is not replaced, and said', async () => {
    const scene = await Scene.issued()
    const secret = scene.secrets.objects.get('demo-ca')!
    scene.secrets.put({ ...secret, data: {} })
    scene.nowMs += 70 * DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/^False AuthorityDamaged: Secret demo-ca/)
  })

  test('a Secret of somebody else is left alone, and said', async () => {
    const scene = new Scene()
    const mine = { name: 'demo-peer-tls', namespace: 'prod', uid: 'mine' }
    scene.secrets.put({ apiVersion: 'v1', kind: 'Secret', metadata: mine, data: {} })
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toBe(
      'False NameConflict: Secrets under our names belong to others: demo-peer-tls',
    )
  })

  test('that does not happen is told when a quarter of the life is left', async () => {
    const scene = await Scene.issued()
    scene.nowMs += 70 * DAY_MS
    expect(await scene.condition()).toMatch(/^False Expiring/)
  })
})

describe('exchanging the authority', () => {
  const PHASE_MS = 181_000

  test('goes in three phases, each acknowledged by every member', async () => {
    const scene = await Scene.issued()
    const first = fingerprint(scene.secrets.certificate('demo-ca'))
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    scene.nowMs += 60_000
    const begun = await scene.settle()
    expect(begun[0]).toBe('write nextAuthority into Secret demo-ca: the user wants another one')
    expect(begun.slice(1)).toHaveLength(4)
    const next = fingerprint(scene.secrets.certificate('demo-ca', 'next.crt'))
    // Both are trusted; the old one still signs, and nothing goes on before members have said so.
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([first, next])
    scene.nowMs += PHASE_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(
      /^False RotationInProgress: the new authority becomes trusted.*waiting for demo-0, demo-1, demo-2/,
    )
    scene.deliver()
    const reissued = await scene.settle()
    expect(reissued[0]).toBe(
      'write promoteAuthority into Secret demo-ca: every member trusts the next one',
    )
    expect(reissued.slice(1)).toHaveLength(4)
    const authority = scene.secrets.certificate('demo-ca')
    expect(fingerprint(authority)).toBe(next)
    expect(scene.secrets.certificate('demo-peer-tls').verify(authority.publicKey)).toBe(true)
    expect(scene.secrets.trusts('demo-peer-tls').toSorted()).toEqual([first, next].toSorted())
    // Forgotten only when everybody shows the new certificates, and not at once.
    scene.deliver()
    expect(await scene.settle()).toEqual([])
    scene.nowMs += PHASE_MS
    const over = await scene.settle()
    expect(over[0]).toBe(
      'write forgetPrevious into Secret demo-ca: nobody shows a certificate of the one before',
    )
    expect(scene.secrets.trusts('demo-peer-tls')).toEqual([next])
    scene.deliver()
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events.filter((reason) => reason.startsWith('CA'))).toEqual([
      'CARotationStarted',
      'CARotated',
    ])
    // The wish is fulfilled once.
    scene.nowMs += PHASE_MS
    expect(await scene.settle()).toEqual([])
  })

  test('waits for a member that does not take what is new, for ever', async () => {
    const scene = await Scene.issued()
    scene.stuck.add(1)
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    scene.nowMs += 60_000
    await scene.settle()
    scene.deliver()
    scene.nowMs += DAY_MS
    expect(await scene.settle()).toEqual([])
    expect(await scene.condition()).toMatch(/waiting for demo-1$/)
    scene.stuck.clear()
    expect((await scene.settle())[0]).toMatch(/^write promoteAuthority/)
  })

  test('is due by itself at two thirds of its life', async () => {
    const scene = await Scene.issued()
    scene.nowMs += 1220 * DAY_MS
    expect((await scene.settle())[0]).toBe(
      'write nextAuthority into Secret demo-ca: two thirds of its life are over',
    )
  })

  test('a wish that is older than the cluster is fulfilled', async () => {
    const scene = new Scene()
    scene.annotations = { 'raftbase.io/rotate-ca': 'before' }
    expect(await scene.settle()).toHaveLength(5)
  })

  test('every trust and certificate on the way lets old and new talk to each other', async () => {
    const scene = await Scene.issued()
    scene.annotations = { 'raftbase.io/rotate-ca': 'today' }
    let shown = scene.secrets.certificate('demo-peer-tls')
    let trusted = scene.secrets.pem('demo-peer-tls', 'ca.crt')
    for (let i = 0; i < 12; i++) {
      await scene.pass()
      scene.nowMs += PHASE_MS
      const [certificate, authorities] = [
        scene.secrets.certificate('demo-peer-tls'),
        scene.secrets.pem('demo-peer-tls', 'ca.crt'),
      ]
      // A member that has the files of now and one that has those of before.
      expect(meets(certificate, trusted) && meets(shown, authorities)).toBe(true)
      ;[shown, trusted] = [certificate, authorities]
      scene.deliver()
    }
    expect(await scene.condition()).toMatch(/^True Issued/)
    expect(scene.events).toContain('CARotated')
  })
})

test('Secrets are read one by one and not with each pass', async () => {
  const scene = await Scene.issued()
  await scene.pass()
  scene.secrets.requests.length = 0
  for (let i = 0; i < 20; i++) {
    scene.nowMs += 1000
    await scene.pass()
  }
  expect(scene.secrets.requests).toEqual([])
  scene.nowMs += 15_000
  await scene.pass()
  expect(scene.secrets.requests).toHaveLength(5)
})
