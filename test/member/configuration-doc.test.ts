// docs/configuration.md lists exactly the settings there are. UPDATE_GOLDEN=1 rewrites its table.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { variable } from '../../lib/config.ts'
import { ENVIRONMENT_PREFIX, MEMBER_SETTINGS, type Setting } from '../../member/src/settings.ts'

const PATH = new URL('../../docs/configuration.md', import.meta.url)
const TABLE = /(?<=\| Flag and aliases .*\n\| --- .*\n)(\|.*\n)+/

function row({ name, aliases, fallback, accepted, help, isDynamic }: Setting): string {
  const flags = [name, ...aliases].map((flag) => `\`-${flag}\``).join(', ')
  const cells = [
    flags,
    `\`${variable(ENVIRONMENT_PREFIX, name)}\``,
    `\`"${name}"\``,
    isDynamic === true ? 'at once' : 'restart',
    ...[fallback ?? '', accepted, help].map((text) => text.replaceAll('<', '\\<')),
  ]
  return `| ${cells.join(' | ')} |\n`
}

test('the table of docs/configuration.md is the table of settings', () => {
  const table = MEMBER_SETTINGS.map((setting) => row(setting)).join('')
  const text = readFileSync(PATH, 'utf8')
  if (process.env['UPDATE_GOLDEN'] === '1')
    writeFileSync(
      PATH,
      text.replace(TABLE, () => table),
    )
  expect(readFileSync(PATH, 'utf8').match(TABLE)?.[0]).toBe(table)
})
