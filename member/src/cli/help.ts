// What `--help` says: made from the tables of settings, so that it cannot differ from what is accepted.

import {
  DEV_SETTINGS,
  HELP_SWITCH,
  MEMBER_SETTINGS,
  MEMBER_SWITCHES,
  type Setting,
  STATUS_SETTINGS,
} from '../settings.ts'

export type CommandName = 'dev' | 'status'

const WIDTH = 100
const INDENT = 6

const MEMBER_INTRODUCTION = `raftbase: a replicated, versioned key space in one process for each member

Usage:
  raftbase [flags]            run a member until SIGINT or SIGTERM
  raftbase dev [flags]        run a whole cluster on this machine, in one terminal
  raftbase status [flags]     show every member of a running cluster
  raftbase help [command]     show this text, or a command's
  raftbase --version          show the version

Example: the first of three members (the others differ in name, directory and ports)
  raftbase -name n1 -data-dir ./data/n1 -client-url http://127.0.0.1:2379 \\
    -peer-url http://127.0.0.1:2380 -api-addr :8080 -initial-cluster-token demo \\
    -initial-cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384

Flags take one dash or two, "-name n1" or "-name=n1". Each can also come from the environment
(RAFTBASE_INITIAL_CLUSTER) or from the file named by -config ("initial-cluster"); the command line
wins over the environment, which wins over the file. Without any flag, one member runs on the
addresses below.

Flags:
`

const MEMBER_CLOSING = `
The log goes to standard error, one JSON object a line. SIGINT and SIGTERM stop the member in order;
a second signal ends it at once.
Exit codes: 0 stopped in order, 1 refused or failed, 2 malformed command line.
`

const DEV_INTRODUCTION = `raftbase dev: run a whole cluster on this machine, in one terminal

Usage:
  raftbase dev [flags]

Example:
  raftbase dev --members 3

Starts real member processes on loopback: clients on port 2379 and every second one after it, peers
on 2380 and every second one after it, the REST APIs on 8080, 8081 and so on. Shows a table of the
members when they have a leader, and again when the leader changes. Ctrl-C stops them all; their
data stays for the next start.

Flags:
`

const DEV_CLOSING = `
Exit codes: 0 stopped in order, 1 refused or failed, 2 malformed command line.
`

const STATUS_INTRODUCTION = `raftbase status: show every member of a running cluster

Usage:
  raftbase status [flags]

Example:
  raftbase status --endpoint http://127.0.0.1:8080

Asks the endpoint who the members are, and each member how it is. LAG is how many log entries a
member's state is behind the most advanced one; HEALTH is "ok" (ready), "not ready", or
"unreachable" when the member did not answer here.

Flags:
`

const STATUS_CLOSING = `
Exit codes: 0 the endpoint answered, 1 it did not, 2 malformed command line.
`

/** The text for a command, or for the program when there is none of this name. */
export function helpText(command: string | undefined): string {
  switch (command) {
    case 'dev':
      return DEV_INTRODUCTION + flags([...DEV_SETTINGS, HELP_SWITCH]) + DEV_CLOSING
    case 'status':
      return STATUS_INTRODUCTION + flags([...STATUS_SETTINGS, HELP_SWITCH]) + STATUS_CLOSING
    default:
      return MEMBER_INTRODUCTION + flags([...MEMBER_SETTINGS, ...MEMBER_SWITCHES]) + MEMBER_CLOSING
  }
}

function flags(settings: readonly Setting[]): string {
  return settings.map(describeFlag).join('')
}

function describeFlag(setting: Setting): string {
  const { name, aliases, help, fallback, accepted } = setting
  const spellings = [name, ...aliases].map((spelling) => `-${spelling}`).join(', ')
  const lines = [help]
  if (fallback !== undefined) lines.push(`default: ${fallback}`, `accepted: ${accepted}`)
  return `  ${spellings}\n${lines.flatMap(wrap).map(indent).join('')}`
}

function wrap(text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH - INDENT) {
      lines.push(line)
      line = `  ${word}`
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

function indent(line: string): string {
  return `${' '.repeat(INDENT)}${line}\n`
}
