// The commands: the only list of them. Finding one, help and completion are made from it.

import { DEV_SETTINGS } from '../settings.ts'
import { CLIENT_SETTINGS } from './client-settings.ts'
import type { Command, CommandTable } from './command.ts'
import { FINALIZE_COMMAND, LEADER_COMMANDS, MEMBER_COMMANDS } from './membership-commands.ts'
import { SNAPSHOT_COMMANDS } from './snapshot-commands.ts'

const GROUPS = new Map([
  ['member', 'list the members of a running cluster, and change them'],
  ['leader', 'hand the leadership of a running cluster over'],
  ['snapshot', 'save the whole state to a file, verify it, make a new cluster from it'],
])

const COMMANDS: readonly Command[] = [
  {
    name: 'dev',
    summary: 'run a whole cluster on this machine, in one terminal',
    arguments: [],
    settings: DEV_SETTINGS,
    example: 'raftbase dev --members 3',
    about: `Starts real member processes on loopback: clients on port 2379 and every second one after it, peers
on 2380 and every second one after it, the REST APIs on 8080, 8081 and so on. Shows a table of the
members when they have a leader, and again when the leader changes. Ctrl-C stops them all; their
data stays for the next start. With --tls it makes certificates in the data directory, anew at each
start, and shows how to connect with them.`,
    exitCodes: '0 stopped in order, 1 refused or failed, 2 malformed command line',
    run: async (command, argv) => (await import('./dev.ts')).runDev(command, argv),
  },
  {
    name: 'status',
    summary: 'show how every member of a running cluster is',
    arguments: [],
    settings: CLIENT_SETTINGS,
    example: 'raftbase status --endpoints http://127.0.0.1:8080',
    about: `Asks the first endpoint that answers who the members are, and each member how it is. LAG is how many
log entries a member's state is behind the most advanced one; HEALTH is "ok" (ready), "not ready",
or "unreachable" when the member did not answer here.`,
    exitCodes: '0 an endpoint answered, 1 none did, 2 malformed command line',
    run: async (command, argv) => (await import('./status.ts')).runStatus(command, argv),
  },
  ...MEMBER_COMMANDS,
  ...LEADER_COMMANDS,
  FINALIZE_COMMAND,
  {
    name: 'compaction',
    summary: 'forget history: revisions before this one cannot be read any more',
    arguments: [{ name: 'REVISION' }],
    settings: CLIENT_SETTINGS,
    example: 'raftbase compaction 125000',
    about: `Up to the current revision, which "raftbase status -o json" tells. In force on every member at once;
memory comes back within seconds. Members do it by themselves with -auto-compaction-retention.`,
    exitCodes:
      '0 done (also when it was so already), 1 refused or failed, 2 malformed command line',
    run: async (command, argv) => (await import('./compaction.ts')).runCompaction(command, argv),
  },
  ...SNAPSHOT_COMMANDS,
  {
    name: 'completion',
    summary: 'print a script that completes these commands in a shell',
    arguments: [{ name: 'SHELL', words: ['bash', 'zsh', 'fish'] }],
    settings: [],
    example: `source <(raftbase completion bash)
  source <(raftbase completion zsh)
  raftbase completion fish >~/.config/fish/completions/raftbase.fish`,
    about:
      'Completes the names of commands, of their flags, and the values of those that have only a few.',
    exitCodes: '0 printed, 2 malformed command line',
    run: async (command, argv, table) =>
      (await import('./completion.ts')).runCompletion(command, argv, table),
  },
  {
    name: 'help',
    summary: "show this text, or a command's",
    arguments: [{ name: 'COMMAND', isOptional: true, isRepeated: true }],
    settings: [],
    example: 'raftbase help member add',
    about: 'The same as --help behind the command.',
    exitCodes: '0 shown, 2 there is no such command',
    run: async (_, argv, table) => (await import('./overview.ts')).runHelp(argv, table),
  },
  {
    name: 'version',
    summary: 'show the version',
    arguments: [],
    settings: [],
    example: 'raftbase version',
    about: 'Four lines, of which the first is for tools: "raftbase Version: X.Y.Z".',
    exitCodes: '0 shown, 2 malformed command line',
    run: async (command, argv) => (await import('./version.ts')).runVersion(command, argv),
  },
]

export const COMMAND_TABLE: CommandTable = { groups: GROUPS, commands: COMMANDS }
