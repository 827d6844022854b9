// The documents' commands, run as they stand: the three-terminal example of the README with its ports, then every curl of the
// README and of docs/rest.md, whose answers must look as printed there. In a network namespace of its own, so that the ports
// are free and nobody else is met; where none can be made the test says so and is skipped.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MARK = '@@@@'

function whyNoNamespace(): string | undefined {
  for (const tool of ['curl', 'jq']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `no ${tool}`
  }
  const { status, stderr, error } = spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up'])
  return status === 0 ? undefined : (error?.message ?? String(stderr).trim())
}

const reason = whyNoNamespace()
if (reason !== undefined) console.log(`skipped, no network namespace with curl and jq: ${reason}`)

/** The fenced blocks below a heading of a document. */
function blocksOf(text: string, heading: string): readonly string[] {
  const start = text.indexOf(`\n## ${heading}\n`)
  if (start === -1) throw new Error(`no section ${heading}`)
  const end = text.indexOf('\n## ', start + 1)
  const section = text.slice(start, end === -1 ? undefined : end)
  return [...section.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].map((match) => match[1]!)
}

interface Example {
  readonly command: string
  /** As printed in the document; undefined when nothing is. */
  readonly answer: string | undefined
}

/** The `$ curl` lines of a document with what is printed below each. */
function examplesOf(text: string): readonly Example[] {
  const blocks = [...text.matchAll(/^```\n(\$ .*?)^```$/gms)].map((match) => match[1]!)
  return blocks.flatMap((block) =>
    block.split(/^\$ /m).flatMap((part) => {
      const [command, ...rest] = part.split('\n')
      if (command === undefined || command === '') return []
      const answer = rest.join('\n').trim()
      return [{ command, answer: answer === '' ? undefined : answer }]
    }),
  )
}

/** Starts the members of the example in the background and waits until one leads. */
function clusterScript(example: string): string {
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
    leads() { curl -s localhost:$1/cluster/nodes | jq -e 'any(.nodes[]; .status == "leader")' >/dev/null; }
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
async function run(script: string, directory: string): Promise<readonly string[]> {
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
  const timer = setTimeout(() => child.kill('SIGTERM'), 60_000)
  await once(child, 'close')
  clearTimeout(timer)
  return output.split(`${MARK}\n`)
}

/** Ids are another cluster's: what is 16 hex digits is only said to be that. */
function withoutIds(text: string): string {
  return text.replaceAll(/"[0-9a-f]{16}"/g, '"ID"').trim()
}

const STREAM_START = 'retry: 500\n\nevent: status\n'

function isStream(command: string): boolean {
  return command.includes('/stream')
}

test.skipIf(reason !== undefined)(
  'the three-terminal example works as it stands, and so does every curl of README and docs/rest.md',
  async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const rest = await readFile(join(ROOT, 'docs/rest.md'), 'utf8')
    const [example] = blocksOf(readme, 'Three terminals') as [string]
    expect(example.match(/^raftbase -name/gm)).toHaveLength(3)
    const examples = examplesOf(rest)
    expect(examples.length).toBeGreaterThan(8)

    const readmeCurls = blocksOf(readme, 'On this machine')
      .flatMap((block) => block.split('\n'))
      .filter((line) => line.startsWith('curl'))
    expect(readmeCurls).toHaveLength(3)
    const steps = [
      ...examples.map(({ command }) => {
        // A stream ends with its client.
        return `n1_leads; ${isStream(command) ? command.replace('curl', 'timeout 1 curl') : command}`
      }),
      ...readmeCurls,
      'curl -s localhost:8080/healthz',
      'raftbase status',
    ]
    const directory = await mkdtemp(join(tmpdir(), 'raftbase-documents-'))
    await writeFile(join(directory, 'picture.png'), 'not really')
    const script =
      clusterScript(example) + steps.map((step) => `${step}\necho\necho ${MARK}\n`).join('')
    const outputs = await run(script, directory)
    expect(outputs).toHaveLength(steps.length + 1)
    // Of a stream only the first event is printed, and its line is broken for the reader's sake.
    const answered = examples.filter(({ answer }) => answer !== undefined)
    expect(
      answered.map(({ command }) => {
        const output = withoutIds(outputs[examples.findIndex((e) => e.command === command)]!)
        return {
          command,
          answer: isStream(command) ? output.slice(0, STREAM_START.length) : output,
        }
      }),
    ).toEqual(
      answered.map(({ command, answer }) => {
        return { command, answer: isStream(command) ? STREAM_START : withoutIds(answer!) }
      }),
    )
    const [nodes, put, get, healthz, table] = outputs.slice(examples.length)
    const statuses = (JSON.parse(nodes!) as { nodes: { status: string }[] }).nodes.map(
      (n) => n.status,
    )
    expect(statuses.toSorted()).toEqual(['follower', 'follower', 'leader'])
    expect(JSON.parse(put!)).toMatchObject({ version: 1 })
    expect([get!.trim(), healthz!.trim()]).toEqual(['hello', 'ok'])
    expect(table!.match(/^n\d .*(leader|follower).*ok/gm)).toHaveLength(3)
    await rm(directory, { recursive: true })
  },
  90_000,
)
