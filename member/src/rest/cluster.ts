// /cluster: who the members are, who leads, and handing leadership over.

import { RaftbaseError, hasCode } from '../../../lib/errors.ts'
import type { MemberNode, NodeInfo } from '../node/member-node.ts'
import type { Cluster, FinalizeResult, Nodes, TransferRequest, TransferResult } from './contract.ts'
import { type Answer, jsonAnswer } from './errors.ts'
import { invalid, isMemberId, jsonBody } from './json-body.ts'
import type { Call } from './route.ts'

const LEVEL_MAX = 65_535

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
  const { target, from } = parseTransferRequest(bytes, call.contentType)
  const chosen = target === undefined ? undefined : findVoter(node.nodes(), target)
  mustBeEpoch(call)
  const { leader, memberId } = node.status()
  // Somebody else than the one to be relieved leads: what was asked for has happened.
  const isDone = target === undefined && from !== undefined && from !== memberId
  if (isDone && leader !== undefined && leader === memberId) {
    return jsonAnswer(leaderFields(node, leader) satisfies TransferResult)
  }
  try {
    const leader = await node.transferLeader(chosen?.id, options)
    return jsonAnswer(leaderFields(node, leader) satisfies TransferResult)
  } catch (error) {
    if (hasCode(error, 'NOT_LEADER')) throw notLeader(node, error)
    throw error
  }
}

/**
 * The body of POST /cluster/leader: nothing, or a JSON object with a `target`, a `from` and no other property. By hand, because
 * a schema compiler would cost more memory than everything else here.
 */
export function parseTransferRequest(
  bytes: Uint8Array,
  contentType: string | undefined,
): TransferRequest {
  const { target, from } = jsonBody(bytes, contentType, ['target', 'from'])
  if (from !== undefined && !isMemberId(from)) {
    throw invalid('from', 'the id of a member, 16 hex digits')
  }
  const meant = from === undefined ? {} : { from }
  if (target === undefined) return meant
  if (typeof target !== 'string' || target === '') {
    throw invalid('target', 'the id or the name of a voting member')
  }
  return { ...meant, target }
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

/** The membership that a call means, by its parameter `expectedEpoch`. */
export function expectedEpochOf({ query }: Call): number | undefined {
  const text = query.get('expectedEpoch')
  if (text === undefined) return undefined
  if (!/^[0-9]{1,15}$/.test(text)) throw invalid('expectedEpoch', 'a count')
  return Number(text)
}

function mustBeEpoch(call: Call): void {
  const expectedEpoch = expectedEpochOf(call)
  const { membershipEpoch: epoch } = call.services.node.status()
  if (expectedEpoch === undefined || expectedEpoch === epoch) return
  throw new RaftbaseError('MEMBERSHIP_CONFLICT', 'the membership is another one by now', {
    details: { expectedEpoch, epoch },
  })
}

/** Answers when the feature level of the cluster is what was asked for, or more. */
export async function finalize(call: Call): Promise<Answer> {
  const { node, limits } = call.services
  const expectedEpoch = expectedEpochOf(call)
  const options = call.options()
  const bytes = await call.body({ limitBytes: limits.jsonBytesMax, overheadBytes: 0 })
  const level = levelIn(jsonBody(bytes, call.contentType, ['level']))
  const request = {
    ...(level === undefined ? {} : { level }),
    ...(expectedEpoch === undefined ? {} : { expectedEpoch }),
  }
  const result = await node.finalize(request, options)
  return jsonAnswer({ featureLevel: result.level, epoch: result.epoch } satisfies FinalizeResult)
}

function levelIn({ level }: Readonly<Record<string, unknown>>): number | undefined {
  if (level === undefined) return undefined
  const isLevel = typeof level === 'number' && Number.isInteger(level) && level >= 0
  if (!isLevel || level > LEVEL_MAX) throw invalid('level', `a whole number up to ${LEVEL_MAX}`)
  return level
}

/** Tells the client whom to ask instead. */
export function notLeader(node: MemberNode, cause: unknown): RaftbaseError {
  const { leader } = node.status()
  const info = node.nodes().find(({ id }) => id === leader)
  const details = leader === undefined ? {} : leaderFields(node, leader)
  return new RaftbaseError('NOT_LEADER', 'only the leader does this', {
    details: { ...details, leaderApiUrls: info?.apiUrls ?? [] },
    cause,
  })
}
