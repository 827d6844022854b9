// How the operator gets at its credentials: the mounted ServiceAccount with its rotating token and authority, over real TLS,
// and kubeconfigs that are wrong in the usual ways.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CONFIG_MAPS } from '../../../operator/src/api/resource-types.ts'
import { openInClusterAccess } from '../../../operator/src/kube/cluster-access.ts'
import { isKubeError, type KubeError } from '../../../operator/src/kube/errors.ts'
import { openKubeconfigAccess } from '../../../operator/src/kube/kubeconfig.ts'
import { ManualTimers } from '../../support/manual-timers.ts'
import { clientOf } from '../support.ts'

const KEY = { namespace: 'default', name: 'a' }

let folder: string
let server: Server | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'raftbase-access-'))
})

afterEach(async () => {
  server?.closeAllConnections()
  await new Promise<void>((resolve) =>
    server === undefined ? resolve() : server.close(() => resolve()),
  )
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

/** A certificate that vouches for itself. */
function certificate(name: string): { key: string; cert: string } {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  })
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

/** An API server that knows nothing but whether a token is the right one. */
async function serve(identity: { key: string; cert: string }, port = 0) {
  const seen: string[] = []
  const state = { token: 'first' }
  server = createServer(identity, (request, response) => {
    const { authorization = 'none' } = request.headers
    seen.push(authorization)
    const isRight = authorization === `Bearer ${state.token}`
    const body = { kind: 'Status', code: isRight ? 404 : 401 }
    response.writeHead(isRight ? 404 : 401, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server!.listen(port, '127.0.0.1', resolve))
  return { seen, state, port: (server.address() as AddressInfo).port }
}

function mount(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

function open(port: number, clock = new ManualTimers()) {
  const environment = {
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: String(port),
  }
  return openInClusterAccess({ environment, clock, folder })
}

async function failureOf(request: Promise<unknown>): Promise<KubeError> {
  const failure = await request.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  )
  if (!isKubeError(failure)) throw failure
  return failure
}

describe('in a pod', () => {
  test('the token, the authority and the namespace are those that are mounted', async () => {
    const identity = certificate('one')
    const api = await serve(identity)
    mount({ token: 'first\n', 'ca.crt': identity.cert, namespace: 'ops\n' })
    const access = await open(api.port)
    const client = clientOf(access)
    expect(await client.get(CONFIG_MAPS, KEY)).toBeUndefined()
    client.close()
    expect([access.namespace, api.seen]).toEqual(['ops', ['Bearer first']])
  })

  test('a token that was replaced is used within a minute, and at once when the old one is refused', async () => {
    const identity = certificate('one')
    const api = await serve(identity)
    mount({ token: 'first', 'ca.crt': identity.cert, namespace: 'ops' })
    const clock = new ManualTimers()
    const access = await open(api.port, clock)
    const client = clientOf(access)
    await client.get(CONFIG_MAPS, KEY)
    mount({ token: 'second' })
    await client.get(CONFIG_MAPS, KEY)
    clock.advance(60_000)
    api.state.token = 'second'
    await client.get(CONFIG_MAPS, KEY)
    mount({ token: 'third' })
    api.state.token = 'third'
    await client.get(CONFIG_MAPS, KEY)
    client.close()
    const tokens = ['first', 'first', 'second', 'second', 'third']
    expect(api.seen).toEqual(tokens.map((token) => `Bearer ${token}`))
  })

  test('an authority that was replaced is trusted after the next reading, without a restart', async () => {
    const [one, two] = [certificate('one'), certificate('two')]
    const first = await serve(one)
    mount({ token: 'first', 'ca.crt': one.cert, namespace: 'ops' })
    const clock = new ManualTimers()
    const client = clientOf(await open(first.port, clock))
    await client.get(CONFIG_MAPS, KEY)
    server?.closeAllConnections()
    await new Promise<void>((resolve) => server!.close(() => resolve()))
    const second = await serve(two, first.port)
    expect((await failureOf(client.get(CONFIG_MAPS, KEY))).code).toBe('unavailable')
    expect(second.seen).toEqual([])
    mount({ 'ca.crt': two.cert })
    clock.advance(60_000)
    expect(await client.get(CONFIG_MAPS, KEY)).toBeUndefined()
    client.close()
    expect(second.seen).toEqual(['Bearer first'])
  })

  test('a server that another authority vouches for learns no token', async () => {
    const api = await serve(certificate('other'))
    mount({ token: 'first', 'ca.crt': certificate('ours').cert, namespace: 'ops' })
    const client = clientOf(await open(api.port))
    const failure = await failureOf(client.get(CONFIG_MAPS, KEY))
    client.close()
    expect([failure.code, failure.details['systemCode']]).toEqual([
      'unavailable',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
    ])
    expect(api.seen).toEqual([])
  })

  test('outside a pod, and with files missing, it says what is missing', async () => {
    const clock = new ManualTimers()
    const outside = await failureOf(openInClusterAccess({ environment: {}, clock, folder }))
    expect(outside.message).toBe('not in a pod: KUBERNETES_SERVICE_HOST is not set')
    const bare = await failureOf(open(1))
    expect(bare.details['path']).toBe(join(folder, 'namespace'))
  })

  test('an address of IPv6 is put in brackets', async () => {
    mount({ token: 'a', 'ca.crt': 'b', namespace: 'c' })
    const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }
    const access = await openInClusterAccess({ environment, clock: new ManualTimers(), folder })
    expect(access.server.href).toBe('https://[fd00::1]:6443/')
  })
})

function kubeconfigPath(): string {
  return join(folder, 'kubeconfig')
}

function writeKubeconfig(config: unknown): void {
  writeFileSync(kubeconfigPath(), JSON.stringify(config))
}

function kubeconfigWith(fields: object): object {
  return {
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    clusters: [{ name: 'x', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'x', user: {} }],
    ...fields,
  }
}

describe('a kubeconfig', () => {
  test.each<[string, unknown, string]>([
    ['is not there', undefined, 'kubeconfig cannot be read'],
    ['is not YAML', '{', 'kubeconfig cannot be read'],
    ['has no context', { 'current-context': 'gone' }, 'kubeconfig has no usable current context'],
    [
      'wants a proxy',
      kubeconfigWith({
        clusters: [{ name: 'x', cluster: { server: 'https://a', 'proxy-url': 'http://p' } }],
      }),
      'kubeconfig wants a proxy, which is not supported',
    ],
  ])('that %s is refused with the reason', async (_what, config, message) => {
    if (typeof config === 'string') writeFileSync(kubeconfigPath(), config)
    else if (config !== undefined) writeKubeconfig(config)
    const failure = await failureOf(openKubeconfigAccess(kubeconfigPath()))
    expect([failure.code, failure.message]).toEqual(['malformed', message])
  })

  test('gives tokens, basic credentials and certificates as it names them', async () => {
    writeKubeconfig(kubeconfigWith({ users: [{ name: 'x', user: { token: 'secret' } }] }))
    const token = await (await openKubeconfigAccess(kubeconfigPath())).credentials()
    expect(token.headers).toEqual({ authorization: 'Bearer secret' })
    writeKubeconfig(
      kubeconfigWith({ users: [{ name: 'x', user: { username: 'a', password: 'b' } }] }),
    )
    const basic = await (await openKubeconfigAccess(kubeconfigPath())).credentials()
    expect(basic.headers).toEqual({ authorization: 'Basic YTpi' })
    const data = Buffer.from('PEM').toString('base64')
    const user = { 'client-certificate-data': data, 'client-key-data': data }
    writeKubeconfig(kubeconfigWith({ users: [{ name: 'x', user }] }))
    const { tls } = await (await openKubeconfigAccess(kubeconfigPath())).credentials()
    expect([String(tls.cert), String(tls.key)]).toEqual(['PEM', 'PEM'])
  })
})
