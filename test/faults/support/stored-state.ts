// What a stopped member has on its disk: read as the member itself would, into a state with a hash. For HASH (equal state
// at an equal index) and log matching (equal entries at equal indexes), of real processes without an API for either.

import { createHash } from 'node:crypto'
import { systemClock, systemTimers } from '../../../lib/clock.ts'
import { createLogger } from '../../../lib/logger.ts'
import { systemPrng } from '../../../lib/prng.ts'
import { openDataDirectory } from '../../../member/src/node/data-directory.ts'
import { identityOf } from '../../../member/src/node/identity.ts'
import { recover } from '../../../member/src/node/recovery.ts'
import { nodeSettings } from '../../../member/src/node/settings.ts'
import { DiskFileSystem } from '../../../member/src/wal/disk.ts'

export interface StoredState {
  readonly name: string
  readonly applied: number
  readonly revision: number
  readonly compactRevision: number
  /** Of the state at `revision` or at an earlier one. */
  readonly hashAt: (revision: number) => number
  /** Of entries still in the log: index to term and a digest of the data. */
  readonly entries: ReadonlyMap<number, string>
}

/** Reads the data directory of a member that does not run. */
export async function readStored(options: {
  name: string
  dataDir: string
  token: string
  members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[]
  /** It was not there when the cluster was made. */
  hasJoined?: boolean
}): Promise<StoredState> {
  const { name, dataDir, token, members } = options
  const fs = new DiskFileSystem()
  const directory = await openDataDirectory({
    fs,
    path: dataDir,
    identity: identityOf({ token, name, members }),
    isNewCluster: options.hasJoined !== true,
  })
  try {
    const recovered = await recover({
      directory,
      initialMembers: options.hasJoined === true ? [] : members,
      settings: {
        ...nodeSettings({
          heartbeatMs: 100,
          electionMs: 1000,
          requestBytesMax: 1_572_864,
          snapshotLogBytes: 64 * 1024 * 1024,
          quotaBytes: Number.POSITIVE_INFINITY,
        }),
        // Whichever version wrote it.
        knownLevel: Number.MAX_SAFE_INTEGER,
      },
      fs,
      clock: systemClock,
      timers: systemTimers,
      prng: systemPrng(),
      log: createLogger({ level: 'silent' }),
      onFlush: () => undefined,
      onFailure: (error) => {
        throw error
      },
    })
    await recovered.wal.close()
    const { store, appliedIndex } = recovered.stateMachine
    const entries = new Map<number, string>()
    for (const { index, term, data } of recovered.raftInitial.entries) {
      entries.set(index, `${term}:${createHash('sha256').update(data).digest('hex').slice(0, 16)}`)
    }
    return {
      name,
      applied: appliedIndex,
      revision: store.revision,
      compactRevision: store.compactRevision,
      hashAt: (revision) => {
        const result = store.hash(revision)
        if (!result.ok)
          throw new Error(`${name}: no hash at ${revision}: ${JSON.stringify(result)}`)
        return result.hash
      },
      entries,
    }
  } finally {
    await directory.release()
  }
}

/** What differs between the members' disks; empty when nothing does. */
export function differences(states: readonly StoredState[]): string[] {
  const found: string[] = []
  const revision = Math.min(...states.map((state) => state.revision))
  const hashes = states.map((state) => state.hashAt(revision))
  if (new Set(hashes).size > 1) {
    const each = states.map((state, i) => `${state.name} ${hashes[i]!.toString(16)}`)
    found.push(`state hash at revision ${revision}: ${each.join(', ')}`)
  }
  for (const [i, a] of states.entries()) {
    for (const b of states.slice(i + 1)) {
      const committed = Math.min(a.applied, b.applied)
      for (const [index, entry] of a.entries) {
        const other = b.entries.get(index)
        if (index > committed || other === undefined || other === entry) continue
        found.push(`entry ${index}: ${a.name} has ${entry}, ${b.name} has ${other}`)
        break
      }
      const [of, other] = [a, b].map((s) => `${s.name} at ${s.revision} from ${s.compactRevision}`)
      const isEqual = a.revision === b.revision && a.compactRevision === b.compactRevision
      if (a.applied === b.applied && !isEqual) found.push(`applied ${a.applied}: ${of}, ${other}`)
    }
  }
  return found
}
