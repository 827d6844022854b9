// Reads the Secrets of a cluster, and writes the certificates that a plan orders. They are read one by one, by name: nobody
// lists Secrets. What was read is used for half a minute, unless this process has written since.

import { unreachable } from '../../../lib/assert.ts'
import type { Clock } from '../../../lib/clock.ts'
import {
  authorityName,
  givenAuthority,
  issuerOf,
  leafName,
  leavesOf,
  type LeafUse,
} from '../api/certificates.ts'
import type { KubeObject } from '../api/kube-object.ts'
import {
  CERTIFICATES_SINCE_ANNOTATION,
  clusterLabels,
  FIELD_MANAGER,
  isControlledBy,
  ownerReference,
  ROTATE_ANNOTATION,
} from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { SECRETS } from '../api/resource-types.ts'
import { isKubeError, KubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import { lookAtRequest } from './certificate-request.ts'
import {
  connectWith,
  newAuthority,
  newLeaf,
  nextAuthority,
  promotedAuthority,
  readAuthority,
  readGiven,
  readLeaf,
  type SecretData,
  trustOf,
  withoutPrevious,
} from '../pki/secrets.ts'
import type { Action, PlannedEvent } from './actions.ts'
import type { SecretFacts, TlsObserved } from './observed.ts'

const READ_AGAIN_MS = 30_000
/** While somebody else has to do something first. */
const READ_WAITING_MS = 3000

type CertificateAction = Extract<Action, { type: 'writeCertificate' }>

interface Remembered {
  readonly atMs: number
  /** Names of the Secrets: another spec may want others. */
  readonly names: string
  /** Certificates are parsed and checked once, not in each pass. */
  readonly found: CertificatesFound
}

export interface CertificatesFound {
  readonly facts: TlsObserved
  readonly credentials: MemberCredentials | undefined
}

/** What the operator shows and trusts when it asks members of a cluster. */
export interface MemberCredentials {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface CertificatesOptions {
  readonly api: KubeApi
  readonly clock: Clock
}

export class Certificates {
  readonly #options: CertificatesOptions
  /** By uid of the RaftCluster. */
  readonly #remembered = new Map<string, Remembered>()

  constructor(options: CertificatesOptions) {
    this.#options = options
  }

  /** Undefined for a cluster that has none. */
  async look(
    cluster: RaftCluster,
    options: {
      /** Pods of the cluster have TLS, whatever its spec says by now: the operator has to ask them. */
      readonly isAsked: boolean
      readonly signal: AbortSignal
    },
  ): Promise<CertificatesFound | undefined> {
    const uses = usesOf(cluster, options)
    const { uid } = cluster.metadata
    if (uses.length === 0) return undefined
    const known = this.#remembered.get(uid)
    const isNew = known !== undefined && this.#nowMs() - known.atMs < shelfLifeOf(known.found)
    const isSame = known?.names === namesOf(cluster, uses)
    if (isNew && isSame) return known.found
    const found = await this.#readIfAllowed(cluster, uses, options.signal)
    this.#remembered.set(uid, { atMs: this.#nowMs(), names: namesOf(cluster, uses), found })
    return found
  }

  forget(uid: string): void {
    this.#remembered.delete(uid)
  }

  /** What is worth telling. Throws a KubeError when it did not happen. */
  async write(
    action: CertificateAction,
    cluster: RaftCluster,
    signal: AbortSignal,
  ): Promise<readonly PlannedEvent[]> {
    const { api, clock } = this.#options
    const { namespace, name, uid } = cluster.metadata
    this.forget(uid)
    const key = { namespace, name: authorityName(name) }
    const authority =
      action.order.kind === 'newAuthority' ? undefined : await api.get(SECRETS, key, { signal })
    if (isOutdated(action, authority)) {
      throw new KubeError('conflict', 'the authority is another one by now')
    }
    const from = 'from' in action.order ? action.order.from : undefined
    const given =
      from === undefined ? undefined : await api.get(SECRETS, { namespace, name: from }, { signal })
    if (from !== undefined && readGiven(given).certificate === undefined) {
      throw new KubeError('conflict', 'the given authority is gone')
    }
    const written = contentOf(action, { cluster, authority, given, nowMs: clock.wallMs() })
    if (action.over === undefined) await this.#create(action.secret, written, { cluster, signal })
    else {
      await api.patch(
        SECRETS,
        { namespace, name: action.secret },
        { metadata: { annotations: written.annotations }, data: written.data },
        { fieldManager: FIELD_MANAGER, preconditions: action.over, signal },
      )
    }
    return eventsOf(action)
  }

  async #create(
    name: string,
    { data, annotations }: Written,
    { cluster, signal }: { readonly cluster: RaftCluster; readonly signal: AbortSignal },
  ): Promise<void> {
    const { namespace } = cluster.metadata
    await this.#options.api.create(
      SECRETS,
      {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/tls',
        metadata: {
          name,
          namespace,
          labels: clusterLabels(cluster.metadata.name, 'certificates'),
          annotations,
          ownerReferences: [ownerReference(cluster)],
        },
        data,
      },
      { signal },
    )
  }

  /** Without the right to read Secrets there is a cluster to be told so, and nothing else. */
  async #readIfAllowed(
    cluster: RaftCluster,
    uses: readonly LeafUse[],
    signal: AbortSignal,
  ): Promise<CertificatesFound> {
    try {
      return await this.#read(cluster, uses, signal)
    } catch (error) {
      if (!isKubeError(error, 'forbidden')) throw error
      return { facts: { forbidden: error.message, leaves: {} }, credentials: undefined }
    }
  }

  async #read(
    cluster: RaftCluster,
    uses: readonly LeafUse[],
    signal: AbortSignal,
  ): Promise<CertificatesFound> {
    const { namespace, name, uid } = cluster.metadata
    const get = (secret: string) =>
      this.#options.api.get(SECRETS, { namespace, name: secret }, { signal })
    const wanted = givenAuthority(cluster)
    const { api } = this.#options
    const [request, authority, given, ...leaves] = await Promise.all([
      lookAtRequest(cluster, { api, signal }),
      get(authorityName(name)),
      wanted === undefined ? undefined : get(wanted),
      ...uses.map(async (use) => [use, await get(leafName(name, use))] as const),
    ])
    const there = leaves.flatMap(([use, secret]) =>
      secret === undefined ? [] : [[use, secret] as const],
    )
    const own = there.find(([use]) => use === 'operator')?.[1]
    return {
      facts: {
        ...(authority === undefined ? {} : { authority: authorityOf(authority, uid) }),
        ...(request === undefined ? {} : { request }),
        ...(wanted === undefined ? {} : { given: readGiven(given) }),
        leaves: Object.fromEntries(
          there.map(([use, secret]) => [
            use,
            { ...headOf(secret, uid), facts: readLeaf(secret, authority) },
          ]),
        ),
      },
      credentials: own === undefined ? undefined : connectWith(own),
    }
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}

