// `raftbase member …`. Members are named as people name them; what is sent has ids, and the epoch of the membership in which
// the names were looked up, so that a change never meets another member than the one that was meant.

import { parseAdvertiseUrl } from '../address.ts'
import type { ConfiguredMember, Membership } from '../rest/contract.ts'
import { integerIn, listOf, parseName } from '../setting-values.ts'
import { CommandError, type Printed, runClientCommand } from './client-command.ts'
import type { Change, ClusterClient } from './cluster-client.ts'
import type { CommandFlags } from './command-flags.ts'
import type { Command } from './command.ts'
import { ProblemError } from './member-client.ts'
import { renderTable } from './table.ts'

type Role = ConfiguredMember['role']
type Run = (command: Command, argv: readonly string[]) => Promise<number>

const EPOCH_MAX = Number.MAX_SAFE_INTEGER
const INCARNATION_MAX = 1_000_000
const NAME_RESOLUTIONS_MAX = 5

export const runList: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: () => undefined,
    run: async (cluster) => {
      const { epoch, members } = await cluster.membership()
      const title = `epoch ${epoch}\n`
      return { json: { epoch, members }, text: title + renderMembers(members) }
    },
  })

export const runAdd: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: (flags) => ({
      name: readName(flags),
      peerUrls: readPeerUrls(flags),
      incarnation: flags.isGiven('incarnation')
        ? flags.read('incarnation', 1, integerIn(1, INCARNATION_MAX))
        : undefined,
      ...readEpoch(flags),
    }),
    run: (cluster, own) => add(cluster, own),
  })

export const runPromote: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: (flags) => ({ ids: flags.words, isPatient: flags.isGiven('wait'), ...readEpoch(flags) }),
    run: (cluster, { ids: names, ...own }) =>
      changeNamed(cluster, own, (membership) => {
        const ids = names.map((name) => find(membership, name, 'learner').id)
        const [first, ...together] = ids
        return {
          method: 'POST',
          path: `/cluster/members/${first}/promote`,
          body: { together },
          done: `${names.join(', ')} ${names.length === 1 ? 'has a vote' : 'have votes'}`,
        }
      }),
  })

export const runRemove: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: (flags) => ({ name: flags.words[0]!, ...readEpoch(flags) }),
    run: (cluster, { name, ...own }) =>
      changeNamed(cluster, own, (membership) => {
        const member = findAny(membership, name)
        const id = member?.id ?? name
        const done = member === undefined ? `${name} is no member` : `${name} is removed`
        return { method: 'DELETE', path: `/cluster/members/${id}`, done }
      }),
  })

export const runUpdate: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: (flags) => ({
      name: flags.words[0]!,
      peerUrls: readPeerUrls(flags),
      ...readEpoch(flags),
    }),
    run: (cluster, { name, peerUrls, ...own }) =>
      changeNamed(cluster, own, (membership) => ({
        method: 'PATCH',
        path: `/cluster/members/${find(membership, name, 'voter').id}`,
        body: { peerUrls },
        done: `${name} is reached at ${peerUrls.join(', ')}`,
      })),
  })

export const runReplace: Run = (command, argv) =>
  runClientCommand({
    command,
    argv,
    read: (flags) => ({
      lost: flags.words[0]!,
      learner: flags.words[1] ?? flags.words[0]!,
      isPatient: flags.isGiven('wait'),
      ...readEpoch(flags),
    }),
    run: (cluster, { lost, learner, ...own }) =>
      changeNamed(cluster, own, (membership) => {
        const removed = find(membership, lost, 'voter')
        const by = find(membership, learner, 'learner')
        if (removed.id === by.id) {
          throw new CommandError(`there is no learner called ${learner}: add it first`)
        }
        return {
          method: 'POST',
          path: `/cluster/members/${removed.id}/replace`,
          body: { by: by.id },
          done: `${by.name} (${by.id}) has taken the place of ${removed.name} (${removed.id})`,
        }
      }),
  })

interface Fence {
  readonly expectedEpoch: number | undefined
}

interface NamedChange extends Change {
  /** What is so afterwards, for people. */
  readonly done: string
}

/**
 * Looks the names up, has the leader do it, and looks again when the membership became another one in between, unless the
 * caller said which one is meant.
 */
