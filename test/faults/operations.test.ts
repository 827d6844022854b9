// docs/operations.md, run from its first command to its last on the members of the README's three terminals: what it prints below
// a command is what comes. Members are started where it starts them and killed where it says so.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  blocksOf,
  clusterScript,
  examplesIn,
  fencedBlocks,
  MARK,
  ROOT,
  runInNamespace,
  whyNoNamespace,
} from '../support/documents.ts'

const reason = whyNoNamespace()
if (reason !== undefined) console.log(`skipped, no network namespace with curl and jq: ${reason}`)

interface Step {
  readonly script: string
  /** What is typed, and what the document prints below it; undefined where nothing is compared. */
  readonly shown: { readonly command: string; readonly answer: string } | undefined
}

/** One line of a block that is typed: members run in terminals of their own, and some lines are for the reader's hands. */
function typed(line: string): string {
  const started = /^raftbase -name (\w+) /.exec(line)
  if (started !== null) {
    return `${line} >>"$LOGS/${started[1]}.log" 2>&1 & pid_${started[1]}=$!; members="$members $!"`
  }
  const ctrlC = /^# Ctrl-C in the terminal of (\w+)$/.exec(line)
  if (ctrlC !== null) return `kill -INT $pid_${ctrlC[1]}; wait $pid_${ctrlC[1]}`
  const killed = /^# kill -9 (\w+)$/.exec(line)
  if (killed !== null) return `kill -9 $pid_${killed[1]}; wait $pid_${killed[1]}`
  const ended = /^# (\w+) has ended by itself$/.exec(line)
  return ended === null ? line : `wait $pid_${ended[1]} || echo "ended with $?"`
}

function stepsOf(document: string): readonly Step[] {
  return fencedBlocks(document).flatMap(({ language, text }): readonly Step[] => {
    if (language === 'sh') {
      const lines = text.replaceAll('\\\n', ' ').trim().split('\n')
      return [{ script: lines.map(typed).join('\n'), shown: undefined }]
    }
    return examplesIn(text).map(({ command, answer = '' }) => {
      // Only the one that takes leadership back is meant for a leader that is not n1.
      const isHandBack = command.includes('localhost:8081/cluster/leader')
      return {
        script: isHandBack ? command : `n1_leads\n${command}`,
        shown: { command, answer },
      }
    })
  })
}

/** Ids and epochs are those of another cluster. */
function masked(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{16}\b/g, 'ID')
    .replaceAll(/epoch \d+/g, 'epoch N')
    .trim()
}

test.skipIf(reason !== undefined)(
  'docs/operations.md works as it stands, from its first command to its last',
  async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const document = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
    const [example] = blocksOf(readme, 'Three terminals') as [string]
    const steps = stepsOf(document)
    expect(steps.length).toBeGreaterThan(20)
    const directory = await mkdtemp(join(tmpdir(), 'raftbase-operations-'))
    const script = `${clusterScript(example)}
      set -- $members; pid_n1=$1 pid_n2=$2 pid_n3=$3
      told() { curl -s localhost:8080/cluster/members | jq -e 'all(.members[]; .version != "")' >/dev/null; }
      until told; do sleep 0.05; done
      echo ${MARK}
      ${steps.map((step) => `${step.script}\necho\necho ${MARK}\n`).join('')}`
    const outputs = await runInNamespace(script, { directory, timeoutMs: 120_000 })
    const compared = steps.flatMap(({ shown }, position) => {
      if (shown === undefined) return []
      const { command, answer } = shown
      return [
        {
          command,
          expected: masked(answer),
          printed: masked(outputs[position + 1] ?? '(not run)'),
        },
      ]
    })
    const files = (await readdir(directory)).filter((name) => name.endsWith('.log'))
    const logs = await Promise.all(files.map((name) => readFile(join(directory, name), 'utf8')))
    const wrong = compared.filter(({ expected, printed }) => expected !== printed)
    if (wrong.length > 0) {
      console.error(logs.map((log, i) => `${files[i]}\n${log.slice(-3000)}`).join('\n'))
    }
    expect(wrong).toEqual([])
    await rm(directory, { recursive: true })
  },
  150_000,
)
