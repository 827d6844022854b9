// `raftbase completion`: scripts for shells, made from the table of commands.

import { EXIT_CLEAN } from '../../../lib/exit-codes.ts'
import { HELP_SWITCH, MEMBER_SETTINGS, MEMBER_SWITCHES, type Setting } from '../settings.ts'
import { readCommandFlags } from './command-flags.ts'
import type { Command, CommandSetting, CommandTable } from './command.ts'
import { commandsOf, topLevelNames } from './find-command.ts'

/** Returns the exit code. */
export async function runCompletion(
  command: Command,
  argv: readonly string[],
  table: CommandTable,
): Promise<number> {
  const read = readCommandFlags(command, argv)
  if ('exitCode' in read) return read.exitCode
  const refusal = read.flags.refusal()
  if (refusal !== undefined) return refusal
  process.stdout.write(completionScript(read.flags.words[0] as Shell, table))
  return EXIT_CLEAN
}

type Shell = 'bash' | 'zsh' | 'fish'

/** What may follow the words of a context: `member`, `member add`, `member add --output`; the program itself is ''. */
interface Context {
  readonly words: string
  readonly next: readonly string[]
}

export function completionScript(shell: Shell, table: CommandTable): string {
  switch (shell) {
    case 'zsh':
      return `#compdef raftbase\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(table)}`
    case 'fish':
      return fishScript(table)
    default:
      return bashScript(table)
  }
}

/** Pure: every context, those of commands before those of their flags. */
function contexts(table: CommandTable): readonly Context[] {
  const { commands, groups } = table
  const member = flagsOf([...MEMBER_SETTINGS, ...MEMBER_SWITCHES])
  const result: Context[] = [{ words: '', next: [...topLevelNames(table), ...member] }]
  for (const group of groups.keys()) {
    const names = commandsOf(group, table).map(({ name }) => name.slice(group.length + 1))
    result.push({ words: group, next: names })
  }
  for (const { name, settings, arguments: all } of commands) {
    const words =
      name === 'help' ? topLevelNames(table) : all.flatMap((argument) => argument.words ?? [])
    result.push({ words: name, next: [...words, ...flagsOf([...settings, HELP_SWITCH])] })
    for (const setting of settings) result.push(...valuesOf(name, setting))
  }
  return result
}

function flagsOf(settings: readonly Setting[]): readonly string[] {
  return settings.map(({ name }) => `--${name}`)
}

/** Of a flag that takes a value: its words, or nothing, which leaves it to the shell to offer files. */
function valuesOf(command: string, setting: CommandSetting): readonly Context[] {
  if (setting.isSwitch === true) return []
  return [setting.name, ...setting.aliases].map((name) => ({
    words: `${command} --${name}`,
    next: setting.words ?? [],
  }))
}

/** The words of the command before the cursor, without flags and their values, and the flag just before it choose the context. */
function bashScript(table: CommandTable): string {
  const { groups } = table
  const cases = contexts(table)
    .map(({ words, next }) => `    '${words}') words='${next.join(' ')}' ;;`)
    .join('\n')
  return `# Completion of raftbase, made by "raftbase completion".
_raftbase() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command='' word words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in -*) break ;; esac
    case "$command" in
      '') command="$word" ;;
      ${[...groups.keys()].join(' | ')}) command="$command $word"; break ;;
      *) break ;;
    esac
  done
  case "$previous" in
    --*) command="$command $previous" ;;
    -*) command="$command -$previous" ;;
  esac
  _raftbase_words "$command" || { command="\${command% -*}"; _raftbase_words "$command"; }
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
_raftbase_words() {
  case "$1" in
${cases}
    *) return 1 ;;
  esac
}
complete -o default -F _raftbase raftbase
`
}

function fishScript(table: CommandTable): string {
  const { commands, groups } = table
  const lines = [
    '# Completion of raftbase, made by "raftbase completion".',
    'function __raftbase_is',
    `  set -l words (commandline -opc | string match -v -- '-*')`,
    '  test "$words[2..]" = "$argv"',
    'end',
    'function __raftbase_in',
    `  set -l words (commandline -opc | string match -v -- '-*')`,
    '  string match -q -- "$argv*" "$words[2..]"',
    'end',
    'complete -c raftbase -f',
  ]
  const offer = (context: string, word: string, help: string) =>
    lines.push(
      `complete -c raftbase -n ${quote(`__raftbase_is ${context}`)} -a ${word} -d ${quote(help)}`,
    )
  for (const [group, help] of groups) {
    offer('', group, help)
    for (const { name, summary } of commandsOf(group, table)) {
      offer(group, name.slice(group.length + 1), summary)
    }
  }
  for (const { name, summary, settings, arguments: all } of commands) {
    if (!name.includes(' ')) offer('', name, summary)
    for (const word of all.flatMap(({ words = [] }) => words)) offer(name, word, '')
    lines.push(...fishFlags(`__raftbase_in ${name}`, [...settings, HELP_SWITCH]))
  }
  lines.push(...fishFlags('__raftbase_is', [...MEMBER_SETTINGS, ...MEMBER_SWITCHES]))
  return `${lines.join('\n')}\n`
}

function fishFlags(condition: string, settings: readonly CommandSetting[]): readonly string[] {
  return settings.map(({ name, help, isSwitch = false, words }) => {
    const values = words === undefined ? ' -r' : ` -x -a ${quote(words.join(' '))}`
    const takes = isSwitch ? '' : values
    return `complete -c raftbase -n ${quote(condition)} -l ${name}${takes} -d ${quote(help)}`
  })
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
