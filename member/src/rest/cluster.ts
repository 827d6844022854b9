// /cluster: who the members are, who leads, and handing leadership over.

import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import type { MemberNode, NodeInfo } from '../node/member-node.ts'
import type { Cluster, Nodes, TransferRequest, TransferResult } from './contract.ts'
import { type Answer, jsonAnswer } from './errors.ts'
import { invalid, jsonBody } from './json-body.ts'
import type { Call } from './route.ts'

export function getNodes({ services }: Call): Answer {
  const nodes = services.node.nodes().map((node) => ({
    id: node.id,
    name: node.name,
    status: node.status,
    peerUrls: [...node.peerUrls],
    clientUrls: [...node.clientUrls],
    apiUrls: [...node.apiUrls],
    version: node.version,
  }))
  return jsonAnswer({ nodes } satisfies Nodes)
}

export function getCluster({ services }: Call): Answer {
  const { clusterId, memberId, name, term, leader, revision, state } = services.node.status()
  if (clusterId === undefined || memberId === undefined) {
    const details = { reason: state }
    throw new RaftbaseError('NOT_READY', 'member does not know its cluster yet', { details })
  }
  return jsonAnswer({
    clusterId,
    memberId,
    name,
    term,
    ...(leader === undefined ? {} : leaderFields(services.node, leader)),
    revision,
  } satisfies Cluster)
}

/** Answers when the new leader is confirmed. */
export async function postLeader(call: Call): Promise<Answer> {
  const { node, limits } = call.services
  const options = call.options()
  const bytes = await call.body({ limitBytes: limits.jsonBytesMax, overheadBytes: 0 })
  const { target } = parseTransferRequest(bytes, call.contentType)
  const chosen = target === undefined ? undefined : findVoter(node.nodes(), target)
  try {
    const leader = await node.transferLeader(chosen?.id, options)
    return jsonAnswer(leaderFields(node, leader) satisfies TransferResult)
  } catch (error) {
    if (hasCode(error, 'NOT_LEADER')) throw notLeader(node, error)
    throw error
  }
}

/**
 * The body of POST /cluster/leader: nothing, or a JSON object with a `target` and no other property. By hand, because
 * a schema compiler would cost more memory than everything else here.
 */
export function parseTransferRequest(
  bytes: Uint8Array,
  contentType: string | undefined,
): TransferRequest {
  const { target } = jsonBody(bytes, contentType, ['target'])
  if (target === undefined) return {}
  if (typeof target !== 'string' || target === '') {
    throw invalid('target', 'the id or the name of a voting member')
  }
  return { target }
}

/** An id goes before a name: a member may be called what another one's id is. */
function findVoter(nodes: readonly NodeInfo[], target: string): NodeInfo {
  const found = nodes.find(({ id }) => id === target) ?? nodes.find(({ name }) => name === target)
  if (found === undefined || found.status === 'learner') {
    const voters = nodes.filter(({ status }) => status !== 'learner').map(({ name }) => name)
    throw invalid('target', `the id or the name of a voting member: ${voters.join(', ')}`)
  }
  return found
}

function leaderFields(node: MemberNode, leader: string) {
  const name = node.nodes().find(({ id }) => id === leader)?.name
  return name === undefined ? { leader } : { leader, leaderName: name }
}

/** Tells the client whom to ask instead. */
export function notLeader(node: MemberNode, cause: unknown): RaftbaseError {
  const { leader } = node.status()
  const info = node.nodes().find(({ id }) => id === leader)
  const details = leader === undefined ? {} : leaderFields(node, leader)
  return new RaftbaseError('NOT_LEADER', 'only the leader hands leadership over', {
    details: { ...details, leaderApiUrls: info?.apiUrls ?? [] },
    cause,
  })
}
