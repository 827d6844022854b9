// A real operator process under test: started from the sources unless told otherwise, watched through its log and its health port, stopped by
// signals. Whatever it is, it is gone when the test ends.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../support.ts'

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))
const NODE = join(REPOSITORY, 'node_modules/.bin/node')
const SOURCES = join(REPOSITORY, 'operator/src/main.ts')
const START_MS = 60_000

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export class OperatorProcess {
  readonly name: string
  readonly log: LogLine[] = []
  readonly exited: Promise<number | string>
  readonly #child: ChildProcess
  #exit: number | string | undefined
  #rest = ''

  constructor(options: {
    readonly name: string
    readonly kubeconfig: string
    readonly args?: readonly string[]
    /** What Node.js is started with: its own flags, then a file. */
    readonly program?: readonly string[]
    readonly environment?: Readonly<Record<string, string>>
  }) {
    const { name, kubeconfig, args = [], program = [SOURCES], environment = {} } = options
    this.name = name
    const own = ['-kubeconfig', kubeconfig, '-metrics-addr', '127.0.0.1:0', '-identity', name]
    this.#child = spawn(NODE, [...program, ...own, ...args], {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#read(chunk))
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#exit = code ?? signal ?? 'unknown'
        resolve(this.#exit)
      })
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Exit code or signal; undefined while it runs. */
  get exit(): number | string | undefined {
    return this.#exit
  }

  get identity(): string {
    const identity = this.find('started')?.['identity']
    return typeof identity === 'string' ? identity : 'not started'
  }

  find(message: string): LogLine | undefined {
    return this.log.find(({ msg }) => msg === message)
  }

  get isLeading(): boolean {
    return this.#exit === undefined && this.find('leading') !== undefined
  }

  async hasStarted(): Promise<void> {
    await until(
      `${this.name} has started`,
      () => this.find('caches synced') !== undefined,
      START_MS,
    )
  }

  /** A path of its health port. */
  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const port = String(this.find('started')?.['port'])
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: answer.status, text: await answer.text() }
  }

  /** Values of a metric by its labels, as Prometheus writes them. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const { text } = await this.get('/metrics')
    const lines = text.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'))
    return new Map(
      lines.map((line) => {
        const at = line.lastIndexOf(' ')
        return [line.slice(name.length, at), Number(line.slice(at + 1))]
      }),
    )
  }

  signal(signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  async end(): Promise<void> {
    if (this.#exit === undefined) this.signal('SIGKILL')
    await this.exited
  }

  #read(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString()).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('{')) this.log.push(JSON.parse(line) as LogLine)
      else if (line !== '') this.log.push({ level: 'none', msg: line })
    }
  }
}

/** A kubeconfig for an API server that speaks plain HTTP; `remove` deletes it. */
export function plainKubeconfig(server: string): { path: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'raftbase-kubeconfig-'))
  const path = join(folder, 'kubeconfig')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'test', user: {} }],
    contexts: [
      { name: 'test', context: { cluster: 'test', user: 'test', namespace: 'operators' } },
    ],
  }
  writeFileSync(path, JSON.stringify(config))
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
