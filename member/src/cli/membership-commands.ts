// The entries of `raftbase member …`, `raftbase leader …` and `raftbase finalize` in the table of commands.

import { CLIENT_SETTINGS } from './client-settings.ts'
import type { Command, CommandSetting } from './command.ts'

const EXIT_CODES =
  '0 done (also when it was so already), 1 refused or failed, 2 malformed command line'

const EXPECTED_EPOCH: CommandSetting = {
  name: 'expected-epoch',
  aliases: [],
  help: 'the membership that is meant, as "member list" shows its epoch; refused when it is another one by then',
  fallback: 'that in which the names of the members were looked up',
  accepted: 'a count',
}

const PEER_URLS: CommandSetting = {
  name: 'peer-urls',
  aliases: ['peer-url'],
  help: 'where the other members reach it',
  fallback: 'none: it has to be given',
  accepted: 'http://HOST:PORT or https://HOST:PORT, several separated by commas',
}

const WAIT: CommandSetting = {
  name: 'wait',
  aliases: [],
  isSwitch: true,
  help: 'wait until the learner has caught up, as long as -timeout allows',
  fallback: undefined,
  accepted: 'no value',
}

const CHANGE = [EXPECTED_EPOCH, ...CLIENT_SETTINGS] as const

const MEMBERS = `MEMBER is an id or a name. Where a voter and a learner share a name, because one is about to replace
the other, the command knows which of them it can mean.`

const load = () => import('./membership.ts')

export const MEMBER_COMMANDS: readonly Command[] = [
  {
    name: 'member list',
    summary: 'show the members with their roles, and the epoch of the membership',
    arguments: [],
    settings: CLIENT_SETTINGS,
    example: 'raftbase member list --endpoints http://127.0.0.1:8080,http://127.0.0.1:8081',
    about: `As the leader has it, or, while none can be reached, as the first endpoint that answers. The epoch grows
with each change. "raftbase status" shows how the members are.`,
    exitCodes: '0 shown, 1 no endpoint answered, 2 malformed command line',
    run: async (command, argv) => (await load()).runList(command, argv),
  },
  {
    name: 'member add',
    summary: 'add a member, as a learner without a vote',
    arguments: [{ name: 'NAME' }],
    settings: [
      PEER_URLS,
      {
        name: 'incarnation',
        aliases: [],
        help: 'which disk of this name it is: one more for each disk that was lost',
        fallback: '1',
        accepted: '1 to 1000000',
      },
      ...CHANGE,
    ],
    example: 'raftbase member add n4 --peer-urls http://10.0.0.4:2380',
    about: `Prints how the new member is to be started. It learns everything from the leader and gets a vote by
"raftbase member promote". A disk that was lost is a new member under its old name, which then takes
the place of the old one by "raftbase member replace".`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await load()).runAdd(command, argv),
  },
  {
    name: 'member promote',
    summary: 'give learners that have caught up a vote, several in one change',
    arguments: [{ name: 'MEMBER', isRepeated: true }],
    settings: [WAIT, ...CHANGE],
    example: 'raftbase member promote n2 n3 --wait --timeout 5m',
    about: `Refused, with the figures, until each of them is within 1,000 entries of the leader. Two at once turn a
cluster of one into one of three without passing through two voters.

${MEMBERS}`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await load()).runPromote(command, argv),
  },
  {
    name: 'member remove',
    summary: 'remove a member; its id is never used again',
    arguments: [{ name: 'MEMBER' }],
    settings: CHANGE,
    example: 'raftbase member remove n4',
    about: `Refused when fewer than a majority of those that stay would answer. The member parks or ends, and its
data is of no further use.

${MEMBERS}`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await load()).runRemove(command, argv),
  },
  {
    name: 'member update',
    summary: 'change where the other members reach a member',
    arguments: [{ name: 'MEMBER' }],
    settings: [PEER_URLS, ...CHANGE],
    example: 'raftbase member update n3 --peer-urls http://10.0.1.3:2380',
    about: `The others dial the new URLs at once. Start the member there with the same -advertise-peer-url: what it
advertises at its start is recorded again.

${MEMBERS}`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await load()).runUpdate(command, argv),
  },
  {
    name: 'member replace',
    summary: 'let a learner take the place of a voter, in one joint change',
    arguments: [{ name: 'MEMBER' }, { name: 'LEARNER', isOptional: true }],
    settings: [WAIT, ...CHANGE],
    example: 'raftbase member replace n3 --wait',
    about: `The way to give up a dead member: the cluster never has fewer voters than before. Without LEARNER it is the
one of the same name. Refused, with the figures, until it has caught up.

${MEMBERS}`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await load()).runReplace(command, argv),
  },
]

export const LEADER_COMMANDS: readonly Command[] = [
  {
    name: 'leader transfer',
    summary: 'hand leadership to another voter and wait until that is confirmed',
    arguments: [{ name: 'MEMBER', isOptional: true }],
    settings: CHANGE,
    example: 'raftbase leader transfer n2',
    about: `Without MEMBER, an id or a name, the most caught-up voter takes over. Requests that are under way wait for
the new leader.`,
    exitCodes: EXIT_CODES,
    run: async (command, argv) => (await import('./leader.ts')).runTransfer(command, argv),
  },
]

export const FINALIZE_COMMAND: Command = {
  name: 'finalize',
  summary: 'finish an upgrade: from then on no older version can take part',
  arguments: [],
  settings: CHANGE,
  example: 'raftbase finalize',
  about: `Raises the feature level of the cluster as high as every member understands. Until then the version
before can be started again on the same data. It is refused, with their names, while members are too
old or have not told their version; "raftbase status -o json" shows each one's.`,
  exitCodes: EXIT_CODES,
  run: async (command, argv) => (await import('./finalize.ts')).runFinalize(command, argv),
}
