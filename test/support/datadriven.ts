// Scripts that read like a story: paragraphs of commands, `----`, and everything they visibly do. One test a file.
// RAFTBASE_REWRITE=1 writes what happened instead of comparing; the difference is then reviewed like code.
//
//   # A comment belongs to what follows.
//   command argument argument key=value
//   ----
//   expected output

import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

export interface Command {
  readonly name: string
  /** Words without a `=`. */
  readonly arguments: readonly string[]
  /** Words with one. */
  readonly options: ReadonlyMap<string, string>
  /** File and line, for errors. */
  readonly position: string
}

interface Paragraph {
  /** Everything up to `----`, comments included. */
  readonly input: readonly string[]
  readonly commands: readonly Command[]
  readonly expected: string
}

/** Runs every `*.txt` of a directory, each against a runner of its own. The runner returns what a command shows. */
export function testScripts(
  directory: string,
  createRunner: () => (command: Command) => string,
): void {
  const files = readdirSync(directory).filter((name) => name.endsWith('.txt'))
  if (files.length === 0) throw new Error(`no scripts in ${directory}`)
  for (const name of files.toSorted()) {
    const path = join(directory, name)
    const text = readFileSync(path, 'utf8')
    const title = /^# (.*)/.exec(text)?.[1]
    if (title === undefined) throw new Error(`${name} does not begin with its title as a comment`)
    test(`${title} [${name}]`, () => {
      const paragraphs = parse(text, name)
      const run = createRunner()
      const actual = paragraphs.map(({ input, commands }) => ({
        input,
        output: commands.map((command) => runOne(run, command)).join(''),
      }))
      const rewritten = actual.map(render).join('\n')
      const expected = paragraphs.map((p) => render({ input: p.input, output: p.expected }))
      const isRewriting = process.env.RAFTBASE_REWRITE === '1'
      if (isRewriting) writeFileSync(path, rewritten)
      expect(rewritten).toBe(isRewriting ? rewritten : expected.join('\n'))
    })
  }
}

function runOne(run: (command: Command) => string, command: Command): string {
  try {
    return run(command)
  } catch (error) {
    throw new Error(`${command.position}: ${command.name} failed`, { cause: error })
  }
}

function render({ input, output }: { input: readonly string[]; output: string }): string {
  return `${input.join('\n')}\n----\n${output === '' ? 'ok\n' : output}`
}

function parse(text: string, file: string): readonly Paragraph[] {
  const paragraphs: Paragraph[] = []
  const lines = text.split('\n')
  let i = 0
  for (;;) {
    while (i < lines.length && lines[i] === '') i++
    if (i === lines.length) return paragraphs
    const input: string[] = []
    const commands: Command[] = []
    for (; i < lines.length && lines[i] !== '----'; i++) {
      const line = lines[i]!
      if (line === '') throw new Error(`${file}:${i + 1}: a paragraph without ----`)
      input.push(line)
      if (!line.startsWith('#')) commands.push(parseCommand(line, `${file}:${i + 1}`))
    }
    if (i === lines.length) throw new Error(`${file}:${i}: a paragraph without ----`)
    i++
    let expected = ''
    for (; i < lines.length && lines[i] !== ''; i++) expected += `${lines[i]}\n`
    paragraphs.push({ input, commands, expected: expected === 'ok\n' ? '' : expected })
  }
}

function parseCommand(line: string, position: string): Command {
  const [name = '', ...words] = line.split(/ +/)
  const plain = words.filter((word) => !word.includes('='))
  const options = words
    .filter((word) => word.includes('='))
    .map((word): [string, string] => {
      const at = word.indexOf('=')
      return [word.slice(0, at), word.slice(at + 1)]
    })
  return { name, arguments: plain, options: new Map(options), position }
}
