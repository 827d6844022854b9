// Which members `raftbase dev` starts, where they listen and where their data is; and whether this machine has room for
// them. Nothing is started here.

import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, relative } from 'node:path'
import { httpUrl } from '../address.ts'
import { DEV_MEMBER_COUNTS } from '../settings.ts'
import { certificateFlags } from './dev-certificates.ts'

const LOOPBACK = '127.0.0.1'
/** `localhost` may mean either: a stranger on the other one would get what is meant for a member. */
const LOOPBACKS = [LOOPBACK, '::1']
const CLIENT_PORT = 2379
const PEER_PORT = 2380
const API_PORT = 8080

export interface PlannedMember {
  readonly name: string
  readonly clientUrl: string
  readonly peerUrl: string
  readonly apiUrl: string
  readonly ports: readonly { readonly port: number; readonly use: string }[]
  /** Absolute. */
  readonly dataDir: string
  /** As a user would write it. */
  readonly shownDataDir: string
  readonly argv: readonly string[]
}

export function planMembers(options: {
  readonly count: number
  /** Absolute. */
  readonly dataDir: string
  readonly workingDirectory: string
  /** Added to every port. */
  readonly portOffset: number
  readonly isSecure: boolean
}): readonly PlannedMember[] {
  const numbers = Array.from({ length: options.count }, (_, position) => position)
  const { portOffset, isSecure } = options
  const url = (port: number): string => httpUrl({ host: LOOPBACK, port, isSecure })
  const peerPort = (i: number) => PEER_PORT + portOffset + 2 * i
  const cluster = numbers.map((i) => `n${i + 1}=${url(peerPort(i))}`).join(',')
  return numbers.map((i) => {
    const name = `n${i + 1}`
    const client = CLIENT_PORT + portOffset + 2 * i
    const peer = peerPort(i)
    const api = API_PORT + portOffset + i
    const dataDir = join(options.dataDir, name)
    const shown = relative(options.workingDirectory, dataDir)
    const flags = {
      name,
      'data-dir': dataDir,
      'client-url': url(client),
      'peer-url': url(peer),
      'api-addr': `${LOOPBACK}:${api}`,
      'initial-cluster': cluster,
      'initial-cluster-token': 'raftbase-dev',
      ...(isSecure ? certificateFlags(options.dataDir) : {}),
    }
    return {
      name,
      clientUrl: url(client),
      peerUrl: url(peer),
      apiUrl: url(api),
      ports: [
        { port: client, use: `client port of ${name}` },
        { port: peer, use: `peer port of ${name}` },
        { port: api, use: `API port of ${name}` },
      ],
      dataDir,
      shownDataDir: shown.startsWith('..') ? dataDir : shown,
      argv: Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`),
    }
  })
}

/** One line that says why the members cannot be started; undefined when they can. Creates the data directory. */
export async function findObstacle(
  members: readonly PlannedMember[],
  dataDir: string,
): Promise<string | undefined> {
  const taken: string[] = []
  for (const { port, use } of members.flatMap((member) => member.ports)) {
    for (const host of LOOPBACKS) {
      const refusal = await whyRefused(host, port)
      if (refusal === undefined) continue
      taken.push(`${port} (${use}${refusal === 'EADDRINUSE' ? '' : `: ${refusal}`})`)
      break
    }
  }
  if (taken.length > 0) {
    const ports = taken.length === 1 ? 'port is' : 'ports are'
    const which = taken.length === 1 ? 'this' : 'these'
    return `${which} ${ports} taken: ${taken.join(', ')}; --port-offset moves them all`
  }
  return whyUnusable(dataDir) ?? otherCluster(members, dataDir)
}

/** The code of the error that listening ends with; undefined when the port is free, or the family does not exist here. */
async function whyRefused(host: string, port: number): Promise<string | undefined> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, resolve)
    })
    return undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' ? undefined : code
  } finally {
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
}

/** Tries what a member will do: access rights alone say nothing to root or on a read-only disk. */
function whyUnusable(dataDir: string): string | undefined {
  try {
    makeDirectory(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    rmdirSync(mkdtempSync(join(dataDir, '.probe-')))
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return `the directory ${dataDir} cannot be written: ${reason}`
  }
}

/** Parents first. Not by `recursive`, which never ends below a directory where nothing can be made (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/** A cluster of another size left its data here: its members would wait for each other in vain. */
function otherCluster(members: readonly PlannedMember[], dataDir: string): string | undefined {
  const names = readdirSync(dataDir)
  const count = DEV_MEMBER_COUNTS.findLast((size) => names.includes(`n${size}`)) ?? 0
  if (count === 0 || count === members.length) return undefined
  return `${dataDir} holds a cluster of ${count}: use --members ${count} or another --data-dir`
}
