// /cluster/members: who the members are, and changing that at the leader. Each call is safe to repeat after an answer that
// was lost, and refused when the membership is not the one its caller means.

import { hasCode, RaftbaseError } from '../../../lib/errors.ts'
import type { MembershipRequest, NodeInfo } from '../node/member-node.ts'
import { parseAdvertiseUrl } from '../address.ts'
import { expectedEpochOf, notLeader } from './cluster.ts'
import type { Membership } from './contract.ts'
import { memberIn } from './endpoints.ts'
import { type Answer, jsonAnswer } from './errors.ts'
import { invalid, isMemberId, jsonBody } from './json-body.ts'
import type { Call } from './route.ts'

type MemberId = NodeInfo['id']

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const URLS_MAX = 8

export function getMembers(call: Call): Answer {
  return jsonAnswer(membership(call))
}

export async function addMember(call: Call): Promise<Answer> {
  const body = await readBody(call, ['name', 'incarnation', 'peerUrls'])
  return change(call, parseAddition(body))
}

export async function removeMember(call: Call): Promise<Answer> {
  return change(call, { type: 'remove', id: idInPath(call) })
}

export async function promoteMember(call: Call): Promise<Answer> {
  const { together } = await readBody(call, ['together'])
  const others = together === undefined ? [] : idList(together)
  return change(call, { type: 'promote', ids: [...new Set([idInPath(call), ...others])] })
}

export async function replaceMember(call: Call): Promise<Answer> {
  const { by } = await readBody(call, ['by'])
  if (!isMemberId(by)) throw invalid('by', 'the id of a learner, 16 hex digits')
  return change(call, { type: 'replace', removed: idInPath(call), promoted: by })
}

export async function updateMember(call: Call): Promise<Answer> {
  const { peerUrls } = await readBody(call, ['peerUrls'])
  return change(call, { type: 'update', id: idInPath(call), peerUrls: parsePeerUrls(peerUrls) })
}

/** The body of POST /cluster/members. */
export function parseAddition(body: Readonly<Record<string, unknown>>): MembershipRequest {
  const { name, incarnation = 1, peerUrls } = body
  if (typeof name !== 'string' || !NAME.test(name)) throw invalid('name', 'a member name')
  if (typeof incarnation !== 'number' || !Number.isSafeInteger(incarnation) || incarnation < 1) {
    throw invalid('incarnation', '1 or more')
  }
  return { type: 'add', name, incarnation, peerUrls: parsePeerUrls(peerUrls) }
}

function parsePeerUrls(peerUrls: unknown): readonly string[] {
  if (!Array.isArray(peerUrls) || peerUrls.length === 0 || peerUrls.length > URLS_MAX) {
    throw invalid('peerUrls', `1 to ${URLS_MAX} URLs`)
  }
  return peerUrls.map((url: unknown) => {
    const parsed = typeof url === 'string' ? parseAdvertiseUrl(url) : undefined
    if (parsed?.ok !== true) throw invalid('peerUrls', 'http://HOST:PORT or https://HOST:PORT')
    return parsed.value
  })
}

async function change(call: Call, request: MembershipRequest): Promise<Answer> {
  const { node } = call.services
  const expectedEpoch = expectedEpochOf(call)
  const options = { ...call.options(), ...(expectedEpoch === undefined ? {} : { expectedEpoch }) }
  try {
    const { epoch, id } = await node.changeMembership(request, options)
    return jsonAnswer({ ...membership(call), epoch, ...(id === undefined ? {} : { id }) })
  } catch (error) {
    if (hasCode(error, 'NOT_LEADER')) throw notLeader(node, error)
    if (hasCode(error, 'MEMBER_REMOVED')) {
      const details = {
        reason: 'removed',
        field: 'incarnation',
        accepted: 'one that was never used',
      }
      throw new RaftbaseError(
        'MEMBERSHIP_CONFLICT',
        'an id of a removed member is not used again',
        {
          details,
          cause: error,
        },
      )
    }
    throw error
  }
}

function membership({ services }: Call): Membership {
  const { membershipEpoch, members } = services.node.status()
  return {
    epoch: membershipEpoch,
    members: members.map((member) => ({
      ...member,
      peerUrls: [...member.peerUrls],
      clientUrls: [...member.clientUrls],
      apiUrls: [...member.apiUrls],
    })),
  }
}

async function readBody(
  call: Call,
  names: readonly string[],
): Promise<Readonly<Record<string, unknown>>> {
  const { limits } = call.services
  const bytes = await call.body({ limitBytes: limits.jsonBytesMax, overheadBytes: 0 })
  return jsonBody(bytes, call.contentType, names)
}

function idInPath({ path }: Call): MemberId {
  const id = memberIn(path)
  if (!isMemberId(id)) throw invalid('id', 'the id of a member, 16 hex digits')
  return id
}

function idList(value: unknown): readonly MemberId[] {
  if (!Array.isArray(value) || !value.every(isMemberId)) {
    throw invalid('together', 'ids of learners, 16 hex digits each')
  }
  return value
}
