// The entries of `raftbase snapshot …` in the table of commands.

import { MEMBER_SETTINGS, type MemberSettingName } from '../settings.ts'
import { CLIENT_SETTINGS, OUTPUT_SETTING } from './client-settings.ts'
import type { Command, CommandSetting } from './command.ts'

const FILE = [{ name: 'FILE' }] as const
const CONSISTENCIES = ['linearizable', 'serializable'] as const

const SAVE: readonly CommandSetting[] = [
  {
    name: 'consistency',
    aliases: [],
    help: 'linearizable: everything that was acknowledged before; serializable: what the member has, without a majority',
    fallback: 'linearizable',
    accepted: CONSISTENCIES.join(' or '),
    words: CONSISTENCIES,
  },
  {
    name: 'force',
    aliases: [],
    isSwitch: true,
    help: 'replace FILE if it exists, once the new one is whole',
    fallback: undefined,
    accepted: 'no value',
  },
]

const RESTORE: readonly CommandSetting[] = [
  memberSetting('name'),
  memberSetting('data-dir'),
  memberSetting('initial-cluster'),
  {
    ...memberSetting('advertise-peer-url'),
    name: 'initial-advertise-peer-urls',
    aliases: ['advertise-peer-url'],
    fallback: 'http://127.0.0.1:2380',
  },
  memberSetting('initial-cluster-token'),
  {
    name: 'bump-revision',
    aliases: [],
    help: 'add so much to the revision: more than the old cluster went on after the snapshot; with -mark-compacted only',
    fallback: '0',
    accepted: '0 to 4503599627370496',
  },
  {
    name: 'mark-compacted',
    aliases: [],
    isSwitch: true,
    help: 'let nobody read or watch from before the new revision; with -bump-revision only',
    fallback: undefined,
    accepted: 'no value',
  },
  {
    name: 'if-blank',
    aliases: [],
    isSwitch: true,
    help: 'do nothing, and succeed, where this member has data already; for what runs before each start',
    fallback: undefined,
    accepted: 'no value',
  },
  OUTPUT_SETTING,
]

export const SNAPSHOT_COMMANDS: readonly Command[] = [
  {
    name: 'snapshot save',
    summary: 'write the whole state of a running cluster to a file',
    arguments: FILE,
    settings: [...SAVE, ...CLIENT_SETTINGS],
    example: 'raftbase snapshot save backup.snap --endpoints http://127.0.0.1:8080',
    about: `From a follower where one can be reached, while writes go on. The file gets its name once it is whole, its
checksum has been verified and it is flushed; it is never replaced without --force. A save that is
killed leaves FILE.<16 digits>.part, which can be removed.

--timeout is how long members may take to begin; a transfer that stands still for 30 s is given up.`,
    exitCodes: '0 saved, 1 refused or failed, 2 malformed command line',
    run: async (command, argv) => (await import('./snapshot.ts')).runSave(command, argv),
  },
  {
    name: 'snapshot verify',
    summary: 'read a snapshot file whole and say what is in it',
    arguments: FILE,
    settings: [OUTPUT_SETTING],
    example: 'raftbase snapshot verify backup.snap',
    about: `Checks every byte and builds the state, as a restore does; needs as much memory as a member. HASH is of the
keys, values and history: equal in two files of the same state.`,
    exitCodes: '0 whole and undamaged, 1 not, 2 malformed command line',
    run: async (command, argv) => (await import('./snapshot.ts')).runVerify(command, argv),
  },
  {
    name: 'snapshot restore',
    summary: "make one member's data directory of a new cluster from a snapshot file",
    arguments: FILE,
    settings: RESTORE,
    example: `raftbase snapshot restore backup.snap -name n1 -data-dir ./data/n1 \\
    -initial-cluster-token restored -initial-advertise-peer-urls http://127.0.0.1:2380 \\
    -initial-cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384`,
    about: `Run it for each member, with the same file, token and initial cluster; then start the members with the
same. The new cluster has nothing to do with the old one: its members and those of the old one refuse
each other, whatever they are called. Give each restore a token of its own.

Nothing is touched before the file has been verified, the directory found empty, and twice the file's
size found free. Killed in between, it is completed by the same command.`,
    exitCodes: '0 restored, 1 refused or failed, 2 malformed command line',
    run: async (command, argv) => (await import('./restore.ts')).runRestore(command, argv),
  },
]

function memberSetting(name: MemberSettingName): CommandSetting {
  return MEMBER_SETTINGS.find((setting) => setting.name === name)!
}