/** Of the certificates that are looked at. Pods outlive a spec that wants TLS: they are asked with what there was. */
function usesOf(cluster: RaftCluster, { isAsked }: { readonly isAsked: boolean }) {
  const uses = leavesOf(cluster).map(({ use }) => use)
  return isAsked && !uses.includes('operator') ? [...uses, 'operator' as const] : uses
}

function shelfLifeOf({ facts: { forbidden, given, request } }: CertificatesFound): number {
  const trouble = forbidden ?? given?.problem ?? request?.problem
  return trouble === undefined ? READ_AGAIN_MS : READ_WAITING_MS
}

function namesOf(cluster: RaftCluster, uses: readonly LeafUse[]): string {
  return [givenAuthority(cluster), issuerOf(cluster)?.name, ...uses].join()
}

/** What is done to the authority itself is decided on what it was: another operator may have been faster. */
function isOutdated(
  { order, over, secret }: CertificateAction,
  authority: KubeObject | undefined,
): boolean {
  if (order.kind === 'newAuthority' || order.kind === 'leaf' || order.kind === 'trust') return false
  return (
    authority?.metadata.name === secret &&
    (authority.metadata.uid !== over?.uid ||
      authority.metadata.resourceVersion !== over?.resourceVersion)
  )
}

interface Written {
  readonly data: SecretData
  readonly annotations: Readonly<Record<string, string>>
}

