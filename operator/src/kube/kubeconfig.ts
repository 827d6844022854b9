// Access through a kubeconfig, for developers and tests. The only file that loads @kubernetes/client-node, and only when a
// kubeconfig is used: it knows every way a kubeconfig can name credentials, and costs 90 MB of memory that a pod does not
// need (docs/adr/0019).

import { readFileSync } from 'node:fs'
import type { RequestOptions as HttpsOptions } from 'node:https'
import type { ClusterAccess, Credentials } from './cluster-access.ts'
import { KubeError } from './errors.ts'

/** Opens the current context of the kubeconfig at `path`. */
export async function openKubeconfigAccess(path: string): Promise<ClusterAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const load = () => {
    const kubeConfig = new KubeConfig()
    try {
      readFileSync(path)
      kubeConfig.loadFromFile(path)
    } catch (cause) {
      throw new KubeError('malformed', 'kubeconfig cannot be read', { details: { path }, cause })
    }
    return kubeConfig
  }
  let kubeConfig = load()
  const cluster = kubeConfig.getCurrentCluster()
  if (cluster === null) {
    throw new KubeError('malformed', 'kubeconfig has no usable current context', {
      details: { path, context: kubeConfig.getCurrentContext() },
    })
  }
  if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== '') {
    throw new KubeError('malformed', 'kubeconfig wants a proxy, which is not supported', {
      details: { path, proxy: cluster.proxyUrl },
    })
  }
  const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext())
  return {
    server: new URL(cluster.server),
    namespace: context?.namespace,
    credentials: async () => toCredentials(await resolve(kubeConfig)),
    invalidate: () => {
      kubeConfig = load()
    },
  }
}

/** Runs whatever the kubeconfig names: files, tokens, an exec plug-in, OpenID Connect. */
async function resolve(kubeConfig: {
  applyToHTTPSOptions(options: HttpsOptions): Promise<void>
}): Promise<HttpsOptions> {
  const options: HttpsOptions = { headers: {} }
  try {
    await kubeConfig.applyToHTTPSOptions(options)
  } catch (cause) {
    throw new KubeError('unauthorized', 'credentials of the kubeconfig cannot be had', { cause })
  }
  return options
}

function toCredentials(options: HttpsOptions): Credentials {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (typeof value === 'string') headers[name.toLowerCase()] = value.trim()
  }
  if (typeof options.auth === 'string') {
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`
  }
  const { ca, cert, key, passphrase, servername, rejectUnauthorized } = options
  return {
    headers,
    tls: {
      ca: material(ca),
      cert: material(cert),
      key: material(key),
      passphrase: typeof passphrase === 'string' ? passphrase : undefined,
      servername,
      rejectUnauthorized,
    },
  }
}

function material(value: unknown): string | Buffer | undefined {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value : undefined
}
