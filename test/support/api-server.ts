// A real etcd and kube-apiserver of this test's own, from the folder that KUBEBUILDER_ASSETS names: for what only they
// can say about the CRD, its rules, rights and admission policies. No controller runs, so that nothing happens by itself.
// Where the programs are missing, the tests that need them are skipped, and that is said loudly.

import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

export class ApiServer {
  readonly url: string
  /** Path of a kubeconfig whose user may do everything. */
  readonly kubeconfig: string
  /** A bearer token of the same user. */
  readonly token = randomBytes(16).toString('hex')
  readonly #directory: string
  readonly #children: ChildProcess[] = []

  private constructor(directory: string, port: number) {
    this.#directory = directory
    this.url = `https://127.0.0.1:${port}`
    this.kubeconfig = join(directory, 'kubeconfig')
  }

  /** Resolves once it answers and its own namespaces exist. */
  static async start(): Promise<ApiServer> {
    const directory = mkdtempSync(join(tmpdir(), 'raftbase-api-server-'))
    const [etcdPort, peerPort, apiPort] = await freePorts(3)
    const server = new ApiServer(directory, apiPort!)
    try {
      server.#run('etcd', etcdArguments(directory, etcdPort!, peerPort!))
      server.#writeCredentials()
      server.#run('kube-apiserver', apiServerArguments(directory, etcdPort!, apiPort!))
      await server.#answers()
      return server
    } catch (error) {
      const log = readFileSync(join(directory, 'kube-apiserver.log'), 'utf8')
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

  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #run(program: string, args: readonly string[]): void {
    const log = openSync(join(this.#directory, `${program}.log`), 'a')
    const child = spawn(join(ASSETS, program), args, { stdio: ['ignore', log, log] })
    this.#children.push(child)
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
    const named = { name: 'test' }
    const cluster = { server: this.url, 'certificate-authority': this.certificateAuthority }
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [{ ...named, cluster }],
      users: [{ ...named, user: { token: this.token } }],
      contexts: [{ ...named, context: { cluster: 'test', user: 'test' } }],
    }
    write('kubeconfig', JSON.stringify(config))
  }

  async #answers(): Promise<void> {
    const deadlineMs = performance.now() + START_TIMEOUT_MS
    for (;;) {
      const dead = this.#children.find((child) => child.exitCode !== null)
      if (dead !== undefined) throw new Error(`${dead.spawnfile} ended with ${dead.exitCode}`)
      // `default` is made by the API server itself, once everything it needs is there.
      const probe = await this.kubectl(['get', 'namespace', 'default']).catch(() => undefined)
      if (probe?.code === 0 && (await this.kubectl(['get', '--raw', '/readyz'])).code === 0) return
      if (performance.now() > deadlineMs) throw new Error(`no answer: ${probe?.stderr ?? ''}`)
      await delay(200)
    }
  }
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
