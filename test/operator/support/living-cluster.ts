// A RaftCluster that lives behind an API server of the tests, for real operator processes: the simulated Kubernetes and
// members of the crash suite, moved on by the clock, and asked over real HTTP. Members answer on loopback addresses of their
// own, on the port that the operator asks: `missingMemberPort` says why that cannot be had here.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { withDefaults } from '../../../operator/src/api/defaults.ts'
import { PORTS } from '../../../operator/src/api/names.ts'
import type { RaftClusterStatus } from '../../../operator/src/api/raft-cluster.ts'
import type {
  ChangeAnswer,
  ChangeRequest,
} from '../../../operator/src/member-client/member-client.ts'
import type { Json } from '../../support/fake-api-json.ts'
import type { FakeApiStore, StoredObject } from '../../support/fake-api-store.ts'
import { CLUSTER, KEY } from '../crash/scene.ts'
import { SimKubernetes } from '../crash/sim-kubernetes.ts'
import { SimMembers } from '../crash/sim-members.ts'

const STEP_MS = 50
const ORDINALS = [0, 1, 2, 3, 4] as const
const PODS = 'v1/pods'

/** A change of the membership that a member was asked for. */
export interface AskedChange {
  readonly request: ChangeRequest
  readonly epoch: number
  readonly answer: ChangeAnswer
}

/** Of all calls; each has the fields it needs. */
interface AskedBody {
  readonly name: string
  readonly incarnation: number
  readonly peerUrls: readonly string[]
  readonly together?: readonly string[]
  readonly by: string
  readonly target: string
  readonly level: number
}

/** Why members cannot be played here, told aloud; undefined when they can. */
export async function missingMemberPort(what: string): Promise<string | undefined> {
  const server = createServer()
  const address = `${aNetwork()}.1`
  const problem = await new Promise<string | undefined>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(PORTS.api, address, () => resolve(undefined))
  })
  if (problem === undefined) {
    await new Promise<void>((resolve) => server.close(() => resolve()))
    return undefined
  }
  const reason = `port ${PORTS.api} cannot be had on ${address} (${problem})`
  console.warn(`\nSKIPPED: ${what}: ${reason}\n`)
  return reason
}

export class LivingCluster {
  readonly store: FakeApiStore
  readonly kubernetes: SimKubernetes
  readonly members: SimMembers
  readonly changes: AskedChange[] = []
  /** Promises that were broken, in words. */
  readonly breaches: string[] = []
  readonly #network = aNetwork()
  readonly #servers: Server[] = []
  readonly #streams = new Set<ServerResponse>()
  readonly #timer: NodeJS.Timeout
  readonly #stopWatching: () => void
  #told = ''
  #hold: { readonly type: ChangeRequest['type']; readonly release: Promise<void> } | undefined
  #heldCount = 0

