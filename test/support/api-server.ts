// A real etcd and kube-apiserver of this test's own, from the folder that KUBEBUILDER_ASSETS names: for what only they
// can say about the CRD, its rules, rights and admission policies. No controller runs, so that nothing happens by itself.
// Where the programs are missing, the tests that need them are skipped, and that is said loudly.

import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type CommandResult, runCommand } from './command.ts'
import { freePorts } from './free-ports.ts'

const ASSETS = process.env['KUBEBUILDER_ASSETS'] ?? ''
const PROGRAMS = ['etcd', 'kube-apiserver', 'kubectl'] as const
const START_TIMEOUT_MS = 90_000
const COMMAND_TIMEOUT_MS = 30_000

/** What a test says when it is skipped for want of the programs; undefined when they are there. */
export function missingApiServer(what: string): string | undefined {
  const missing = PROGRAMS.filter((name) => ASSETS === '' || !existsSync(join(ASSETS, name)))
  if (missing.length === 0) return undefined
  const where = ASSETS === '' ? 'KUBEBUILDER_ASSETS is not set' : `not in KUBEBUILDER_ASSETS`
  const reason = `${what}: no ${missing.join(', no ')} (${where})`
  console.warn(`!!! SKIPPED: ${reason}`)
  return reason
}

export interface ApiAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export interface ApiRequest {
  readonly body?: unknown
  /** Of the body; JSON unless given. */
  readonly contentType?: string
  readonly accept?: string
}

export class ApiServer {
  readonly url: string
  /** Path of a kubeconfig whose user may do everything. */
  readonly kubeconfig: string
  /** A bearer token of the same user. */
  readonly token = randomBytes(16).toString('hex')
  readonly #directory: string
  readonly #startApiServer: () => ChildProcess
  #etcd: ChildProcess | undefined
  #api: ChildProcess | undefined

  private constructor(directory: string, port: number, etcdPort: number) {
    this.#directory = directory
    const args = apiServerArguments(directory, etcdPort, port)
    this.#startApiServer = () => this.#run('kube-apiserver', args)
    this.url = `https://127.0.0.1:${port}`
    this.kubeconfig = this.kubeconfigOf('admin', this.token)
  }

  /** Resolves once it answers and its own namespaces exist. */
  static async start(): Promise<ApiServer> {
    const directory = mkdtempSync(join(tmpdir(), 'raftbase-api-server-'))
    const [etcdPort, peerPort, apiPort] = await freePorts(3)
    const server = new ApiServer(directory, apiPort!, etcdPort!)
    try {
      server.#etcd = server.#run('etcd', etcdArguments(directory, etcdPort!, peerPort!))
      server.#writeCredentials()
      await server.startApi()
      return server
    } catch (error) {
      const path = join(directory, 'kube-apiserver.log')
      const log = existsSync(path) ? readFileSync(path, 'utf8') : ''
      await server.stop()
      throw new Error(`kube-apiserver did not start\n${log.slice(-3_000)}`, { cause: error })
    }
  }

  /** The PEM file that vouches for it. */
  get certificateAuthority(): string {
    return join(this.#directory, 'apiserver.crt')
  }

  /** Whatever it ends with. */
  kubectl(args: readonly string[], input = ''): Promise<CommandResult> {
    const all = ['--kubeconfig', this.kubeconfig, ...args]
    return runCommand(join(ASSETS, 'kubectl'), all, { timeoutMs: COMMAND_TIMEOUT_MS, input })
  }

  /** What it prints; fails when the command does. */
  async mustKubectl(args: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.kubectl(args, input)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}\n${stderr}`)
    return stdout
  }

  /** Resolves once RaftClusters are served. A CRD that has no conditions yet is an error to `kubectl wait`. */
  async servesRaftClusters(): Promise<void> {
    const args = ['wait', '--for=condition=Established', 'crd/raftclusters.raftbase.io']
    for (let attempt = 0; attempt < 50; attempt++) {
      if ((await this.kubectl(args)).code === 0) return
      await delay(100)
    }
    await this.mustKubectl(args)
  }

  /** Path of a kubeconfig for the user whom `token` belongs to. */
  kubeconfigOf(name: string, token: string): string {
    const path = join(this.#directory, `${name}.kubeconfig`)
    const named = { name: 'test' }
    const cluster = { server: this.url, 'certificate-authority': this.certificateAuthority }
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [{ ...named, cluster }],
      users: [{ ...named, user: { token } }],
      contexts: [{ ...named, context: { cluster: 'test', user: 'test' } }],
    }
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 })
    return path
  }

  /** One request as the user who may do everything; whatever it is answered with. */
  request(method: string, path: string, options: ApiRequest = {}): Promise<ApiAnswer> {
    const { body, contentType = 'application/json', accept = 'application/json' } = options
    const headers = {
      authorization: `Bearer ${this.token}`,
      accept,
      ...(body === undefined ? {} : { 'content-type': contentType }),
    }
    const ca = readFileSync(this.certificateAuthority)
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${this.url}${path}`,
        { method, ca, headers, timeout: COMMAND_TIMEOUT_MS },
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
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** Starts kube-apiserver again after {@link stopApi}: at the same address, with everything it had stored. */
  async startApi(): Promise<void> {
    this.#api = this.#startApiServer()
    await this.#answers()
  }

  /** Kills kube-apiserver; etcd goes on. */
  async stopApi(): Promise<void> {
    await end(this.#api)
  }

  async stop(): Promise<void> {
    await end(this.#api)
    await end(this.#etcd)
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #run(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.#directory, `${program}.log`), 'a')
    return spawn(join(ASSETS, program), args, { stdio: ['ignore', log, log] })
  }

  #writeCredentials(): void {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    })
    const write = (name: string, content: string): void =>
      writeFileSync(join(this.#directory, name), content, { mode: 0o600 })
    write('accounts.key', privateKey)
    write('accounts.pub', publicKey)
    write('tokens.csv', `${this.token},admin,admin,system:masters\n`)
  }

  async #answers(): Promise<void> {
    const deadlineMs = performance.now() + START_TIMEOUT_MS
    for (;;) {
      const dead = [this.#etcd, this.#api].find((child) => (child?.exitCode ?? null) !== null)
      if (dead !== undefined) throw new Error(`${dead.spawnfile} ended with ${dead.exitCode}`)
      // `default` is made by the API server itself, once everything it needs is there.
      const probe = await this.kubectl(['get', 'namespace', 'default']).catch(() => undefined)
      if (probe?.code === 0 && (await this.kubectl(['get', '--raw', '/readyz'])).code === 0) return
      if (performance.now() > deadlineMs) throw new Error(`no answer: ${probe?.stderr ?? ''}`)
      await delay(200)
    }
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

function etcdArguments(directory: string, port: number, peerPort: number): readonly string[] {
  const client = `http://127.0.0.1:${port}`
  const peer = `http://127.0.0.1:${peerPort}`
  return [
    '--name=test',
    `--data-dir=${join(directory, 'etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=test=${peer}`,
  ]
}

function apiServerArguments(directory: string, etcdPort: number, port: number): readonly string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${directory}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--authorization-mode=RBAC',
    `--token-auth-file=${join(directory, 'tokens.csv')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(directory, 'accounts.pub')}`,
    `--service-account-signing-key-file=${join(directory, 'accounts.key')}`,
    // It would wait for accounts that only a controller makes.
    '--disable-admission-plugins=ServiceAccount',
  ]
}
