// Reads the Secrets of a cluster, and writes the certificates that a plan orders. They are read one by one, by name: nobody
// lists Secrets. What was read is used for half a minute, unless this process has written since.

import type { Clock } from '../../../lib/clock.ts'
import {
  authorityName,
  givenAuthority,
  givenNeeds,
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
  TAKEN_FROM_ANNOTATION,
} from '../api/labels.ts'
import type { RaftCluster } from '../api/raft-cluster.ts'
import { SECRETS } from '../api/resource-types.ts'
import { isKubeError, KubeError } from '../kube/errors.ts'
import type { KubeApi } from '../kube/kube-api.ts'
import { readGivenAuthority, readGivenSecrets } from '../pki/given.ts'
import { connectWith, readAuthority, readLeaf } from '../pki/secrets.ts'
import type { PlannedEvent } from './actions.ts'
import {
  basisOf,
  type CertificateAction,
  contentOf,
  eventsOf,
  isOutdated,
  sourceOf,
  type Written,
} from './certificate-content.ts'
import { lookAtFormerRequest, lookAtRequest } from './certificate-request.ts'
import type { SecretFacts, TlsObserved } from './observed.ts'

const READ_AGAIN_MS = 30_000
/** While somebody else has to do something first. */
const READ_WAITING_MS = 3000

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
    const { clock } = this.#options
    const { namespace, name, uid } = cluster.metadata
    this.forget(uid)
    const get = (secret: string | undefined) =>
      secret === undefined ? undefined : this.#get(namespace, secret, signal)
    const [authority, given, basis] = await Promise.all([
      get(authorityName(name)),
      get(sourceOf(action)),
      get(basisOf(action)),
    ])
    const found = { cluster, authority, given, basis, nowMs: clock.wallMs() }
    if (isOutdated(action, found)) {
      throw new KubeError('conflict', 'the certificates are others by now')
    }
    const written = contentOf(action, found)
    if (action.over === undefined) await this.#create(action.secret, written, { cluster, signal })
    else {
      await this.#options.api.patch(
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
          annotations: withoutNulls(annotations),
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
    const { api, clock } = this.#options
    const get = (secret: string) => this.#get(namespace, secret, signal)
    const needs = givenNeeds(cluster)
    const wanted = issuerOf(cluster) === undefined ? undefined : givenAuthority(cluster)
    const [request, authority, asked, secrets, ...leaves] = await Promise.all([
      lookAtRequest(cluster, { api, signal }),
      get(authorityName(name)),
      wanted === undefined ? undefined : get(wanted),
      this.#readEach(namespace, [...new Set(needs.map(({ secret }) => secret))], signal),
      ...uses.map(async (use) => [use, await get(leafName(name, use))] as const),
    ])
    const former = await lookAtFormerRequest(cluster, authority, { api, signal })
    const given =
      needs.length === 0
        ? undefined
        : readGivenSecrets(
            needs.map((need) => ({ need, secret: secrets.get(need.secret) })),
            clock.wallMs(),
          )
    const authorityGiven =
      wanted === undefined ? given?.authority : readGivenAuthority(wanted, asked)
    const there = leaves.flatMap(([use, secret]) =>
      secret === undefined ? [] : [[use, secret] as const],
    )
    const own = there.find(([use]) => use === 'operator')?.[1]
    return {
      facts: {
        ...(authority === undefined ? {} : { authority: authorityOf(authority, uid) }),
        ...(request === undefined ? {} : { request }),
        ...(former === undefined ? {} : { formerRequest: former }),
        ...(authorityGiven === undefined ? {} : { given: authorityGiven }),
        ...(given?.leaves === undefined ? {} : { givenLeaves: given.leaves }),
        leaves: Object.fromEntries(
          there.map(([use, secret]) => [
            use,
            { ...headOf(secret, uid), ...takenFrom(secret), facts: readLeaf(secret, authority) },
          ]),
        ),
      },
      credentials: own === undefined ? undefined : connectWith(own),
    }
  }

  #get(namespace: string, name: string, signal: AbortSignal): Promise<KubeObject | undefined> {
    return this.#options.api.get(SECRETS, { namespace, name }, { signal })
  }

  async #readEach(
    namespace: string,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, KubeObject | undefined>> {
    const found = await Promise.all(
      names.map(async (name) => [name, await this.#get(namespace, name, signal)] as const),
    )
    return new Map(found)
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

function shelfLifeOf({ facts }: CertificatesFound): number {
  const { forbidden, given, givenLeaves = {}, request } = facts
  const leaf = Object.values(givenLeaves).find(({ problem }) => problem !== undefined)
  const trouble = forbidden ?? (facts.givenLeaves ? leaf : given)?.problem ?? request?.problem
  return trouble === undefined ? READ_AGAIN_MS : READ_WAITING_MS
}

function namesOf(cluster: RaftCluster, uses: readonly LeafUse[]): string {
  return JSON.stringify([givenNeeds(cluster), issuerOf(cluster), uses])
}

function authorityOf(secret: KubeObject, uid: string): NonNullable<TlsObserved['authority']> {
  const facts = readAuthority(secret)
  const { annotations } = secret.metadata
  const rotatedFor = annotations?.[ROTATE_ANNOTATION]
  return {
    ...headOf(secret, uid),
    ...(facts === undefined ? {} : { facts }),
    ...(rotatedFor === undefined ? {} : { rotatedFor }),
    ...takenFrom(secret),
  }
}

/** Nothing is there yet that could be removed. */
function withoutNulls(fields: Written['annotations']): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  )
}

function takenFrom({ metadata }: KubeObject): { readonly takenFrom?: string } {
  const name = metadata.annotations?.[TAKEN_FROM_ANNOTATION]
  return name === undefined ? {} : { takenFrom: name }
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