  private constructor(store: FakeApiStore) {
    this.store = store
    this.kubernetes = new SimKubernetes(store, this.#network)
    this.members = new SimMembers(store, this.kubernetes)
    this.#stopWatching = store.onChange(({ type, collection, object, before }) => {
      const isAsked = type === 'MODIFIED' && object.metadata.deletionTimestamp !== undefined
      if (collection !== PODS || !isAsked) return
      if (before?.metadata.deletionTimestamp === undefined) this.#checkDisruption(object)
    })
    this.#timer = setInterval(() => this.#step(), STEP_MS)
  }

  static async start(store: FakeApiStore): Promise<LivingCluster> {
    const cluster = new LivingCluster(store)
    for (const ordinal of ORDINALS) await cluster.#listen(ordinal)
    return cluster
  }

  create(spec: Readonly<Record<string, unknown>> = {}): void {
    this.store.create(CLUSTER, {
      apiVersion: 'raftbase.io/v1alpha1',
      kind: 'RaftCluster',
      metadata: { name: KEY.name },
      spec: structuredClone(withDefaults({ version: '0.1.0', ...spec })) as unknown as Json,
    })
  }

  change(spec: Readonly<Record<string, Json>>): void {
    this.store.patch(CLUSTER, { spec })
  }

  get status(): RaftClusterStatus {
    return (this.store.find(CLUSTER)?.['status'] ?? {}) as unknown as RaftClusterStatus
  }

  /** Nothing is under way, and there are as many members as asked for. */
  isSettledAt(replicas: number): boolean {
    const { phase, operation, votingMembers, members } = this.status
    const isWhole = votingMembers === replicas && members?.length === replicas
    return isWhole && phase === 'Healthy' && operation === undefined
  }

  /** The next call of this kind does not reach its member before `release` is called: the network is slow. */
  holdNext(type: ChangeRequest['type']): { readonly release: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#hold = { type, release: promise }
    return { release: resolve }
  }

  /** Calls that are on their way for as long as they are held. */
  get heldCount(): number {
    return this.#heldCount
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopWatching()
    for (const server of this.#servers) {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }

  #step(): void {
    for (const step of this.kubernetes.steps) step()
    this.members.step()
    const { raft, formedCount } = this.members
    this.breaches.push(...(raft?.breaches.splice(0) ?? []))
    if (formedCount > 1) this.breaches.push(`${formedCount} clusters have formed`)
    const told = JSON.stringify([raft?.leader, raft?.term, raft?.configuration.epoch, this.#pods()])
    if (told === this.#told) return
    this.#told = told
    for (const stream of this.#streams) stream.write('event: status\ndata: {}\n\n')
  }

  #pods(): readonly string[] {
    return this.kubernetes.pods().map(({ metadata }) => metadata.uid)
  }

  /** A pod that serves is taken away only while a majority of the voters is left. */
  #checkDisruption({ metadata }: StoredObject): void {
    const { members } = this
    if (!members.isVoting(metadata.name)) return
    const pods = this.kubernetes.pods()
    const left = pods.filter(
      (pod) =>
        pod.metadata.name !== metadata.name &&
        pod.metadata.deletionTimestamp === undefined &&
        members.isVoting(pod.metadata.name),
    ).length
    const voters = members.raft?.voters.length ?? 0
    if (left > voters / 2) return
    this.breaches.push(`${metadata.name} is taken away with ${left} of ${voters} left`)
  }

  async #listen(ordinal: number): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(ordinal, request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    })
    this.#servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(PORTS.api, `${this.#network}.${ordinal + 1}`, resolve)
    })
  }

  async #answer(
    ordinal: number,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const url = new URL(request.url ?? '/', `http://${this.#network}.${ordinal + 1}`)
    if (url.pathname === '/v1/status/stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      this.#streams.add(response)
      response.once('close', () => this.#streams.delete(response))
      return
    }
    const answer = await this.members.status(url.href)
    if (answer.kind === 'silent') {
      request.socket.resetAndDestroy()
      return
    }
    if (url.pathname === '/v1/status') {
      response.end(JSON.stringify(answer.status))
      return
    }
    const asked = requestOf(request.method ?? '', url.pathname, await bodyOf(request))
    await this.#held(asked)
    const epoch = Number(url.searchParams.get('expectedEpoch'))
    const outcome = this.members.change(url.href, asked, epoch)
    this.changes.push({ request: asked, epoch, answer: outcome })
    if (outcome.kind === 'done') {
      response.end('{}')
      return
    }
    response.writeHead(409, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify({ ...outcome, outcome: outcome.kind }))
  }

  async #held({ type }: ChangeRequest): Promise<void> {
    const hold = this.#hold
    if (hold?.type !== type) return
    this.#hold = undefined
    this.#heldCount += 1
    await hold.release
    this.#heldCount -= 1
  }
}

/** Three numbers of an address, somewhere that nobody else listens. */
function aNetwork(): string {
  const [first, second] = [Math.random(), Math.random()].map((share) => 2 + Math.floor(share * 250))
  return `127.${first}.${second}`
}

function requestOf(
  method: string,
  path: string,
  body: Readonly<Record<string, unknown>>,
): ChangeRequest {
  const [, , what, id = '', verb] = path.split('/')
  const asked = body as unknown as AskedBody
  const { name, incarnation, peerUrls, together = [], by, target, level } = asked
  if (what === 'finalize') return { type: 'finalize', level }
  if (what === 'leader') return { type: 'transfer', target }
  if (verb === 'promote') return { type: 'promote', ids: [id, ...together] }
  if (verb === 'replace') return { type: 'replace', removed: id, promoted: by }
  if (method === 'DELETE') return { type: 'remove', id }
  return { type: 'add', name, incarnation, peerUrls }
}

async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text === '' ? {} : (JSON.parse(text) as Readonly<Record<string, unknown>>)
}
