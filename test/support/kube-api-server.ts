// A real Kubernetes API server with an etcd of its own, on free loopback ports and in a directory that goes with it: for
// tests of the CRD, its rules, apply, status, watches and RBAC. The programs come from the directory that
// KUBEBUILDER_ASSETS names; where there is none, the tests that need it are skipped, and say so.

import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, freePorts } from './process-cluster.ts'

const ASSETS = process.env['KUBEBUILDER_ASSETS'] ?? ''
const ADMIN_TOKEN = 'admin-of-this-test'
const START_MS_MAX = 60_000

/** Why there is no API server for tests; undefined when there is one. */
export const API_SERVER_MISSING: string | undefined = ['etcd', 'kube-apiserver'].every((name) =>
  existsSync(join(ASSETS, name)),
)
  ? undefined
  : ASSETS === ''
    ? 'KUBEBUILDER_ASSETS is not set; let it name a directory with etcd and kube-apiserver'
    : `${ASSETS} (KUBEBUILDER_ASSETS) has no etcd and kube-apiserver`

/** Whether tests against a real API server can run; says loudly what is left out when not. */
export function hasApiServer(what: string): boolean {
  if (API_SERVER_MISSING === undefined) return true
  process.stderr.write(`\n!!! SKIPPED: ${what}: ${API_SERVER_MISSING}\n`)
  return false
}

export interface ApiAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export class KubeApiServer {
  readonly #directory: string
  readonly #ports: { readonly etcdClient: number; readonly etcdPeer: number; readonly api: number }
  #etcd: ChildProcess | undefined
  #api: ChildProcess | undefined
  #output = ''

  private constructor(directory: string, ports: readonly number[]) {
    this.#directory = directory
    const [etcdClient = 0, etcdPeer = 0, api = 0] = ports
    this.#ports = { etcdClient, etcdPeer, api }
  }

  /** Ready to serve when it resolves. */
  static async start(): Promise<KubeApiServer> {
    const directory = await mkdtemp(join(tmpdir(), 'raftbase-kube-'))
    const server = new KubeApiServer(directory, await freePorts(3))
    try {
      await server.#prepare()
      server.#startEtcd()
      await server.startApi()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  get url(): string {
    return `https://127.0.0.1:${this.#ports.api}`
  }

  /** Of the member of `system:masters`. */
  get token(): string {
    return ADMIN_TOKEN
  }

  get certificateAuthority(): string {
    return join(this.#directory, 'certs/apiserver.crt')
  }

  /** A kubeconfig file with this token, the administrator's unless given. */
  async kubeconfig(name = 'admin', token = ADMIN_TOKEN): Promise<string> {
    const path = join(this.#directory, `${name}.kubeconfig`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [
        {
          name: 'test',
          cluster: { server: this.url, 'certificate-authority': this.certificateAuthority },
        },
      ],
      users: [{ name, user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: name, namespace: 'default' } }],
    }
    await writeFile(path, JSON.stringify(config))
    return path
  }

  /** One request as the administrator. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    contentType = 'application/json',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiAnswer> {
    const ca = await readFile(this.certificateAuthority)
    const payload = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${this.url}${path}`,
        {
          method,
          ca,
          headers: {
            authorization: `Bearer ${ADMIN_TOKEN}`,
            ...(payload === undefined ? {} : { 'content-type': contentType }),
            ...headers,
          },
          timeout: 20_000,
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            const isJson = answer.headers['content-type']?.startsWith('application/json') === true
            const parsed = isJson ? (JSON.parse(text) as ApiAnswer['body']) : { text }
            resolve({ status: answer.statusCode ?? 0, body: parsed })
          })
        },
      )
      outgoing.on('timeout', () => outgoing.destroy(new Error('the API server does not answer')))
      outgoing.on('error', reject)
      outgoing.end(payload)
    })
  }

  /** Starts kube-apiserver, again after `stopApi`: on the same port, with everything it had stored. */
  async startApi(): Promise<void> {
    const certificates = join(this.#directory, 'certs')
    this.#api = this.#spawn('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcdClient}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${this.#ports.api}`,
      `--cert-dir=${certificates}`,
      '--service-cluster-ip-range=10.96.0.0/24',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(certificates, 'service-accounts.key')}`,
      `--service-account-signing-key-file=${join(certificates, 'service-accounts.key')}`,
      `--token-auth-file=${join(certificates, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      // No controller makes the default ServiceAccount here.
      '--disable-admission-plugins=ServiceAccount',
    ])
    await eventually(
      'the API server is ready',
      async () => {
        if (this.#api?.exitCode !== null) throw new Error('kube-apiserver has ended')
        if (!existsSync(this.certificateAuthority)) return undefined
        const answer = await this.request('GET', '/readyz').catch(() => undefined)
        return answer?.status === 200 ? true : undefined
      },
      { timeoutMs: START_MS_MAX, everyMs: 100, explain: () => this.#output.slice(-4000) },
    )
    // The namespace is made a moment after readiness.
    await eventually(
      'the namespace default exists',
      async () =>
        (await this.request('GET', '/api/v1/namespaces/default')).status === 200 ? true : undefined,
      { timeoutMs: START_MS_MAX, everyMs: 100 },
    )
  }

  async stopApi(): Promise<void> {
    await end(this.#api)
    this.#api = undefined
  }

  /** Ends both processes and removes everything. */
  async stop(): Promise<void> {
    await this.stopApi()
    await end(this.#etcd)
    await rm(this.#directory, { recursive: true, force: true })
  }

  async #prepare(): Promise<void> {
    const certificates = join(this.#directory, 'certs')
    await mkdir(certificates)
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
    await writeFile(join(certificates, 'service-accounts.key'), pem)
    await writeFile(
      join(certificates, 'tokens.csv'),
      `${ADMIN_TOKEN},admin,admin,"system:masters"\n`,
    )
  }

  #startEtcd(): void {
    const { etcdClient, etcdPeer } = this.#ports
    const client = `http://127.0.0.1:${etcdClient}`
    const peer = `http://127.0.0.1:${etcdPeer}`
    this.#etcd = this.#spawn('etcd', [
      `--data-dir=${join(this.#directory, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ])
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const child = spawn(join(ASSETS, program), args, { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-64 * 1024)
      })
    }
    child.on('error', (error) => {
      this.#output += `${program}: ${error.message}\n`
    })
    return child
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
