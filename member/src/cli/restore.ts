// `raftbase snapshot restore`.

import { resolve } from 'node:path'
import { isMembersOwn, restoreDirectory, type RestoredMember } from '../node/restore.ts'
import { parseAdvertiseUrl } from '../address.ts'
import { roomOf } from '../disk-space.ts'
import {
  type InitialMember,
  integerIn,
  listOf,
  parseDataDir,
  parseInitialCluster,
  parseName,
  parseToken,
} from '../setting-values.ts'
import { DiskFileSystem } from '../wal/disk.ts'
import type { Printed } from './client-command.ts'
import type { CommandFlags } from './command-flags.ts'
import type { Command } from './command.ts'
import { runLocalCommand } from './local-command.ts'
import { renderPairs } from './table.ts'

/** Half of the numbers there are: no revision of ours comes near the other half. */
const BUMP_MAX = 2 ** 52

interface RestoreRequest {
  readonly file: string
  readonly directory: string
  readonly name: string
  readonly token: string
  readonly members: readonly InitialMember[]
  readonly raiseRevisionBy: number
  readonly compacts: boolean
  readonly ifBlank: boolean
}

/** Returns the exit code. */
export function runRestore(command: Command, argv: readonly string[]): Promise<number> {
  return runLocalCommand({ command, argv, read, run: restore })
}

/** The defaults are a member's own: started with the same flags, it finds what was restored. */
function read(flags: CommandFlags): RestoreRequest {
  const name = flags.read('name', 'n1', parseName)
  const peerUrls = flags.read(
    'initial-advertise-peer-urls',
    ['http://127.0.0.1:2380'],
    listOf(parseAdvertiseUrl),
  )
  const members = flags.read('initial-cluster', [{ name, peerUrls }], parseInitialCluster)
  checkMembers(flags, { name, peerUrls, members })
  const raiseRevisionBy = flags.read('bump-revision', 0, integerIn(0, BUMP_MAX))
  const compacts = flags.isGiven('mark-compacted')
  if (raiseRevisionBy > 0 !== compacts) {
    const [field, other] = compacts
      ? ['-mark-compacted', '-bump-revision']
      : ['-bump-revision', '-mark-compacted']
    flags.refuse({ field, reason: `is given without ${other}` })
  }
  return {
    file: resolve(flags.words[0] ?? ''),
    directory: flags.read('data-dir', resolve('data', name), (text) =>
      parseDataDir(text, process.cwd()),
    ),
    name,
    token: flags.read('initial-cluster-token', 'raftbase', parseToken),
    members,
    raiseRevisionBy,
    compacts,
    ifBlank: flags.isGiven('if-blank'),
  }
}

/** As a member checks it at its start. */
function checkMembers(
  flags: CommandFlags,
  options: Pick<RestoreRequest, 'name' | 'members'> & { readonly peerUrls: readonly string[] },
): void {
  const { name, members, peerUrls } = options
  const own = members.find((member) => member.name === name)
  if (own === undefined) {
    const names = members.map((member) => member.name).join(', ')
    const reason = `couldn't find local name "${name}" in the initial cluster configuration, which has ${names}`
    flags.refuse({ field: '-initial-cluster', reason })
  } else if (own.peerUrls.toSorted().join(',') !== peerUrls.toSorted().join(',')) {
    const given = peerUrls.join(',')
    const reason = `is ${given} but -initial-cluster has ${name}=${own.peerUrls.join(',')}`
    flags.refuse({ field: '-initial-advertise-peer-urls', reason })
  }
}

async function restore(request: RestoreRequest): Promise<Printed> {
  const { directory, name, token } = request
  const fs = new DiskFileSystem()
  if (request.ifBlank && (await isMembersOwn({ ...request, fs }))) {
    const text = `${directory} has data of ${name} already: left as it is\n`
    return { json: { dataDir: directory, name, restored: false }, text }
  }
  // Where it cannot be told, the disk will say: what does not fit leaves nothing behind.
  const freeBytes = async () => (await roomOf(directory))?.freeBytes
  const restored = await restoreDirectory({ ...request, fs, freeBytes })
  const { identity, source, revision } = restored
  const json = {
    dataDir: directory,
    name,
    restored: true,
    memberId: identity.memberId,
    clusterId: identity.clusterId,
    initialCluster: identity.initialCluster,
    token,
    revision,
    source: { file: request.file, ...source },
  }
  return { json, text: describe(request, restored) }
}

function describe(
  { directory, name, token, file }: RestoreRequest,
  { identity, source, revision }: RestoredMember,
): string {
  const pairs = renderPairs([
    ['DATA DIRECTORY', directory],
    ['MEMBER', `${name} ${identity.memberId}`],
    ['CLUSTER', identity.clusterId],
    ['REVISION', String(revision)],
    ['KEYS', String(source.keyCount)],
    ['FROM', `${file}, of cluster ${source.clusterId} at revision ${source.revision}`],
  ])
  const flags = `-initial-cluster-token ${token} -initial-cluster ${identity.initialCluster}`
  return `${pairs}Start it with: raftbase -name ${name} -data-dir ${directory} ${flags}\n`
}