async function changeNamed(
  cluster: ClusterClient,
  { expectedEpoch, isPatient = false }: Fence & { readonly isPatient?: boolean },
  describe: (membership: Membership) => NamedChange,
): Promise<Printed> {
  for (let resolutions = 1; ; ) {
    const membership = await cluster.membership()
    const { done, ...change } = describe(membership)
    try {
      const answer = await cluster.change({
        ...change,
        expectedEpoch: expectedEpoch ?? membership.epoch,
      })
      return { json: answer, text: `${done} (epoch ${String(answer['epoch'])})\n` }
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error
      const { code } = error.problem
      const isStale = code === 'MEMBERSHIP_CONFLICT' && expectedEpoch === undefined
      const isBehind = code === 'NOT_READY' && isPatient
      if (isStale) resolutions++
      if (resolutions > NAME_RESOLUTIONS_MAX || !cluster.hasTime) throw error
      if (!isStale && !isBehind) throw error
      await cluster.pause()
    }
  }
}

async function add(
  cluster: ClusterClient,
  own: Fence & {
    readonly name: string
    readonly peerUrls: readonly string[]
    readonly incarnation: number | undefined
  },
): Promise<Printed> {
  const { name, peerUrls, expectedEpoch } = own
  const membership = await cluster.membership()
  const answer = await cluster.change({
    method: 'POST',
    path: '/cluster/members',
    body: { name, peerUrls, incarnation: own.incarnation ?? 1 },
    expectedEpoch: expectedEpoch ?? membership.epoch,
  })
  const { id, epoch, members } = answer as unknown as Membership
  const known = members.find((member) => member.id === id)
  if (known?.role === 'voter') {
    const text = `${name} is a voter already, with the id ${id}, reached at ${known.peerUrls.join(', ')} (epoch ${epoch})
if its disk was lost, add it again with a higher --incarnation
`
    return { json: answer, text }
  }
  const initialCluster = [...members.filter((member) => member.name !== name), { name, peerUrls }]
    .map((member) => `${member.name}=${member.peerUrls[0]}`)
    .join(',')
  const text = `${name} is a learner with the id ${id} (epoch ${epoch}); start it on a blank directory:
  raftbase -name ${name} -initial-cluster-state existing \\
    -initial-cluster ${initialCluster} \\
    -initial-cluster-token TOKEN ...
then: raftbase member promote ${name} --wait
`
  return { json: answer, text }
}

/** By id, or by name where only one member has it, the one with `role` before others. */
function find(membership: Membership, name: string, role: Role): ConfiguredMember {
  const { members } = membership
  const byId = members.find(({ id }) => id === name)
  if (byId !== undefined) return byId
  const named = members.filter((member) => member.name === name)
  const fitting = named.filter((member) => member.role === role)
  const candidates = fitting.length > 0 ? fitting : named
  if (candidates.length === 1) return candidates[0]!
  if (candidates.length === 0) {
    const names = members.map((member) => member.name || member.id).join(', ')
    throw new CommandError(`there is no member ${name}; there are: ${names}`)
  }
  const ids = candidates.map(({ id }) => id).join(', ')
  throw new CommandError(`several members are called ${name}; give an id: ${ids}`)
}

/** For what has happened when there is none: undefined for an id that no member has. */
function findAny(membership: Membership, name: string): ConfiguredMember | undefined {
  const { members } = membership
  const isGone = /^[0-9a-f]{16}$/.test(name) && !members.some((member) => member.id === name)
  const named = members.filter((member) => member.name === name)
  if (isGone && named.length === 0) return undefined
  if (named.length < 2) return find(membership, name, 'voter')
  const ids = named.map(({ id, role }) => `${id} (${role})`).join(', ')
  throw new CommandError(`several members are called ${name}; give an id: ${ids}`)
}

function renderMembers(members: Membership['members']): string {
  return renderTable(
    'ID,NAME,ROLE,PEER URLS,CLIENT URLS,API URLS,VERSION'.split(','),
    members.map((member) => [
      member.id,
      member.name || '-',
      member.role,
      ...[member.peerUrls, member.clientUrls, member.apiUrls].map((urls) => urls.join(',') || '-'),
      member.version || '-',
    ]),
  )
}

function readName(flags: CommandFlags): string {
  const name = flags.words[0] ?? ''
  const parsed = parseName(name)
  if (!parsed.ok && name !== '') {
    const accepted = 'letters, digits, dots, dashes, underscores; first a letter or digit'
    flags.refuse({ field: 'NAME', given: name, reason: parsed.reason, accepted })
  }
  return name
}

function readPeerUrls(flags: CommandFlags): readonly string[] {
  if (!flags.isGiven('peer-urls')) {
    flags.refuse({ field: '-peer-urls', reason: 'is missing' })
    return []
  }
  return flags.read('peer-urls', [], listOf(parseAdvertiseUrl))
}

export function readEpoch(flags: CommandFlags): Fence {
  if (!flags.isGiven('expected-epoch')) return { expectedEpoch: undefined }
  return { expectedEpoch: flags.read('expected-epoch', 0, integerIn(0, EPOCH_MAX)) }
}
