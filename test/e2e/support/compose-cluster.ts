// The repository's docker-compose.yml under a project name and host ports of its own, so that
// scenarios never meet a cluster that somebody has running. Always removed with its volumes,
// whatever happened.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { runCommand } from '../../support/command.ts'
import { freePorts } from '../../support/free-ports.ts'
import { MemberApi } from './member-api.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
export const MEMBER_NAMES = ['n1', 'n2', 'n3'] as const
export type MemberName = (typeof MEMBER_NAMES)[number]

export class ComposeCluster {
  readonly project: string
  readonly #env: Readonly<Record<string, string>>
  readonly #apis: ReadonlyMap<MemberName, MemberApi>

  private constructor(
    env: Readonly<Record<string, string>>,
    apis: ReadonlyMap<MemberName, MemberApi>,
  ) {
    this.project = `raftbase-e2e-${randomBytes(4).toString('hex')}`
    this.#env = env
    this.#apis = apis
  }

  /** Builds the image and starts three members; resolves once Compose calls all three healthy. */
  static async up(): Promise<ComposeCluster> {
    const ports = await freePorts(MEMBER_NAMES.length * 2)
    const env: Record<string, string> = {}
    const apis = new Map<MemberName, MemberApi>()
    for (const [i, name] of MEMBER_NAMES.entries()) {
      env[`RAFTBASE_API_PORT_${i + 1}`] = String(ports[2 * i])
      env[`RAFTBASE_CLIENT_PORT_${i + 1}`] = String(ports[2 * i + 1])
      apis.set(name, new MemberApi(name, ports[2 * i]!))
    }
    const cluster = new ComposeCluster(env, apis)
    try {
      await cluster.#compose(
        ['up', '--wait', '--wait-timeout', '120', '--build', '--quiet-pull'],
        540_000,
      )
      return cluster
    } catch (error) {
      await cluster.printLogs()
      await cluster.down()
      throw error
    }
  }

  /** The member's REST API, at its published port. */
  api(name: MemberName): MemberApi {
    return this.#apis.get(name)!
  }

  get apis(): readonly MemberApi[] {
    return [...this.#apis.values()]
  }

  /** SIGKILL to the member's container: no hand-over, no last flush. */
  async kill(name: MemberName): Promise<void> {
    await this.#compose(['kill', '--signal', 'KILL', name], 30_000)
  }

  /** Starts a member that was killed, on the volume it had. */
  async start(name: MemberName): Promise<void> {
    await this.#compose(['start', name], 60_000)
  }

  /** Exit code of a member that has ended. */
  async exitCode(name: MemberName): Promise<number> {
    const output = await this.#compose(['ps', '--all', '--format', '{{.ExitCode}}', name], 30_000)
    return Number(output.trim())
  }

  /** SIGTERM to all members; resolves when they have ended. */
  async stop(): Promise<void> {
    await this.#compose(['stop'], 90_000)
  }

  async down(): Promise<void> {
    await this.#compose(['down', '--volumes', '--remove-orphans', '--timeout', '5'], 120_000)
  }

  /** Everything the members have logged, to the terminal: called when a scenario failed. */
  async printLogs(): Promise<void> {
    for (const name of MEMBER_NAMES) {
      const text = await this.logs(name).catch((error: unknown) => `no logs: ${String(error)}`)
      process.stderr.write(`\n----- logs of ${name} (${this.project}) -----\n${text}\n`)
    }
  }

  /** What the member has written so far, without Compose's prefixes. */
  async logs(name: MemberName): Promise<string> {
    return this.#compose(['logs', '--no-color', '--no-log-prefix', '--tail', '400', name], 30_000)
  }

  async #compose(args: readonly string[], timeoutMs: number): Promise<string> {
    const all = [
      'compose',
      '--project-name',
      this.project,
      '--file',
      join(ROOT, 'docker-compose.yml'),
      ...args,
    ]
    const { code, stdout, stderr } = await runCommand('docker', all, {
      timeoutMs,
      cwd: ROOT,
      env: this.#env,
    })
    if (code !== 0) throw new Error(`docker ${all.join(' ')} ended with ${code}\n${stderr}`)
    return stdout
  }
}
