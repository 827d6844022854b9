// Completion as a shell does it: bash sources the script and is asked what it would offer. That of zsh is bash's behind a
// shim; fish is asked where it is installed, and where it is not the test says so.

import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { COMMAND_TABLE } from '../../../member/src/cli/commands.ts'
import { completionScript } from '../../../member/src/cli/completion.ts'
import { run } from './support.ts'

/** What bash offers for the last of the words, for each line. */
async function offered(lines: readonly (readonly string[])[]): Promise<readonly string[]> {
  const asked = lines.map((words) => `offer ${words.map((word) => `'${word}'`).join(' ')}`)
  const script = `${completionScript('bash', COMMAND_TABLE)}
offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _raftbase; echo "\${COMPREPLY[*]}"; }
${asked.join('\n')}
`
  const { code, stdout, stderr } = await run('bash', ['--norc', '-uc', script])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout.split('\n').slice(0, -1)
}

test('bash offers commands, flags, and values where they are known', async () => {
  const cases: readonly (readonly [string[], string])[] = [
    [['raftbase', 'me'], 'member'],
    [['raftbase', 'member', ''], 'list add promote remove update replace'],
    [['raftbase', 'member', 're'], 'remove replace'],
    [['raftbase', 'leader', ''], 'transfer'],
    [['raftbase', 'member', 'promote', 'n3', '--w'], '--wait'],
    [['raftbase', 'member', 'add', '--peer-urls', 'http://a:1', '--inc'], '--incarnation'],
    [['raftbase', 'status', '-o', ''], 'table json'],
    [['raftbase', 'status', '--output', 'j'], 'json'],
    [['raftbase', 'completion', ''], 'bash zsh fish --help'],
    [['raftbase', '--initial-cluster-s'], '--initial-cluster-state'],
    [['raftbase', 'help', 'sta'], 'status'],
    [['raftbase', 'nonsense', ''], ''],
    [['raftbase', 'member', 'add', '--peer-urls', ''], ''],
  ]
  expect(await offered(cases.map(([words]) => words))).toEqual(cases.map(([, words]) => words))
})

test('bash finds its completion as its user installs it', async () => {
  const script = `source <("$NODE" member/raftbase.js completion bash) && complete -p raftbase`
  const { stdout } = await run('bash', ['--norc', '-c', script], { NODE: process.execPath })
  expect(stdout).toBe('complete -o default -F _raftbase raftbase\n')
})

test('every command and flag is in every script', () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const script = completionScript(shell, COMMAND_TABLE)
    for (const { name, settings } of COMMAND_TABLE.commands) {
      for (const word of name.split(' ')) expect(script).toContain(word)
      for (const setting of settings) expect(script).toContain(setting.name)
    }
  }
})

const hasFish = spawnSync('fish', ['--version']).error === undefined
if (!hasFish) console.log('skipped, no fish is installed: what it offers')
test.skipIf(!hasFish)('fish offers the same', () => {
  const lines = ['raftbase member ', 'raftbase status --output ', 'raftbase --initial-cluster-s']
  const asked = lines.map((line) => `complete -C '${line}' | cut -f 1 | sort | tr '\\n' ' '; echo`)
  const script = `${completionScript('fish', COMMAND_TABLE)}${asked.join('\n')}\n`
  const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(stdout.split('\n').map((line) => line.trim())).toEqual([
    'add list promote remove replace update',
    'json table',
    '--initial-cluster-state',
    '',
  ])
})
