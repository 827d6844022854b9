// What `--help` says of one command: made from its entry in the table, so that it cannot differ from what is accepted.

import { variable } from '../../../lib/config.ts'
import { ENVIRONMENT_PREFIX, HELP_SWITCH } from '../settings.ts'
import { type Command, type CommandSetting, describeArguments } from './command.ts'

const WIDTH = 100
const INDENT = 6

export function commandHelp(command: Command): string {
  const { name, summary, example, about, settings, exitCodes } = command
  const usage = ['raftbase', name, describeArguments(command), '[flags]'].filter(
    (part) => part !== '',
  )
  const takesFlags = settings.length > 0
  return `raftbase ${name}: ${summary}

Usage:
  ${(takesFlags ? usage : usage.slice(0, -1)).join(' ')}

Example:
  ${example}

${about.split('\n\n').map(paragraph).join('\n')}
Flags:
${describeFlags([...settings, HELP_SWITCH])}
Exit codes: ${exitCodes}.
`
}

export function describeFlags(settings: readonly CommandSetting[]): string {
  return settings.map(describeFlag).join('')
}

function describeFlag(setting: CommandSetting): string {
  const { name, aliases, help, fallback, accepted, isInEnvironment = false } = setting
  const spellings = [name, ...aliases].map((spelling) => `-${spelling}`).join(', ')
  const lines = [help]
  if (fallback !== undefined) lines.push(`default: ${fallback}`, `accepted: ${accepted}`)
  if (isInEnvironment) lines.push(`environment: ${variable(ENVIRONMENT_PREFIX, name)}`)
  return `  ${spellings}\n${lines
    .flatMap((text) => wrap(text, INDENT))
    .map(indent)
    .join('')}`
}

function paragraph(text: string): string {
  return `${wrap(text.replaceAll('\n', ' '), 0).join('\n')}\n`
}

/** Lines that fit beside `indentation`; where there is one, all but the first stand two further in. */
function wrap(text: string, indentation: number): string[] {
  const hanging = indentation === 0 ? '' : '  '
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH - indentation) {
      lines.push(line)
      line = hanging + word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

function indent(line: string): string {
  return `${' '.repeat(INDENT)}${line}\n`
}