function contentOf(
  { order }: CertificateAction,
  context: {
    readonly cluster: RaftCluster
    readonly authority: KubeObject | undefined
    readonly given: KubeObject | undefined
    readonly nowMs: number
  },
): Written {
  const { cluster, authority, given, nowMs } = context
  const { namespace, name, annotations: wishes } = cluster.metadata
  const whose = `${namespace}/${name}`
  const since = {
    [CERTIFICATES_SINCE_ANNOTATION]: `${new Date(nowMs).toISOString().slice(0, 19)}Z`,
  }
  if (order.kind === 'newAuthority') {
    // A wish that is older than the authority itself is fulfilled.
    const wish = wishes?.[ROTATE_ANNOTATION]
    const rotated = wish === undefined ? {} : { [ROTATE_ANNOTATION]: wish }
    return { data: newAuthority(whose, nowMs, given), annotations: { ...since, ...rotated } }
  }
  if (authority === undefined || readAuthority(authority) === undefined) {
    throw new KubeError('conflict', 'the authority of the cluster is gone')
  }
  switch (order.kind) {
    case 'nextAuthority': {
      const rotated = order.wish === undefined ? {} : { [ROTATE_ANNOTATION]: order.wish }
      return { data: nextAuthority(whose, nowMs, given), annotations: { ...since, ...rotated } }
    }
    case 'promoteAuthority':
      return { data: promotedAuthority(authority), annotations: since }
    case 'forgetPrevious':
      return { data: withoutPrevious(), annotations: since }
    case 'leaf':
      return { data: newLeaf(authority, order.leaf, nowMs), annotations: since }
    case 'trust':
      return { data: trustOf(authority), annotations: since }
    default:
      return unreachable(order)
  }
}

function eventsOf({ order, secret, why, over }: CertificateAction): readonly PlannedEvent[] {
  const base = { type: 'Normal', action: 'WriteCertificate' } as const
  if (order.kind === 'leaf' && over !== undefined) {
    const message = `the certificate in Secret ${secret} was made anew: ${why}`
    return [{ ...base, reason: 'CertificateRenewed', message, occasion: secret }]
  }
  if (order.kind === 'nextAuthority') {
    const message = `another authority, because ${why}: it becomes trusted beside the one before`
    return [{ ...base, reason: 'CARotationStarted', message }]
  }
  if (order.kind === 'forgetPrevious') {
    const message = 'the new authority alone is trusted from now on'
    return [{ ...base, reason: 'CARotated', message }]
  }
  return []
}

function authorityOf(secret: KubeObject, uid: string): NonNullable<TlsObserved['authority']> {
  const facts = readAuthority(secret)
  const { annotations } = secret.metadata
  const rotatedFor = annotations?.[ROTATE_ANNOTATION]
  return {
    ...headOf(secret, uid),
    ...(facts === undefined ? {} : { facts }),
    ...(rotatedFor === undefined ? {} : { rotatedFor }),
  }
}

function headOf(secret: KubeObject, clusterUid: string): SecretFacts {
  const { uid = '', resourceVersion, annotations } = secret.metadata
  const since = annotations?.[CERTIFICATES_SINCE_ANNOTATION]
  return {
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    isOurs: isControlledBy(secret, clusterUid),
    ...(since === undefined ? {} : { since }),
  }
}
