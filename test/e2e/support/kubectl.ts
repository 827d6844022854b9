// kubectl and helm against the cluster of this run, which KUBECONFIG names. A command that fails carries what it said.

import { spawn } from 'node:child_process'
import { type CommandResult, runCommand } from '../../support/command.ts'

export interface KubectlOptions {
  readonly timeoutMs?: number
  /** Given on standard input, for `-f -`. */
  readonly input?: string
}

const TIMEOUT_MS = 30_000

/** What the command printed; throws when it ends with anything but 0. */
export async function kubectl(
  args: readonly string[],
  options: KubectlOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await tryKubectl(args, options)
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}\n${stderr}`)
  return stdout
}

/** The same, for commands that may fail. */
export function tryKubectl(
  args: readonly string[],
  { timeoutMs = TIMEOUT_MS, input }: KubectlOptions = {},
): Promise<CommandResult> {
  return runCommand('kubectl', args, { timeoutMs, ...(input === undefined ? {} : { input }) })
}

/** An object as JSON, or undefined when there is none of that name. */
export async function getObject<T>(
  namespace: string,
  kind: string,
  name: string,
): Promise<T | undefined> {
  const text = await kubectl([
    'get',
    kind,
    name,
    '--namespace',
    namespace,
    '--ignore-not-found',
    '--output',
    'json',
  ])
  return text === '' ? undefined : (JSON.parse(text) as T)
}

/** Every object of a kind with these labels (`a=b,c=d`; empty for all). */
export async function listObjects<T>(
  namespace: string,
  kind: string,
  labels = '',
): Promise<readonly T[]> {
  const text = await kubectl([
    'get',
    kind,
    '--namespace',
    namespace,
    '--selector',
    labels,
    '--output',
    'json',
  ])
  return (JSON.parse(text) as { items: readonly T[] }).items
}

/** Creates or updates what the manifests say. They are YAML or JSON. */
export async function apply(namespace: string, manifest: unknown): Promise<void> {
  const input = typeof manifest === 'string' ? manifest : JSON.stringify(manifest)
  await kubectl(['apply', '--namespace', namespace, '--filename', '-'], { input })
}

export async function helm(args: readonly string[], timeoutMs: number): Promise<string> {
  const { code, stdout, stderr } = await runCommand('helm', args, { timeoutMs })
  if (code !== 0) throw new Error(`helm ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`)
  return stdout
}

/** Of each state of an object from now on one line of these columns, a JSONPath whose root is the event. */
export function watchObject(watched: {
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly columns: string
}): WatchedCommand {
  const { namespace, kind, name, columns } = watched
  const object = ['get', kind, name, '--namespace', namespace]
  const output = ['--output', `jsonpath=${columns}{"\\n"}`]
  return new WatchedCommand([...object, '--watch', '--output-watch-events', ...output])
}

/** Lines of a command that runs until it is stopped, such as `kubectl get --watch`, with the time each arrived. */
export class WatchedCommand {
  readonly lines: { readonly atMs: number; readonly text: string }[] = []
  readonly #child
  readonly #closed: Promise<void>

  constructor(args: readonly string[]) {
    this.#child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#closed = new Promise((resolve) => this.#child.once('close', () => resolve()))
    let rest = ''
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop()!
      for (const line of parts) this.lines.push({ atMs: performance.now(), text: line })
    })
  }

  /** Resolves once it has ended by itself and its last line is here. */
  async ends(): Promise<void> {
    await this.#closed
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}
