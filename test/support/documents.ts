// The documents' commands, run as they stand in a network namespace of their own, so that their ports are free and nobody else
// is met.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Stands on a line of its own behind what each step printed. */
export const MARK = '@@@@'

/** Why none can be made here; undefined when one can. */
export function whyNoNamespace(): string | undefined {
  for (const tool of ['curl', 'jq']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `no ${tool}`
  }
  const { status, stderr, error } = spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up'])
  return status === 0 ? undefined : (error?.message ?? String(stderr).trim())
}

/** The fenced blocks below a heading of a document. */
export function blocksOf(text: string, heading: string): readonly string[] {
  const start = text.indexOf(`\n## ${heading}\n`)
  if (start === -1) throw new Error(`no section ${heading}`)
  const end = text.indexOf('\n## ', start + 1)
  const section = text.slice(start, end === -1 ? undefined : end)
  return [...section.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].map((match) => match[1]!)
}

export interface Example {
  readonly command: string
  /** As printed in the document; undefined when nothing is. */
  readonly answer: string | undefined
}

/** Every fenced block of a document, in order. */
export function fencedBlocks(
  text: string,
): readonly { readonly language: string; readonly text: string }[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => {
    return { language: match[1]!, text: match[2]! }
  })
}

/** The lines of a block that begin with `$ `, with what is printed below each. */
export function examplesIn(block: string): readonly Example[] {
  const joined = block.replaceAll(/ \\\n +(?=-d)/g, ' ')
  return joined.split(/^\$ /m).flatMap((part) => {
    const [command, ...rest] = part.split('\n')
    if (command === undefined || command === '') return []
    const answer = rest.join('\n').trim()
    return [{ command, answer: answer === '' ? undefined : answer }]
  })
}

/** The `$ curl` lines of a document with what is printed below each. */
export function examplesOf(text: string): readonly Example[] {
  return fencedBlocks(text)
    .filter((block) => block.language === '' && block.text.startsWith('$ '))
    .flatMap((block) => examplesIn(block.text))
}

/** Starts the members of the example in the background and waits until one leads and all are there. */
export function clusterScript(example: string): string {
  const commands = example.replaceAll('\\\n', ' ').trim().split('\n')
  const started = commands.map((command) =>
    command.startsWith('raftbase')
      ? `${command} >"$LOGS/$((n += 1)).log" 2>&1 & members="$members $!"`
      : command,
  )
  return `
    ip link set lo up
    n=0 members=
    ${started.join('\n    ')}
    trap 'kill $members; wait' EXIT
    leads() { curl -s localhost:$1/cluster/nodes | jq -e 'map_values(any(.status == "leader") and all(.status != "unreachable")).nodes' >/dev/null; }
    for port in 8080 8081 8082; do until leads $port; do sleep 0.05; done; done
    # n1 leads, as in the documents: whoever does hands over to it.
    n1_leads() {
      until [ "$(curl -s localhost:8080/cluster/nodes | jq -r '.nodes[] | select(.status == "leader").name')" = n1 ]; do
        for port in 8081 8082; do
          curl -s -o /dev/null -X POST -H 'content-type: application/json' -d '{"target":"n1"}' localhost:$port/cluster/leader
        done
        sleep 0.05
      done
    }
  `
}

/** Runs the script in a namespace; returns what each step printed. */
export async function runInNamespace(
  script: string,
  { directory, timeoutMs }: { readonly directory: string; readonly timeoutMs: number },
): Promise<readonly string[]> {
  const child = spawn('unshare', ['-n', 'bash', '-c', script], {
    cwd: directory,
    env: {
      ...process.env,
      LOGS: directory,
      PATH: `${join(ROOT, 'node_modules/.bin')}${delimiter}${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const timer = setTimeout(() => child.kill('SIGTERM'), timeoutMs)
  await once(child, 'close')
  clearTimeout(timer)
  return output.split(`${MARK}\n`)
}

/** Ids are another cluster's: what is 16 hex digits is only said to be that. */
export function withoutIds(text: string): string {
  return text.replaceAll(/"[0-9a-f]{16}"/g, '"ID"').trim()
}
