// Where the API server is and how this process proves who it is: the mounted ServiceAccount in a pod, a kubeconfig
// elsewhere. Credentials are read again as they rotate; a request asks for them each time it is sent.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../../lib/clock.ts'
import { KubeError } from './errors.ts'

/** What the TLS connection needs; undefined members are Node.js's defaults. */
export interface TlsMaterial {
  readonly ca?: string | Buffer | undefined
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  readonly passphrase?: string | undefined
  readonly servername?: string | undefined
  readonly rejectUnauthorized?: boolean | undefined
}

export interface Credentials {
  readonly headers: Readonly<Record<string, string>>
  readonly tls: TlsMaterial
}

export interface ClusterAccess {
  /** Scheme, host, port and path prefix of the API server. */
  readonly server: URL
  /** The namespace of the context or of the pod, if known. */
  readonly namespace: string | undefined
  credentials(): Promise<Credentials>
  /** The server refused the credentials: the next call reads them anew. */
  invalidate(): void
}

/** Tokens of ServiceAccounts live an hour; the kubelet renews the file at four fifths of that. client-go reads it as often. */
const REREAD_AFTER_MS = 60_000
export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

export interface InClusterOptions {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Where token, ca.crt and namespace lie. */
  readonly folder: string
}

/** The access of a pod through its ServiceAccount; fails with `malformed` where there is none. */
export async function openInClusterAccess(options: InClusterOptions): Promise<ClusterAccess> {
  const { environment, clock, folder } = options
  const host = environment['KUBERNETES_SERVICE_HOST']
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443'
  if (host === undefined || host === '') {
    throw new KubeError('malformed', 'not in a pod: KUBERNETES_SERVICE_HOST is not set')
  }
  const server = new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`)
  const namespace = (await readText(join(folder, 'namespace'))).trim()
  let current: { readonly credentials: Credentials; readonly readAtMs: number } | undefined
  const credentials = async (): Promise<Credentials> => {
    const nowMs = clock.monotonicMs()
    if (current !== undefined && nowMs - current.readAtMs < REREAD_AFTER_MS) {
      return current.credentials
    }
    const [token, ca] = await Promise.all([
      readText(join(folder, 'token')),
      readText(join(folder, 'ca.crt')),
    ])
    const read = { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } }
    current = { credentials: read, readAtMs: nowMs }
    return read
  }
  await credentials()
  return { server, namespace, credentials, invalidate: () => (current = undefined) }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new KubeError('unauthorized', 'credentials cannot be read', { details: { path }, cause })
  }
}
