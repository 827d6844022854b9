// Commands of docs/operator.md, run as they stand there: a scenario that carries one out is the proof that it works, and a
// command that is no longer in the document fails its scenario.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CommandResult, runCommand } from '../../support/command.ts'

const DOCUMENT = join(import.meta.dirname, '..', '..', '..', 'docs', 'operator.md')
const TIMEOUT_MS = 60_000

/** The commands of the shell blocks, without the remarks behind them. */
function documented(): readonly string[] {
  const blocks = readFileSync(DOCUMENT, 'utf8').matchAll(/^```sh\n([^]*?)^```$/gm)
  return [...blocks].flatMap(([, block = '']) =>
    block.split('\n').map((line) => line.replace(/ +# .*$/, '').trim()),
  )
}

/**
 * Runs a command of the document in a shell whose kubectl means this namespace. `others` are what the document says for an
 * example and a reader puts something else for: `demo-1` for the name of a member.
 */
export function tryDocumented(
  namespace: string,
  command: string,
  others: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  if (!documented().includes(command)) throw new Error(`docs/operator.md does not say: ${command}`)
  const meant = Object.entries(others).reduce(
    (text, [example, own]) => text.replaceAll(example, own),
    command,
  )
  const inNamespace = `kubectl() { command kubectl --namespace '${namespace}' "$@"; }`
  return runCommand('bash', ['-c', `${inNamespace}\n${meant}`], { timeoutMs: TIMEOUT_MS })
}

/** The same, for commands that succeed; what it printed. */
export async function asDocumented(
  namespace: string,
  command: string,
  others: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await tryDocumented(namespace, command, others)
  if (code !== 0) throw new Error(`${command} ended with ${code}\n${stderr}`)
  return stdout
}
