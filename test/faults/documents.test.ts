// The documents' commands, run as they stand: the three-terminal example of the README with its ports, then every curl of the
// README and of docs/rest.md, whose answers must look as printed there. In a network namespace of its own, so that the ports
// are free and nobody else is met; where none can be made the test says so and is skipped.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  blocksOf,
  clusterScript,
  examplesOf,
  MARK,
  ROOT,
  runInNamespace,
  whyNoNamespace,
  withoutIds,
} from '../support/documents.ts'

const reason = whyNoNamespace()
if (reason !== undefined) console.log(`skipped, no network namespace with curl and jq: ${reason}`)

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
    const outputs = await runInNamespace(script, { directory, timeoutMs: 60_000 })
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
