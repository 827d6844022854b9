// What a command shows and trusts when it talks https: the files of --cacert, --cert and --key.

import { readFileSync } from 'node:fs'
import type { Parsed } from '../address.ts'
import type { CommandFlags } from './command-flags.ts'
import type { CommandSetting } from './command.ts'

export interface ClientTls {
  /** PEM; undefined: the authorities that Node.js trusts. */
  readonly ca: Buffer | undefined
  readonly cert: Buffer | undefined
  readonly key: Buffer | undefined
}

export const TLS_CLIENT_SETTINGS: readonly CommandSetting[] = [
  {
    name: 'cacert',
    aliases: [],
    help: 'authorities that members with https are trusted by',
    fallback: 'those that Node.js trusts',
    accepted: 'a PEM file',
    isInEnvironment: true,
  },
  {
    name: 'cert',
    aliases: [],
    help: 'certificate to show to members that ask for one',
    fallback: 'none',
    accepted: 'a PEM file',
    isInEnvironment: true,
  },
  {
    name: 'key',
    aliases: [],
    help: 'key of --cert',
    fallback: 'none',
    accepted: 'a PEM file',
    isInEnvironment: true,
  },
]

export function readClientTls(flags: CommandFlags): ClientTls {
  const [ca, cert, key] = ['cacert', 'cert', 'key'].map((name) =>
    flags.read<Buffer | undefined>(name, undefined, readFile),
  )
  for (const [name, other] of [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const) {
    if (!flags.isGiven(name) || flags.isGiven(other)) continue
    flags.refuse({ field: `-${name}`, reason: `needs -${other} as well` })
  }
  return { ca, cert, key }
}

function readFile(path: string): Parsed<Buffer> {
  try {
    return { ok: true, value: readFileSync(path) }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
    return { ok: false, reason: `cannot be read (${code})` }
  }
}
