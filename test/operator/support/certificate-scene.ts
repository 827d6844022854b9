// A healthy cluster with certificates for tests: the real plan, the real keys and signatures, on Secrets that behave like an API
// server's, with members that take what their kubelets bring them. Time is the test's.

import { X509Certificate } from 'node:crypto'
import { stringify } from 'yaml'
import type { KubeObject, ObjectKey, ResourceType } from '../../../operator/src/api/kube-object.ts'
import { KubeError } from '../../../operator/src/kube/errors.ts'
import type { KubeApi, PatchOptions } from '../../../operator/src/kube/kube-api.ts'
import { type Action, describeAction } from '../../../operator/src/reconcile/actions.ts'
import { Certificates } from '../../../operator/src/reconcile/certificates.ts'
import type { MemberReport, Observed } from '../../../operator/src/reconcile/observed.ts'
import { plan } from '../../../operator/src/reconcile/plan.ts'
import { observationOf } from './observation.ts'

export const SIGNAL = new AbortController().signal
export const DAY_MS = 24 * 3_600_000
const SECURE = { peer: { source: 'SelfManaged' }, client: { source: 'SelfManaged' } }

const APPLY = { fieldManager: 'test', force: true }

function unused(): never {
  throw new Error('not asked of a test')
}

/** As a merge patch does it. */
function merged(before: unknown, patch: unknown): Record<string, string> {
  const all = { ...(before as Record<string, string>), ...(patch as Record<string, string | null>) }
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  )
}

/** As much of an API server as Secrets need: versions, preconditions, merge patches. */
export class Secrets {
  readonly objects = new Map<string, KubeObject>()
  /** Of cert-manager, by resource and name. */
  readonly others = new Map<string, KubeObject>()
  isCertManagerThere = false
  isForbidden = false
  /** Requests, for those who count. */
  readonly requests: string[] = []
  #version = 1

  get api(): KubeApi {
    return {
      get: async ({ resource }: ResourceType, { name }: ObjectKey) => {
        if (resource !== 'secrets') return this.others.get(`${resource}/${name}`)
        this.requests.push(`get ${name}`)
        if (this.isForbidden) throw new KubeError('forbidden', 'it may not', { status: 403 })
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
        const annotations = merged(before.metadata.annotations, metadata.annotations)
        const data = merged(before['data'], patch['data'])
        return this.put({ ...before, metadata: { ...before.metadata, annotations }, data })
      },
      list: async () => {
        if (!this.isCertManagerThere) throw new KubeError('notFound', 'no such kind')
        return { items: [], resourceVersion: '1', continueToken: undefined }
      },
      watch: unused,
      replace: unused,
      apply: async ({ resource }: ResourceType, object: KubeObject) => {
        const uid = `uid-${object.metadata.name}`
        const applied = { ...object, metadata: { ...object.metadata, uid } }
        this.others.set(`${resource}/${object.metadata.name}`, applied)
        return applied
      },
      applyStatus: unused,
      delete: async ({ resource }: ResourceType, { name }: ObjectKey) => {
        this.others.delete(`${resource}/${name}`)
        return 'deleted' as const
      },
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

export function fingerprint(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase()
}

/** Everything that a pass would write if nothing were there. */
export function appliedBy(observed: Observed): string {
  return plan({ ...observed, children: new Map() })
    .actions.flatMap((action) => (action.type === 'apply' ? [stringify(action.object)] : []))
    .join('---\n')
}

export function meets(certificate: X509Certificate, authorities: string): boolean {
  const blocks = authorities.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []
  return blocks.some((pem) => certificate.verify(new X509Certificate(pem).publicKey))
}

/** A healthy cluster `prod/demo` whose members take new files when the test says so. */
export class Scene {
  readonly secrets = new Secrets()
  nowMs = Date.parse('2026-03-01T09:00:00Z')
  annotations: Record<string, string> = {}
  readonly events: string[] = []
  readonly #certificates: Certificates
  spec: Readonly<Record<string, unknown>>
  /** What each member has in force. */
  #inForce: MemberReport['tls'] = {}
  /** Members that do not take what is new. */
  readonly stuck = new Set<number>()
  /** Other objects than those that the spec makes. */
  children: Observed['children'] | undefined
  /** What members really say, where there are some. */
  readonly said = new Map<number, NonNullable<MemberReport['tls']>>()
  readonly #stuckWith = new Map<number, MemberReport['tls']>()

  constructor(tls: object = SECURE) {
    this.spec = { tls }
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
    const base = observationOf({ story: '', spec: this.spec, annotations: this.annotations })
    const cluster = base.cluster
    const tls = await this.#certificates.look(cluster, { isAsked: false, signal: SIGNAL })
    const sightings = base.sightings.map((sighting, ordinal) => {
      const stuck = this.stuck.has(ordinal) ? this.#stuckWith.get(ordinal) : undefined
      const own = this.said.get(ordinal) ?? stuck ?? this.#inForce
      return { ...sighting, report: { ...sighting.report!, tls: own ?? {} } }
    })
    const now = `${new Date(this.nowMs).toISOString().slice(0, 19)}Z`
    const children = this.children ?? base.children
    return { ...base, children, now, sightings, ...(tls === undefined ? {} : { tls: tls.facts }) }
  }

  /** As another operator that has seen `observed`. */
  async write(action: Action, { cluster }: Observed): Promise<void> {
    if (action.type !== 'writeCertificate') throw new Error('not of a certificate')
    await this.#certificates.write(action, cluster, SIGNAL)
  }

  /** One pass; what it does about certificates. */
  async pass(): Promise<string[]> {
    const observed = await this.observe()
    const done: string[] = []
    for (const action of plan(observed).actions) {
      if (action.type === 'apply' && action.title === 'Certificate') {
        await this.secrets.api.apply(action.resource, action.object, APPLY)
        this.#certificates.forget(observed.cluster.metadata.uid)
        done.push(describeAction(action))
      }
      if (action.type === 'deleteChild' && action.title === 'Certificate') {
        const key = { namespace: 'prod', name: action.name }
        await this.secrets.api.delete(action.resource, key, {})
        this.#certificates.forget(observed.cluster.metadata.uid)
        done.push(describeAction(action))
      }
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
